"""One draw of everything that holds for a whole micrograph: microscope, ice, detector, and what lies in the field."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from cryopick.simulate.ctf import Optics
from cryopick.simulate.settings import Range, SimulationSettings

PREFERRED_TILT = math.radians(15)


@dataclass(frozen=True, eq=False)
class Conditions:
    """Properties of a batch of b micrographs, float32 (b,) unless said otherwise.

    Attributes
    ----------
    pixel_size : Å. `native` : Å per pixel of the detector that took it, before binning.
    diameter : of the particles, Å. `contrast` : q. `coverage`, `spacing` : see `SimulationSettings`; 0 coverage is an empty one.
    clustering : exponent of the density field. `preferred` : spread of the tilt in radians, infinite for random orientations.
    dose : detected electrons per Å², quantum efficiency included.
    ice, ice_tilt, ice_direction : Å, share, radians.
    modulation, whiteness : the detector's.
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
    """Conditions of as many micrographs as there are pixel sizes (b,), all from the settings' ranges."""
    count = len(pixel_size)

    def uniform(limits: Range) -> NDArray[np.float64]:
        return rng.uniform(*limits, count)

    def chance(share: float) -> NDArray[np.bool_]:
        return rng.random(count) < share

    def tensor(values: NDArray[np.float64]) -> torch.Tensor:
        return torch.as_tensor(np.asarray(values, np.float32), device=device)

    dense = chance(settings.dense)
    coverage = np.where(dense, uniform(settings.dense_coverage), log_uniform(rng, settings.coverage, count))
    spacing = np.where(dense, uniform(settings.dense_spacing), uniform(settings.spacing))
    phase_shift = np.where(chance(settings.phase_plate), rng.uniform(math.pi / 6, 2 * math.pi / 3, count), 0)
    optics = Optics(
        defocus=tensor(1e4 * uniform(settings.defocus_um)),
        astigmatism=tensor(uniform(settings.astigmatism)),
        azimuth=tensor(rng.uniform(0, math.pi, count)),
        cs=torch.full((count,), 1e7 * settings.cs_mm, device=device),
        amplitude_contrast=tensor(uniform(settings.amplitude_contrast)),
        phase_shift=tensor(phase_shift),
        b_factor=tensor(uniform(settings.b_factor)),
        voltage=tensor(1e3 * rng.choice(settings.voltages_kv, count)),
    )
    return Conditions(
        optics,
        pixel_size=tensor(pixel_size),
        native=tensor(native),
        diameter=tensor(diameter),
        contrast=tensor(log_uniform(rng, settings.contrast, count)),
        coverage=tensor(np.where(chance(settings.empty), 0, coverage)),
        spacing=tensor(spacing),
        clustering=tensor(np.where(chance(settings.clustered), uniform(settings.clustering), 0)),
        preferred=tensor(np.where(chance(settings.preferred_view), PREFERRED_TILT, np.inf)),
        dose=tensor(uniform(settings.dose) * uniform(settings.dqe0)),
        ice=tensor(uniform(settings.ice)),
        ice_tilt=tensor(uniform(settings.ice_tilt)),
        ice_direction=tensor(rng.uniform(0, 2 * math.pi, count)),
        modulation=tensor(uniform(settings.modulation)),
        whiteness=tensor(uniform(settings.counting)),
    )


def log_uniform(rng: np.random.Generator, limits: Range, count: int) -> NDArray[np.float64]:
    """Numbers (count,) whose logarithm is uniform between the limits."""
    return np.asarray(np.exp(rng.uniform(math.log(limits[0]), math.log(limits[1]), count)))
