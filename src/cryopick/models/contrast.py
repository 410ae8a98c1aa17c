"""Local contrast normalisation of images whose particles span a known number of pixels.

Written in torch, so that training on a GPU and picking share it.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def gaussian_blur(images: Tensor, sigma: float | Tensor) -> Tensor:
    """Blur images (B, 1, H, W) by a Gaussian of `sigma` pixels, one for all or (B,), with mirrored edges.

    Computed in Fourier space, so it is exact at any width.
    """
    sigmas = torch.as_tensor(sigma, dtype=torch.float32, device=images.device).reshape(-1, 1, 1, 1)
    height, width = images.shape[-2:]
    reach = math.ceil(3 * float(sigmas.max()))
    top, left = min(reach, height - 1), min(reach, width - 1)
    padded = F.pad(images, (left, left, top, top), mode="reflect")
    rows, columns = padded.shape[-2:]
    ky = torch.fft.fftfreq(rows, device=images.device)[:, None]
    kx = torch.fft.rfftfreq(columns, device=images.device)
    transfer = torch.exp(-2 * (math.pi * sigmas) ** 2 * (ky**2 + kx**2))
    blurred: Tensor = torch.fft.irfft2(torch.fft.rfft2(padded) * transfer, s=(rows, columns))
    return blurred[..., top : top + height, left : left + width]


def local_standardise(images: Tensor, *, diameter_px: float | Tensor, clip: float = 6.0) -> Tensor:
    """Subtract the local mean of images (B, 1, H, W), divide by the local standard deviation and clip to ±`clip`.

    The neighbourhood is a Gaussian with a standard deviation of 3 diameters; `diameter_px` is one number or (B,). The variance is
    limited to a tenth of its median over the image, so that replicated or empty borders stay flat instead of becoming noise.
    """
    sigma = 3.0 * torch.as_tensor(diameter_px, dtype=torch.float32, device=images.device)
    centred = images - gaussian_blur(images, sigma)
    variance = gaussian_blur(centred.square(), sigma)
    floor = variance.flatten(1).median(dim=1).values.reshape(-1, 1, 1, 1) / 10
    tiny = torch.finfo(images.dtype).tiny
    return (centred / torch.maximum(variance, floor).clamp(min=tiny).sqrt()).clamp(-clip, clip)
