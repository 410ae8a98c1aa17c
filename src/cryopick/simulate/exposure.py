"""Image formation: from projected potential to detected electrons."""

import math
from dataclasses import dataclass

import torch

from cryopick.simulate.conditions import Conditions
from cryopick.simulate.ctf import Frequencies, frequencies, interaction_constant, transfer
from cryopick.simulate.noise import carbon_spectrum, ice_spectrum, modulation_transfer, noise_transfer, poisson, random_field
from cryopick.simulate.projection import blur
from cryopick.simulate.solids import Solids

INELASTIC_LENGTH = 3150.0
"""Thickness of ice in Å after which 1/e of the electrons remain in the image."""
NOMINAL_STRENGTH = 0.45
"""Fraction of the bulk potential that real particles show; used for images without particles to set the contrast."""
MIN_INTENSITY = 0.02
"""Lower limit of the relative intensity, which linear imaging could make negative."""


@dataclass(frozen=True, eq=False)
class Exposure:
    """Exposed images.

    Attributes
    ----------
    electrons : float32 (b, h, w), electrons per pixel.
    strength : float32 (b,), factor on the particles' potential that gives the requested contrast.
    """

    electrons: torch.Tensor
    strength: torch.Tensor


def expose(
    conditions: Conditions,
    points: torch.Tensor,
    *,
    bead_sigma: torch.Tensor,
    solids: Solids,
    illumination: torch.Tensor,
    centres: torch.Tensor,
    image: torch.Tensor,
    limits: tuple[float, float],
    rng: torch.Generator,
) -> Exposure:
    """Image particles and solids: linear contrast transfer, Poisson counts.

    Parameters
    ----------
    points : (b, h, w), projected point beads of the particles in V·Å.
    bead_sigma : (b,), standard deviation of the beads in Å.
    illumination : (b, h, w) or (b, 1, 1), factor on the dose.
    centres, image : (p, 2) in pixels and (p,): the particles that define the contrast, and the image of each.
    limits : range of the factor on the particles' potential.
    """
    shape_hw = (points.shape[1], points.shape[2])
    at = frequencies(shape_hw, conditions.pixel_size)
    k = at.squared.sqrt()
    modulation = modulation_transfer(k * conditions.native[:, None, None], conditions.modulation)
    darkening = transfer(conditions.optics, at) * modulation
    darkening *= -2 * interaction_constant(conditions.optics.voltage)[:, None, None]
    shot = noise_transfer(modulation, conditions.whiteness)
    ice = ice_spectrum(k).sqrt() * darkening
    signal = torch.fft.rfft2(points) * blur(bead_sigma, conditions.pixel_size, at) * darkening
    strength = _strength(conditions, signal, ice, shot, at, shape_hw, centres, image).clamp(*limits)
    thickness = _ice_thickness(conditions, shape_hw)
    contrast = torch.fft.irfft2(signal, s=shape_hw) * strength[:, None, None]
    contrast += random_field(ice, shape_hw, conditions.pixel_size, rng) * thickness.sqrt()
    if bool(solids.mask.any()):
        contrast += torch.fft.irfft2(torch.fft.rfft2(solids.potential) * darkening, s=shape_hw)
    if bool(solids.carbon_thickness.any()):
        film = random_field(carbon_spectrum(k).sqrt() * darkening, shape_hw, conditions.pixel_size, rng)
        contrast += film * solids.carbon * solids.carbon_thickness.sqrt()[:, None, None]
    passed = torch.exp(-solids.absorption - thickness / INELASTIC_LENGTH) * illumination
    expected = (1 + contrast).clamp(min=MIN_INTENSITY) * passed * (conditions.dose * conditions.pixel_size**2)[:, None, None]
    surplus = poisson(expected, rng) - expected
    return Exposure(expected + torch.fft.irfft2(torch.fft.rfft2(surplus) * shot, s=shape_hw), strength)


