"""How the microscope turns projected potential into contrast: electron wavelength, interaction constant, contrast transfer.

Signs as everywhere in single-particle work: under-focus is positive, and protein comes out dark in an under-focused picture.
"""

import math
from dataclasses import dataclass, fields

import torch

REST_ENERGY = 510_998.95
"""eV, of the electron."""


@dataclass(frozen=True, eq=False)
class Optics:
    """The microscope's settings for a batch of micrographs, every field float32 (b,).

    Attributes
    ----------
    defocus : mean of the two axes in Å, positive for under-focus.
    astigmatism : half the difference of the two axes in Å.
    azimuth : direction of the larger defocus in radians from x towards y.
    cs : spherical aberration in Å.
    amplitude_contrast : share, 0 to 1.
    phase_shift : of a phase plate, radians.
    b_factor : Å², amplitude falls as exp(−B k²/4).
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
    """Where `torch.fft.rfft2` samples a batch, in 1/Å: x (b, 1, w // 2 + 1), y (b, h, 1), squared (b, h, w // 2 + 1)."""

    x: torch.Tensor
    y: torch.Tensor
    squared: torch.Tensor


def frequencies(shape_hw: tuple[int, int], pixel_size: torch.Tensor) -> Frequencies:
    """Frequencies of pictures of one shape with pixel sizes (b,) in Å."""
    height, width = shape_hw
    x = torch.fft.rfftfreq(width, device=pixel_size.device)[None, None, :] / pixel_size[:, None, None]
    y = torch.fft.fftfreq(height, device=pixel_size.device)[None, :, None] / pixel_size[:, None, None]
    return Frequencies(x, y, x * x + y * y)


def wavelength(voltage: torch.Tensor) -> torch.Tensor:
    """Å, of electrons accelerated by `voltage` V: 0.01969 at 300 kV."""
    return 12.2643 / torch.sqrt(voltage + 0.97845e-6 * voltage**2)


def interaction_constant(voltage: torch.Tensor) -> torch.Tensor:
    """Radians of phase per V·Å of projected potential: 6.53e-4 at 300 kV."""
    relativistic = (REST_ENERGY + voltage) / (2 * REST_ENERGY + voltage)
    return 2 * math.pi / (wavelength(voltage) * voltage) * relativistic


def transfer(optics: Optics, at: Frequencies) -> torch.Tensor:
    """Contrast transfer (b, h, w // 2 + 1): sin(π λ Δf k² − ½ π Cs λ³ k⁴ + asin(ac) + φ) · exp(−B k²/4).

    Δf(θ) = Δf + δ cos 2(θ − θ₀). A picture is 1 − 2 σ · (potential ⊗ transfer): positive transfer makes potential dark.
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
