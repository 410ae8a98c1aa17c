"""Augmentation of crops: symmetries, blur, contrast, noise, gradients and streaked borders. Batched, on the images' device."""

from dataclasses import dataclass

import torch
from torch import Tensor

from cryopick.models.contrast import gaussian_blur

Range = tuple[float, float]


@dataclass(frozen=True)
class Augmentation:
    """Strength of the augmentation of standardised images (standard deviation about 1); ranges are sampled uniformly.

    Attributes
    ----------
    gain : range of a factor, sampled log-uniformly.
    offset : standard deviation of an added constant.
    blur : range of a Gaussian blur [px], applied to every image.
    smooth_rate : share of the images that are made to look like those of the published denoising chain.
    smooth : range of their blur [px].
    saturation : range of the level at which their grey values saturate, in standard deviations.
    evened : range of how far their local contrast is equalised: 0 not at all, 1 completely.
    region : range of the scale over which contrast is local [px].
    noise_rate : share of the images with added noise.
    noise : range of the standard deviation of that noise.
    grain : range of the blur of that noise [px]; as coarse as particles, it resembles thin contamination and uneven ice.
    gradient_rate, gradient : share of the images with a linear gradient, and the range of its size from edge to edge.
    border_rate, border : share of the images whose outermost rows or columns are streaks, and the range of the streaks' width as
        a share of the image.
    """

    gain: Range = (0.67, 1.5)
    offset: float = 0.15
    blur: Range = (0.0, 1.0)
    smooth_rate: float = 0.4
    smooth: Range = (0.4, 2.2)
    saturation: Range = (1.5, 5.0)
    evened: Range = (0.0, 1.0)
    region: Range = (8.0, 24.0)
    noise_rate: float = 0.5
    noise: Range = (0.0, 0.6)
    grain: Range = (0.0, 3.0)
    gradient_rate: float = 0.2
    gradient: Range = (0.0, 1.5)
    border_rate: float = 0.15
    border: Range = (0.02, 0.2)


def augment(images: Tensor, targets: Tensor, *, settings: Augmentation, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Augment images (B, 1, H, W) and their target maps (B, C, H, W), H = W.

    Both are rotated and flipped alike; then `change_appearance` changes the images.
    """
    images, targets = _rotate(images, targets, generator)
    return change_appearance(images, targets, settings=settings, generator=generator)


def change_appearance(
    images: Tensor, targets: Tensor, *, settings: Augmentation, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Change the appearance of images (B, 1, H, W), but not the positions of anything in them.

    Targets (B, C, H, W) become zero where a border becomes streaks, since nothing can be found there.
    """
    images = _smooth(images, settings, generator)
    images = _shade(images, settings, generator)
    return _streak(images, targets, settings, generator)


def _uniform(bounds: Range, count: int, generator: torch.Generator, device: torch.device) -> Tensor:
    low, high = bounds
    return low + (high - low) * torch.rand(count, 1, 1, 1, generator=generator, device=device)


def _chosen(rate: float, count: int, generator: torch.Generator, device: torch.device) -> Tensor:
    return torch.rand(count, 1, 1, 1, generator=generator, device=device) < rate


def _rotate(images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Apply one of the eight symmetries of the square, at random, to each image and its targets."""
    both = torch.cat((images, targets), dim=1)
    for axis in ("rows", "columns", "diagonal"):
        changed = both.transpose(2, 3) if axis == "diagonal" else both.flip(2 if axis == "rows" else 3)
        both = torch.where(_chosen(0.5, len(both), generator, both.device), changed, both)
    return both[:, : images.shape[1]], both[:, images.shape[1] :]


def _smooth(images: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    count, device = len(images), images.device
    chain = _chosen(settings.smooth_rate, count, generator, device)
    light, strong = (_uniform(bounds, count, generator, device) for bounds in (settings.blur, settings.smooth))
    blurred = gaussian_blur(images, torch.where(chain, strong, light).flatten())
    contrast = (
        gaussian_blur(blurred.square(), _uniform(settings.region, count, generator, device).flatten()).clamp(min=1e-3).sqrt()
    )
    even = blurred / contrast ** _uniform(settings.evened, count, generator, device)
    even = even / even.std(dim=(2, 3), keepdim=True).clamp(min=1e-6)
    ceiling = _uniform(settings.saturation, count, generator, device)
    return torch.where(chain, ceiling * torch.tanh(even / ceiling), blurred)


def _shade(images: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    count, device = len(images), images.device
    height, width = images.shape[-2:]
    low, high = (float(torch.tensor(bound).log()) for bound in settings.gain)
    images = images * _uniform((low, high), count, generator, device).exp()
    images = images + settings.offset * torch.randn(count, 1, 1, 1, generator=generator, device=device)
    white = torch.randn(images.shape, generator=generator, device=device)
    coarse = gaussian_blur(white, _uniform(settings.grain, count, generator, device).flatten())
    noise = coarse / coarse.std(dim=(2, 3), keepdim=True)
    amount = _uniform(settings.noise, count, generator, device) * _chosen(settings.noise_rate, count, generator, device)
    direction = _uniform((0.0, 2 * torch.pi), count, generator, device)
    y = torch.linspace(-0.5, 0.5, height, device=device)[:, None]
    x = torch.linspace(-0.5, 0.5, width, device=device)
    slope = _uniform(settings.gradient, count, generator, device) * _chosen(settings.gradient_rate, count, generator, device)
    return images + amount * noise + slope * (x * direction.cos() + y * direction.sin())


def _streak(images: Tensor, targets: Tensor, settings: Augmentation, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Repeat one row or column up to the edge of the image, as in padded micrographs."""
    count, device = len(images), images.device
    chosen = _chosen(settings.border_rate, count, generator, device).flatten()
    share = _uniform(settings.border, count, generator, device).flatten()
    side = torch.randint(4, (count,), generator=generator, device=device)
    height, width = images.shape[-2:]
    for index in torch.nonzero(chosen).flatten().tolist():
        axis, far = 2 + int(side[index]) % 2, int(side[index]) // 2
        length = height if axis == 2 else width
        rows = max(1, int(share[index] * length))
        start, source = (length - rows, length - rows - 1) if far else (0, rows)
        strip, line = images[index : index + 1].narrow(axis, start, rows), images[index : index + 1].narrow(axis, source, 1)
        strip.copy_(line.clone().expand_as(strip))
        targets[index : index + 1].narrow(axis, start, rows).zero_()
    return images, targets
