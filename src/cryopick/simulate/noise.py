"""Spectra of what is not the particle: vitreous ice, carbon film, and the detector's answer."""

import math

import torch

WATER_PER_CUBIC_ANGSTROM = 0.0314
WATER_POTENTIAL = 143.0
"""V·Å³, integrated over one molecule."""
CARBON_PER_CUBIC_ANGSTROM = 0.1
CARBON_POTENTIAL = 91.0
"""V·Å³ an atom; the mean inner potential of the film is 9.1 V."""
FEW_COUNTS = 8.0


def ice_structure(k: torch.Tensor) -> torch.Tensor:
    """Structure factor of vitreous ice at frequencies in 1/Å (Parkhurst et al. 2024): a shoulder and the 2.88 Å ring."""
    return 0.199 * torch.exp(-(k**2) / (2 * 0.731**2)) + 0.801 * torch.exp(-((k - 1 / 2.88) ** 2) / (2 * 0.081**2))


def ice_spectrum(k: torch.Tensor) -> torch.Tensor:
    """Power spectrum of the projected potential of ice, V²·Å⁴ per Å of thickness."""
    return WATER_PER_CUBIC_ANGSTROM * WATER_POTENTIAL**2 * ice_structure(k)


def carbon_spectrum(k: torch.Tensor) -> torch.Tensor:
    """Power spectrum of the projected potential of amorphous carbon, V²·Å⁴ per Å: flat, with a ring near 2.2 Å."""
    ring = 0.35 + 0.9 * torch.exp(-((k - 0.45) ** 2) / (2 * 0.1**2))
    return CARBON_PER_CUBIC_ANGSTROM * CARBON_POTENTIAL**2 * ring


def random_field(
    amplitude: torch.Tensor, shape_hw: tuple[int, int], pixel_size: torch.Tensor, rng: torch.Generator
) -> torch.Tensor:
    """Gaussian random pictures (b, h, w) whose power spectrum is `amplitude`², per Å².

    `amplitude` (b, h, w // 2 + 1) over the frequencies of `rfft2`, its unit that of the picture times Å. Signs in it are kept:
    a contrast transfer may be multiplied in.
    """
    height, width = shape_hw
    spectrum = torch.view_as_complex(torch.randn(*amplitude.shape, 2, generator=rng, device=amplitude.device))
    scale = amplitude * (math.sqrt(height * width / 2) / pixel_size[:, None, None])
    # The two columns that are their own mirror images keep only the symmetric half of what is put in.
    scale[..., 0] *= math.sqrt(2)
    if width % 2 == 0:
        scale[..., -1] *= math.sqrt(2)
    field: torch.Tensor = torch.fft.irfft2(spectrum * scale, s=shape_hw)
    return field


def modulation_transfer(k_native: torch.Tensor, at_nyquist: torch.Tensor) -> torch.Tensor:
    """What is left of a wave after the detector: 1 at zero, `at_nyquist` (b,) at its Nyquist frequency.

    `k_native` (b, h, w // 2 + 1) in cycles per pixel of the detector. Falls as 1/(1 + c k^1.5), between the Lorentzian and the
    Gaussian of measured ones; 0.1 to 0.3 at Nyquist for integrating detectors, 0.4 to 0.65 for counting ones.
    """
    loss = 1 / at_nyquist[:, None, None] - 1
    return 1 / (1 + loss * (2 * k_native) ** 1.5)


def noise_transfer(modulation: torch.Tensor, whiteness: torch.Tensor) -> torch.Tensor:
    """Factor on the shot noise's amplitude: 1 where a detector counts (`whiteness` 1), its modulation where it integrates (0)."""
    white = whiteness[:, None, None]
    return torch.sqrt(white + (1 - white) * modulation**2)


def poisson(expected: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Counts with these expectations: exact below `FEW_COUNTS`, above it a normal number made as skew as a Poisson number.

    That is several times as fast and has the same first three moments (Cornish and Fisher 1938), but is no whole number.
    """
    normal = torch.randn(expected.shape, generator=rng, device=expected.device)
    counts = (expected + expected.sqrt() * normal + (normal**2 - 1) / 6).clamp_(min=0)
    few = expected < FEW_COUNTS
    counts[few] = torch.poisson(expected[few], generator=rng)
    return counts
