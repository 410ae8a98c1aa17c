"""Random imaging conditions of whole micrographs: microscope, ice, detector and sample."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from cryopick.simulate.ctf import Optics
from cryopick.simulate.settings import Range, SimulationSettings

PREFERRED_TILT = math.radians(15)
"""Spread in radians about a preferred view."""
PHASE_PLATE = (math.radians(30), math.radians(120))
"""Range of a phase plate's shift in radians."""


@dataclass(frozen=True, eq=False)
class Conditions:
    """Imaging conditions of a batch of b micrographs; every tensor is float32 (b,).

    Attributes
    ----------
    optics : the microscope.
    pixel_size : Å.
    native : pixel size of the detector before binning, Å.
    diameter : particle diameter, Å.
    contrast : particle contrast q, in standard deviations of the background.
    coverage, spacing : as in `SimulationSettings`; zero coverage means an empty micrograph.
    clustering : exponent of the particle density field.
    preferred : spread of the tilt in radians; infinite for random orientations.
    dose : detected electrons per Å², quantum efficiency included.
    ice : mean ice thickness, Å.
    ice_tilt : relative change of the thickness across the image.
    ice_direction : direction of that change, radians.
    modulation : modulation transfer of the detector at its Nyquist frequency.
    whiteness : 0 for an integrating detector, 1 for a counting one.
    """

    optics: Optics
    pixel_size: torch.Tensor
    native: torch.Tensor
    diameter: torch.Tensor
    contrast: torch.Tensor
    coverage: torch.Tensor
    spacing: torch.Tensor
    clustering: torch.Tensor
    preferred: torch.Tensor
    dose: torch.Tensor
    ice: torch.Tensor
    ice_tilt: torch.Tensor
    ice_direction: torch.Tensor
    modulation: torch.Tensor
    whiteness: torch.Tensor


def draw_conditions(
    settings: SimulationSettings,
    rng: np.random.Generator,
    *,
    pixel_size: NDArray[np.float64],
    native: NDArray[np.float64],
    diameter: NDArray[np.float64],
    device: torch.device | str = "cpu",
) -> Conditions:
    """Draw the conditions of b micrographs from the ranges of the settings.

    `pixel_size`, `native` and `diameter` (b,) are in Å; see `Conditions`.
    """
    draw = _Draw(rng, len(pixel_size), device)
    dense = draw.chance(settings.dense)
    coverage = np.where(dense, draw.uniform(settings.dense_coverage), draw.log_uniform(settings.coverage))
    spacing = np.where(dense, draw.uniform(settings.dense_spacing), draw.uniform(settings.spacing))
    return Conditions(
        _optics(settings, draw),
        pixel_size=draw.tensor(pixel_size),
        native=draw.tensor(native),
        diameter=draw.tensor(diameter),
        contrast=draw.tensor(draw.log_uniform(settings.contrast)),
        coverage=draw.tensor(np.where(draw.chance(settings.empty), 0, coverage)),
        spacing=draw.tensor(spacing),
        clustering=draw.tensor(np.where(draw.chance(settings.clustered), draw.uniform(settings.clustering), 0)),
        preferred=draw.tensor(np.where(draw.chance(settings.preferred_view), PREFERRED_TILT, np.inf)),
        dose=draw.tensor(draw.uniform(settings.dose) * draw.uniform(settings.dqe0)),
        ice=draw.tensor(draw.uniform(settings.ice)),
        ice_tilt=draw.tensor(draw.uniform(settings.ice_tilt)),
        ice_direction=draw.tensor(draw.uniform((0, 2 * math.pi))),
        modulation=draw.tensor(draw.uniform(settings.modulation)),
        whiteness=draw.tensor(draw.uniform(settings.counting)),
    )


def log_uniform(rng: np.random.Generator, limits: Range, count: int) -> NDArray[np.float64]:
    """Draw float64 (count,) numbers whose logarithm is uniform between the limits."""
    return np.asarray(np.exp(rng.uniform(math.log(limits[0]), math.log(limits[1]), count)))


@dataclass(frozen=True)
class _Draw:
    """Random draws for a batch of micrographs, each float64 or bool (count,)."""

    rng: np.random.Generator
    count: int
    device: torch.device | str

    def uniform(self, limits: Range) -> NDArray[np.float64]:
        return self.rng.uniform(*limits, self.count)

    def log_uniform(self, limits: Range) -> NDArray[np.float64]:
        return log_uniform(self.rng, limits, self.count)

    def chance(self, share: float) -> NDArray[np.bool_]:
        return self.rng.random(self.count) < share

    def tensor(self, values: NDArray[np.float64]) -> torch.Tensor:
        return torch.as_tensor(np.asarray(values, np.float32), device=self.device)


def _optics(settings: SimulationSettings, draw: _Draw) -> Optics:
    with_plate = draw.chance(settings.phase_plate)
    return Optics(
        defocus=draw.tensor(1e4 * draw.uniform(settings.defocus_um)),
        astigmatism=draw.tensor(draw.uniform(settings.astigmatism)),
        azimuth=draw.tensor(draw.uniform((0, math.pi))),
        cs=draw.tensor(np.full(draw.count, 1e7 * settings.cs_mm)),
        amplitude_contrast=draw.tensor(draw.uniform(settings.amplitude_contrast)),
        phase_shift=draw.tensor(np.where(with_plate, draw.uniform(PHASE_PLATE), 0)),
        b_factor=draw.tensor(draw.uniform(settings.b_factor)),
        voltage=draw.tensor(1e3 * draw.rng.choice(settings.voltages_kv, draw.count)),
    )
