"""Settings of the simulation: the ranges that a micrograph's properties are drawn from."""

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
"""Lowest and highest allowed value by setting; all other settings must be at least 0."""


@dataclass(frozen=True)
class SimulationSettings:
    """Ranges (lowest, highest) and rates. Ranges are uniform unless noted; the defaults are wide, for training.

    Attributes
    ----------
    voltages_kv : acceleration voltages in kV, one of which is drawn.
    cs_mm : spherical aberration in mm.
    defocus_um : mean defocus in µm, positive for underfocus.
    astigmatism : half the difference of the defocus along the two axes in Å.
    amplitude_contrast : fraction.
    b_factor : Å².
    phase_plate : share of micrographs with a phase plate (shift of 30 to 120°).
    dose : electrons per Å².
    dqe0 : detective quantum efficiency at zero frequency.
    ice : thickness in Å.
    ice_tilt : relative change of the thickness across the image.
    modulation : modulation transfer of the detector at its Nyquist frequency.
    counting : 0 for an integrating detector, 1 for a counting one.
    diameter : of random structures in Å, log-uniform.
    contrast : particle contrast q, log-uniform: mean darkness within 0.2 diameters after a band-pass filter, in standard
        deviations of the background.
    strength : limits of the factor on the particles' potential that gives this contrast; about 0.45 for real particles.
    amplitude_jitter : standard deviation of the logarithm of the contrast between particles.
    coverage : area of the particles over that of the image, log-uniform; fewer are placed if `spacing` leaves no room.
    spacing : smallest distance of two centres in diameters.
    dense : share of densely packed micrographs, which use `dense_coverage` and `dense_spacing` instead.
    dense_coverage, dense_spacing : as `coverage`, but uniform, and `spacing`.
    empty : share of micrographs without particles.
    clustered : share of micrographs with clustered particles.
    clustering : strength of the random density field that clusters them.
    preferred_view : share of micrographs with one preferred view, to within 15°.
    carbon : share of micrographs with a carbon film.
    avoid_carbon : share of these without particles on the film.
    contamination : mean number of blobs of ice or ethane.
    crystalline : mean number of patches of crystalline ice.
    gold : share of micrographs with 1 to 11 gold beads.
    filaments : share of micrographs with 1 to 4 filaments.
    fragments : largest number of broken particles, relative to whole ones.
    aggregates : mean number of aggregates.
    falloff : share of micrographs with uneven illumination.
    hot_pixels : share of micrographs with hot pixels.
    gain_residue : share of micrographs with a residue of the gain reference.
    border : share of micrographs with replicated borders.
    inverted : share of micrographs with bright particles.
    beads_across : beads along a particle's diameter. More than 16 make no difference to a picker, but improve reconstructions.
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
                allowed = f"at least {low:g}" if math.isinf(high) else f"in [{low:g}, {high:g}]"
                raise SettingError(f"{field.name} must be {allowed}, got {value}")
            if field.name != "voltages_kv" and numbers[0] > numbers[-1]:
                raise SettingError(f"{field.name} must be a range with the lower number first, got {value}")
