"""What the fast route's network sees: a picture whose particles span a known number of pixels, evened out around each pixel.

In torch, so that training on a GPU and picking run the same code.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def gaussian_blur(pictures: Tensor, sigma: float | Tensor) -> Tensor:
    """Pictures (B, 1, H, W) blurred by a Gaussian of `sigma` pixels, one for all or (B,); the edges are mirrored.

    Exact at any width: a product in Fourier space.
    """
    sigmas = torch.as_tensor(sigma, dtype=torch.float32, device=pictures.device).reshape(-1, 1, 1, 1)
    height, width = pictures.shape[-2:]
    reach = math.ceil(3 * float(sigmas.max()))
    top, left = min(reach, height - 1), min(reach, width - 1)
    padded = F.pad(pictures, (left, left, top, top), mode="reflect")
    rows, columns = padded.shape[-2:]
    ky = torch.fft.fftfreq(rows, device=pictures.device)[:, None]
    kx = torch.fft.rfftfreq(columns, device=pictures.device)
    transfer = torch.exp(-2 * (math.pi * sigmas) ** 2 * (ky**2 + kx**2))
    blurred: Tensor = torch.fft.irfft2(torch.fft.rfft2(padded) * transfer, s=(rows, columns))
    return blurred[..., top : top + height, left : left + width]


def local_standardise(pictures: Tensor, *, diameter_px: float | Tensor, clip: float = 6.0) -> Tensor:
    """Pictures (B, 1, H, W) with the local mean taken away and the local deviation made one, clipped to ±`clip`.

    Local means within a Gaussian of 3 diameters. The variance is kept above a tenth of its median over the picture, so that
    streaked or empty borders stay flat instead of becoming noise.
    """
    sigma = 3.0 * torch.as_tensor(diameter_px, dtype=torch.float32, device=pictures.device)
    centred = pictures - gaussian_blur(pictures, sigma)
    variance = gaussian_blur(centred.square(), sigma)
    floor = variance.flatten(1).median(dim=1).values.reshape(-1, 1, 1, 1) / 10
    tiny = torch.finfo(pictures.dtype).tiny
    return (centred / torch.maximum(variance, floor).clamp(min=tiny).sqrt()).clamp(-clip, clip)
