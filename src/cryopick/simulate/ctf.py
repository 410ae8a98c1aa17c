"""Contrast transfer: electron wavelength, interaction constant and contrast transfer function.

Underfocus is positive, and protein is dark in an underfocused image.
"""

import math
from dataclasses import dataclass, fields

import torch

REST_ENERGY = 510_998.95
"""Rest energy of the electron in eV."""


@dataclass(frozen=True, eq=False)
class Optics:
    """Optics of a batch of micrographs; every field is float32 (b,).

    Attributes
    ----------
    defocus : mean defocus of the two axes in Å, positive for underfocus.
    astigmatism : half the difference of the defocus along the two axes in Å.
    azimuth : direction of the larger defocus in radians from x towards y.
    cs : spherical aberration in Å.
    amplitude_contrast : fraction, 0 to 1.
    phase_shift : phase shift of a phase plate in radians.
    b_factor : Å²; amplitudes fall as exp(−B k²/4).
    voltage : V.
    """

    defocus: torch.Tensor
    astigmatism: torch.Tensor
    azimuth: torch.Tensor
    cs: torch.Tensor
    amplitude_contrast: torch.Tensor
    phase_shift: torch.Tensor
    b_factor: torch.Tensor
    voltage: torch.Tensor


@dataclass(frozen=True, eq=False)
class Frequencies:
    """Spatial frequencies of `torch.fft.rfft2` for a batch of images.

    Attributes
    ----------
    x : (b, 1, w // 2 + 1), 1/Å.
    y : (b, h, 1), 1/Å.
    squared : (b, h, w // 2 + 1), squared magnitude in 1/Å².
    """

    x: torch.Tensor
    y: torch.Tensor
    squared: torch.Tensor


def frequencies(shape_hw: tuple[int, int], pixel_size: torch.Tensor) -> Frequencies:
    """Return the spatial frequencies of images of one shape with pixel sizes (b,) in Å."""
    height, width = shape_hw
    x = torch.fft.rfftfreq(width, device=pixel_size.device)[None, None, :] / pixel_size[:, None, None]
    y = torch.fft.fftfreq(height, device=pixel_size.device)[None, :, None] / pixel_size[:, None, None]
    return Frequencies(x, y, x * x + y * y)


def wavelength(voltage: torch.Tensor) -> torch.Tensor:
    """Return the relativistic electron wavelength in Å at a voltage in V: 0.01969 at 300 kV."""
    return 12.2643 / torch.sqrt(voltage + 0.97845e-6 * voltage**2)


def interaction_constant(voltage: torch.Tensor) -> torch.Tensor:
    """Return the phase shift in radians per V·Å of projected potential: 6.53e-4 at 300 kV."""
    relativistic = (REST_ENERGY + voltage) / (2 * REST_ENERGY + voltage)
    return 2 * math.pi / (wavelength(voltage) * voltage) * relativistic


def transfer(optics: Optics, at: Frequencies) -> torch.Tensor:
    """Return the contrast transfer function (b, h, w // 2 + 1): sin(π λ Δf k² − ½ π Cs λ³ k⁴ + asin(ac) + φ) · exp(−B k²/4).

    Δf(θ) = Δf + δ cos 2(θ − θ₀). The image is 1 − 2 σ · (potential ⊗ transfer): where the transfer is positive, potential
    appears dark.
    """
    column = {field.name: getattr(optics, field.name)[:, None, None] for field in fields(optics)}
    length = wavelength(column["voltage"])
    # k² cos 2(θ − θ₀) without angles: k² cos 2θ = x² − y², k² sin 2θ = 2xy
    astigmatic = (at.x**2 - at.y**2) * (column["astigmatism"] * torch.cos(2 * column["azimuth"]))
    astigmatic += at.x * (at.y * (2 * column["astigmatism"] * torch.sin(2 * column["azimuth"])))
    phase = math.pi * length * (column["defocus"] * at.squared + astigmatic)
    phase -= 0.5 * math.pi * column["cs"] * length**3 * at.squared**2
    phase += torch.asin(column["amplitude_contrast"]) + column["phase_shift"]
    return torch.sin(phase) * torch.exp(-column["b_factor"] / 4 * at.squared)
