"""Noise: spectra of vitreous ice and carbon film, detector response, electron counts."""

import math

import torch

WATER_PER_CUBIC_ANGSTROM = 0.0314
WATER_POTENTIAL = 143.0
"""V·Å³, potential integrated over one molecule."""
CARBON_PER_CUBIC_ANGSTROM = 0.1
CARBON_POTENTIAL = 91.0
"""V·Å³ per atom; the mean inner potential of the film is 9.1 V."""
FEW_COUNTS = 8.0
"""Expected counts below which Poisson numbers are drawn exactly."""


def ice_structure(k: torch.Tensor) -> torch.Tensor:
    """Return the structure factor of vitreous ice at frequencies in 1/Å: a shoulder and the 2.88 Å ring.

    From Parkhurst et al. (2024).
    """
    return 0.199 * torch.exp(-(k**2) / (2 * 0.731**2)) + 0.801 * torch.exp(-((k - 1 / 2.88) ** 2) / (2 * 0.081**2))


def ice_spectrum(k: torch.Tensor) -> torch.Tensor:
    """Return the power spectrum of the projected potential of ice at frequencies in 1/Å: V²·Å⁴ per Å of thickness."""
    return WATER_PER_CUBIC_ANGSTROM * WATER_POTENTIAL**2 * ice_structure(k)


def carbon_spectrum(k: torch.Tensor) -> torch.Tensor:
    """Return the power spectrum of the projected potential of amorphous carbon at frequencies in 1/Å.

    V²·Å⁴ per Å of thickness: flat, with a ring near 2.2 Å.
    """
    ring = 0.35 + 0.9 * torch.exp(-((k - 0.45) ** 2) / (2 * 0.1**2))
    return CARBON_PER_CUBIC_ANGSTROM * CARBON_POTENTIAL**2 * ring


def random_field(
    amplitude: torch.Tensor, shape_hw: tuple[int, int], pixel_size: torch.Tensor, rng: torch.Generator
) -> torch.Tensor:
    """Draw Gaussian random images (b, h, w) with power spectrum `amplitude`², per Å².

    `amplitude` (b, h, w // 2 + 1) is given at the frequencies of `rfft2`, in the unit of the images times Å. It may be signed,
    so a contrast transfer function can be multiplied into it.
    """
    height, width = shape_hw
    spectrum = torch.view_as_complex(torch.randn(*amplitude.shape, 2, generator=rng, device=amplitude.device))
    scale = amplitude * (math.sqrt(height * width / 2) / pixel_size[:, None, None])
    # The columns at zero and at the Nyquist frequency are their own mirror images: only half of their variance remains.
    scale[..., 0] *= math.sqrt(2)
    if width % 2 == 0:
        scale[..., -1] *= math.sqrt(2)
    field: torch.Tensor = torch.fft.irfft2(spectrum * scale, s=shape_hw)
    return field


def modulation_transfer(k_native: torch.Tensor, at_nyquist: torch.Tensor) -> torch.Tensor:
    """Return the modulation transfer function of a detector: 1 at zero, `at_nyquist` (b,) at its Nyquist frequency.

    `k_native` (b, h, w // 2 + 1) is in cycles per detector pixel. The function falls as 1/(1 + c k^1.5), between the Lorentzian
    and Gaussian shapes of measured curves. Typical values at Nyquist are 0.1 to 0.3 for integrating detectors and 0.4 to 0.65
    for counting ones.
    """
    loss = 1 / at_nyquist[:, None, None] - 1
    return 1 / (1 + loss * (2 * k_native) ** 1.5)


def noise_transfer(modulation: torch.Tensor, whiteness: torch.Tensor) -> torch.Tensor:
    """Return the factor on the amplitude of shot noise.

    1 for a counting detector (`whiteness` 1), the modulation transfer for an integrating one (`whiteness` 0).
    """
    white = whiteness[:, None, None]
    return torch.sqrt(white + (1 - white) * modulation**2)


def poisson(expected: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Draw counts with the given expectations.

    Exact Poisson numbers below `FEW_COUNTS`. Above, normal numbers with the skewness of a Poisson distribution (Cornish and
    Fisher 1938): several times as fast, with the same first three moments, but not whole numbers.
    """
    normal = torch.randn(expected.shape, generator=rng, device=expected.device)
    counts = (expected + expected.sqrt() * normal + (normal**2 - 1) / 6).clamp_(min=0)
    few = expected < FEW_COUNTS
    counts[few] = torch.poisson(expected[few], generator=rng)
    return counts