def band(k: torch.Tensor, diameter: torch.Tensor) -> torch.Tensor:
    """Return a band-pass filter at frequencies k (b, …) in 1/Å for particles of `diameter` (b,) in Å.

    A difference of Gaussians with standard deviations of 0.06 and 0.8 diameters.
    """
    size = diameter.view(-1, *[1] * (k.ndim - 1))
    fine, coarse = (torch.exp(-2 * (math.pi * share * size * k) ** 2) for share in (0.06, 0.8))
    return fine - coarse


def _strength(
    conditions: Conditions,
    signal: torch.Tensor,
    ice: torch.Tensor,
    shot: torch.Tensor,
    at: Frequencies,
    shape_hw: tuple[int, int],
    centres: torch.Tensor,
    image: torch.Tensor,
) -> torch.Tensor:
    """Return the factor (b,) that makes the mean darkness of the particles q standard deviations of the background.

    Both are measured after the band-pass filter. The darkness is the mean within 0.2 diameters or, for hollow particles, 0.6
    times that of a ring at 0.36 diameters, whichever is larger.
    """
    if len(centres) == 0:
        return torch.full_like(conditions.dose, NOMINAL_STRENGTH)
    passing = band(at.squared.sqrt(), conditions.diameter)
    electrons = conditions.dose * torch.exp(-conditions.ice / INELASTIC_LENGTH)
    spectrum = conditions.ice[:, None, None] * ice**2 + shot**2 / electrons[:, None, None]
    spectrum = spectrum * passing**2
    twice = 2 * spectrum.sum((1, 2)) - spectrum[..., 0].sum(1) - (spectrum[..., -1].sum(1) if shape_hw[1] % 2 == 0 else 0)
    sigma = (twice / (shape_hw[0] * shape_hw[1])).sqrt() / conditions.pixel_size
    filtered = torch.fft.irfft2(signal * passing, s=shape_hw)
    size = (conditions.diameter / conditions.pixel_size)[image]
    middle = torch.stack(
        [_mean_at(filtered, centres, image, size * radius, spokes) for radius, spokes in ((0.0, 1), (0.1, 6), (0.18, 10))], 1
    )
    middle = (middle * torch.tensor([1.0, 6.0, 10.0], device=middle.device) / 17).sum(1)
    darkest = torch.stack([-middle, -0.6 * _mean_at(filtered, centres, image, size * 0.36, 12)], 1)
    number = torch.bincount(image, minlength=len(sigma)).clamp(min=1)
    mean = torch.zeros(len(sigma), 2, device=sigma.device).index_add_(0, image, darkest) / number[:, None]
    strength = conditions.contrast * sigma / mean.amax(1).clamp(min=1e-9)
    occupied = torch.bincount(image, minlength=len(sigma)) > 0
    return torch.where(occupied, strength, NOMINAL_STRENGTH)


def _mean_at(images: torch.Tensor, centres: torch.Tensor, image: torch.Tensor, radius: torch.Tensor, spokes: int) -> torch.Tensor:
    """Return the mean (p,) of images (b, h, w) over `spokes` pixels on a circle around each centre, with periodic edges."""
    angle = 2 * math.pi * torch.arange(spokes, device=centres.device) / spokes
    around = torch.stack([angle.cos(), angle.sin()], 1) * radius[:, None, None]
    column, row = (centres[:, None] + around).round().long().unbind(2)
    return images[image[:, None], row % images.shape[1], column % images.shape[2]].mean(1)


def _ice_thickness(conditions: Conditions, shape_hw: tuple[int, int]) -> torch.Tensor:
    """Return the ice thickness (b, h, w) in Å: a wedge."""
    height, width = shape_hw
    x = torch.linspace(-0.5, 0.5, width, device=conditions.ice.device)[None, None, :]
    y = torch.linspace(-0.5, 0.5, height, device=conditions.ice.device)[None, :, None]
    direction = conditions.ice_direction[:, None, None]
    slope = conditions.ice_tilt[:, None, None] * (x * direction.cos() + y * direction.sin())
    return conditions.ice[:, None, None] * (1 + slope)
