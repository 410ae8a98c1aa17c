"""Changes to training pictures that leave what is in them as it is. Batched, on the pictures' own device."""

from dataclasses import dataclass

import torch
from torch import Tensor

from cryopick.models.contrast import gaussian_blur

Range = tuple[float, float]


@dataclass(frozen=True)
class Augmentation:
    """How strongly pictures that are standardised (deviation about one) are changed; ranges are drawn from uniformly.

    Attributes
    ----------
    gain : factor, log-uniform. `offset` : deviation of an added constant.
    blur : pixels, on every picture.
    smooth_rate, smooth, saturation, evened, region : share of the pictures that are given the look of the published denoising
        chain: a strong blur, grey values that saturate at so many deviations, and contrast that is evened out, wholly at 1 and
        not at all at 0, over regions of some pixels; and the ranges of these.
    noise_rate, noise, grain : share with added noise, and the ranges of its deviation and of the blur that makes it, in pixels:
        noise as coarse as particles is what thin dirt and uneven ice look like.
    gradient_rate, gradient : share with a linear gradient, and the range of its size from edge to edge.
    border_rate, border : share whose outermost rows or columns are streaks, and the range of their width, as a share of the
        picture.
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


def augment(pictures: Tensor, targets: Tensor, *, settings: Augmentation, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pictures (B, 1, H, W) and target maps (B, C, H, W), H = W: both turned and flipped alike, then pictures alone changed.

    Where a border becomes streaks the targets become zero: nothing is to be found there.
    """
    pictures, targets = _turn(pictures, targets, generator)
    return change_look(pictures, targets, settings=settings, generator=generator)


def change_look(
    pictures: Tensor, targets: Tensor, *, settings: Augmentation, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The same without turning and flipping, for targets that are not maps alone."""
    pictures = _smooth(pictures, settings, generator)
    pictures = _shade(pictures, settings, generator)
    return _streak(pictures, targets, settings, generator)


def _uniform(bounds: Range, count: int, generator: torch.Generator, device: torch.device) -> Tensor:
    low, high = bounds
    return low + (high - low) * torch.rand(count, 1, 1, 1, generator=generator, device=device)


def _chosen(rate: float, count: int, generator: torch.Generator, device: torch.device) -> Tensor:
    return torch.rand(count, 1, 1, 1, generator=generator, device=device) < rate


def _turn(pictures: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A random one of the eight symmetries of the square for each picture."""
    both = torch.cat((pictures, targets), dim=1)
    for axis in ("rows", "columns", "diagonal"):
        changed = both.transpose(2, 3) if axis == "diagonal" else both.flip(2 if axis == "rows" else 3)
        both = torch.where(_chosen(0.5, len(both), generator, both.device), changed, both)
    return both[:, : pictures.shape[1]], both[:, pictures.shape[1] :]


def _smooth(pictures: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    count, device = len(pictures), pictures.device
    chain = _chosen(settings.smooth_rate, count, generator, device)
    light, strong = (_uniform(bounds, count, generator, device) for bounds in (settings.blur, settings.smooth))
    blurred = gaussian_blur(pictures, torch.where(chain, strong, light).flatten())
    contrast = (
        gaussian_blur(blurred.square(), _uniform(settings.region, count, generator, device).flatten()).clamp(min=1e-3).sqrt()
    )
    even = blurred / contrast ** _uniform(settings.evened, count, generator, device)
    even = even / even.std(dim=(2, 3), keepdim=True).clamp(min=1e-6)
    ceiling = _uniform(settings.saturation, count, generator, device)
    return torch.where(chain, ceiling * torch.tanh(even / ceiling), blurred)


def _shade(pictures: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    count, device = len(pictures), pictures.device
    height, width = pictures.shape[-2:]
    low, high = (float(torch.tensor(bound).log()) for bound in settings.gain)
    pictures = pictures * _uniform((low, high), count, generator, device).exp()
    pictures = pictures + settings.offset * torch.randn(count, 1, 1, 1, generator=generator, device=device)
    white = torch.randn(pictures.shape, generator=generator, device=device)
    coarse = gaussian_blur(white, _uniform(settings.grain, count, generator, device).flatten())
    noise = coarse / coarse.std(dim=(2, 3), keepdim=True)
    amount = _uniform(settings.noise, count, generator, device) * _chosen(settings.noise_rate, count, generator, device)
    direction = _uniform((0.0, 2 * torch.pi), count, generator, device)
    y = torch.linspace(-0.5, 0.5, height, device=device)[:, None]
    x = torch.linspace(-0.5, 0.5, width, device=device)
    slope = _uniform(settings.gradient, count, generator, device) * _chosen(settings.gradient_rate, count, generator, device)
    return pictures + amount * noise + slope * (x * direction.cos() + y * direction.sin())


def _streak(pictures: Tensor, targets: Tensor, settings: Augmentation, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Repeat one row (or column) to the picture's edge, as padded micrographs have it."""
    count, device = len(pictures), pictures.device
    chosen = _chosen(settings.border_rate, count, generator, device).flatten()
    share = _uniform(settings.border, count, generator, device).flatten()
    side = torch.randint(4, (count,), generator=generator, device=device)
    height, width = pictures.shape[-2:]
    for index in torch.nonzero(chosen).flatten().tolist():
        axis, far = 2 + int(side[index]) % 2, int(side[index]) // 2
        length = height if axis == 2 else width
        rows = max(1, int(share[index] * length))
        start, source = (length - rows, length - rows - 1) if far else (0, rows)
        strip, line = pictures[index : index + 1].narrow(axis, start, rows), pictures[index : index + 1].narrow(axis, source, 1)
        strip.copy_(line.clone().expand_as(strip))
        targets[index : index + 1].narrow(axis, start, rows).zero_()
    return pictures, targets
