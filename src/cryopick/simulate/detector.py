"""What a camera, its beam and the programs after it do to a finished picture."""

import torch
from torch.nn.functional import interpolate

from cryopick.simulate.settings import SimulationSettings


def illumination(settings: SimulationSettings, count: int, shape_hw: tuple[int, int], rng: torch.Generator) -> torch.Tensor:
    """Factor (b, h, w) on the dose: 1, or falling off by up to 25 % towards one side in some pictures."""
    field = torch.randn(count, 1, 3, 3, generator=rng, device=rng.device)
    depth = 0.25 * torch.rand(count, generator=rng, device=rng.device)
    depth = depth * (torch.rand(count, generator=rng, device=rng.device) < settings.falloff)
    smooth = interpolate(field, size=shape_hw, mode="bicubic", align_corners=True)[:, 0]
    smooth = smooth - smooth.amin((1, 2), keepdim=True)
    return 1 - depth[:, None, None] * smooth / smooth.amax((1, 2), keepdim=True).clamp(min=1e-6)


def spoil(pictures: torch.Tensor, settings: SimulationSettings, rng: torch.Generator) -> torch.Tensor:
    """Pictures (b, h, w) with a residue of the gain reference, hot pixels and inverted contrast, each in its share of them."""
    count, height, width = pictures.shape
    pictures = pictures * _gain(settings.gain_residue, count, (height, width), rng)
    level = pictures.mean((1, 2), keepdim=True)
    hot = torch.rand(count, 1, 1, generator=rng, device=rng.device) < settings.hot_pixels
    number = max(1, height * width // 50_000)
    where = torch.randint(height * width, (count, number), generator=rng, device=rng.device)
    value = level[:, 0] * (2 + 8 * torch.rand(count, number, generator=rng, device=rng.device))
    bright = pictures.flatten(1).scatter(1, where, value).view_as(pictures)
    pictures = torch.where(hot, bright, pictures)
    inverted = torch.rand(count, 1, 1, generator=rng, device=rng.device) < settings.inverted
    return torch.where(inverted, 2 * level - pictures, pictures)


def borders(settings: SimulationSettings, count: int, shape_hw: tuple[int, int], rng: torch.Generator) -> torch.Tensor:
    """Widths int64 (b, 4) of the streaked borders left, top, right, bottom, up to 5 % of the side; 0 where there is none."""
    share = 0.05 * torch.rand(count, 4, generator=rng, device=rng.device)
    share = share * (torch.rand(count, 4, generator=rng, device=rng.device) < 0.7)
    share = share * (torch.rand(count, 1, generator=rng, device=rng.device) < settings.border)
    return (share * min(shape_hw)).long()


def streak(pictures: torch.Tensor, widths: torch.Tensor) -> torch.Tensor:
    """Pictures (b, h, w) whose borders, `widths` (b, 4) as from `borders`, repeat the first pixel that is kept."""
    _, height, width = pictures.shape
    left, top, right, bottom = widths[:, :, None].unbind(1)
    row = torch.arange(height, device=pictures.device)[None].clamp(top, height - 1 - bottom)
    column = torch.arange(width, device=pictures.device)[None].clamp(left, width - 1 - right)
    return pictures[torch.arange(len(pictures), device=pictures.device)[:, None, None], row[:, :, None], column[:, None, :]]


def _gain(share: float, count: int, shape_hw: tuple[int, int], rng: torch.Generator) -> torch.Tensor:
    """Factor (b, h, w): 1, or with lines and eight blocks a side that are a few per mille to per cent too bright or dark."""
    present = (torch.rand(count, 1, 1, generator=rng, device=rng.device) < share).float()
    height, width = shape_hw
    lines = torch.randn(count, 1, width, generator=rng, device=rng.device)
    lines = lines + torch.randn(count, height, 1, generator=rng, device=rng.device)
    blocks = torch.randn(count, 1, 8, 8, generator=rng, device=rng.device)
    blocks = interpolate(blocks, size=shape_hw, mode="nearest")[:, 0]
    depth = 0.006 * torch.rand(count, 1, 1, generator=rng, device=rng.device)
    return 1 + present * depth * (lines + blocks)
