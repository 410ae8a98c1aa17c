"""What a simulated micrograph may look like: the ranges that its properties are drawn from."""

import math
from dataclasses import dataclass, fields

from cryopick.errors import SettingError

Range = tuple[float, float]

SHARES = (
    *("phase_plate", "counting", "amplitude_contrast", "ice_tilt", "dense", "empty", "clustered", "preferred_view"),
    *("carbon", "avoid_carbon", "gold", "filaments", "fragments", "falloff", "hot_pixels", "gain_residue", "border", "inverted"),
)
LIMITS: dict[str, Range] = {
    **dict.fromkeys(SHARES, (0.0, 1.0)),
    **dict.fromkeys(("dqe0", "modulation"), (0.01, 1.0)),
    **dict.fromkeys(("contrast", "coverage"), (1e-4, math.inf)),
    "beads_across": (1.0, math.inf),
    "voltages_kv": (10.0, 10_000.0),
    "dose": (0.01, math.inf),
    "diameter": (1.0, math.inf),
}
"""Lowest and highest value that the formulas bear; 0 and none for settings that are not named."""


@dataclass(frozen=True)
class SimulationSettings:
    """Ranges (lowest, highest), uniform unless said otherwise, and rates; the defaults are wide, for training.

    Attributes
    ----------
    voltages_kv : one is drawn.
    defocus_um, amplitude_contrast : of the contrast transfer; `astigmatism` in Å, `b_factor` in Å², `cs_mm` fixed.
    phase_plate : share of the micrographs taken with one (a shift of 30 to 120°).
    dose : electrons per Å². `dqe0` : detective quantum efficiency at zero frequency.
    ice : thickness in Å. `ice_tilt` : its change across the picture, share.
    modulation : of the detector at its Nyquist frequency. `counting` : 0 an integrating detector, 1 a counting one.
    diameter : of random structures, Å, log-uniform.
    contrast : q, log-uniform: mean darkness of the particles within 0.2 D after the band filter, in the background's standard
        deviations.
    strength : limits of the factor on the particles' potential that `contrast` asks for; real ones have about 0.45.
    amplitude_jitter : standard deviation of the particles' log contrast.
    coverage : area of the particles over that of the picture, log-uniform; as many as the spacing lets in.
    spacing : smallest distance of two centres in diameters.
    dense : share of micrographs that are packed instead: `dense_coverage`, `dense_spacing`.
    empty : share without any particle.
    clustering : strength of the random field that gathers the particles. `clustered` : share of micrographs that have one.
    preferred_view : share of micrographs whose particles lie on one side, give or take 15°.
    carbon : share with a carbon film, `avoid_carbon` of which have no particles on it.
    contamination : mean number of blobs of ice or ethane. `crystalline` : mean number of patches of crystalline ice.
    gold : share with 1 to 11 gold beads. `filaments` : share with 1 to 4 filaments.
    fragments : broken particles, at most this share of the whole ones. `aggregates` : mean number of clumps of them.
    falloff : share with uneven illumination. `hot_pixels` : share with some.
    gain_residue : share with a pattern of the detector.
    border : share with streaked (replicated) borders. `inverted` : share with bright particles.
    beads_across : beads along a particle's diameter. Detail beyond 16 is lost on a picker, but not on a reconstruction.
    """

    voltages_kv: tuple[float, ...] = (300.0, 300.0, 200.0)
    cs_mm: float = 2.7
    defocus_um: Range = (0.8, 4.0)
    astigmatism: Range = (0.0, 1000.0)
    amplitude_contrast: Range = (0.03, 0.12)
    b_factor: Range = (50.0, 300.0)
    phase_plate: float = 0.03
    dose: Range = (15.0, 60.0)
    dqe0: Range = (0.3, 0.9)
    ice: Range = (200.0, 1200.0)
    ice_tilt: Range = (0.0, 0.6)
    modulation: Range = (0.1, 0.65)
    counting: Range = (0.0, 1.0)
    diameter: Range = (80.0, 1000.0)
    contrast: Range = (1.0, 4.0)
    strength: Range = (0.02, 20.0)
    amplitude_jitter: float = 0.1
    coverage: Range = (0.02, 0.75)
    spacing: Range = (0.45, 1.02)
    dense: float = 0.5
    dense_coverage: Range = (0.3, 0.75)
    dense_spacing: Range = (0.8, 1.02)
    empty: float = 0.1
    clustered: float = 0.5
    clustering: Range = (0.0, 1.2)
    preferred_view: float = 0.3
    carbon: float = 0.4
    avoid_carbon: float = 0.8
    contamination: float = 0.6
    crystalline: float = 0.15
    gold: float = 0.2
    filaments: float = 0.1
    fragments: float = 1.0
    aggregates: float = 0.5
    falloff: float = 0.3
    hot_pixels: float = 0.1
    gain_residue: float = 0.1
    border: float = 0.4
    inverted: float = 0.05
    beads_across: int = 16

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            numbers = value if isinstance(value, tuple) else (value,)
            low, high = LIMITS.get(field.name, (0.0, math.inf))
            if not numbers or not all(low <= number <= high for number in numbers):
                raise SettingError(f"{field.name} is {value}; it must be at least {low:g} and at most {high:g}")
            if field.name != "voltages_kv" and numbers[0] > numbers[-1]:
                raise SettingError(f"{field.name} is {value}; write the lower number first")
