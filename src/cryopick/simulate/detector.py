"""What a camera, its beam and the programs after it do to a finished picture."""

import torch
from torch.nn.functional import interpolate

from cryopick.simulate.settings import SimulationSettings


def illumination(settings: SimulationSettings, count: int, shape_hw: tuple[int, int], rng: torch.Generator) -> torch.Tensor:
    """Factor on the dose, falling off by up to 25 % in some pictures: (b, h, w), or (b, 1, 1) where it is 1 in all."""
    field = torch.randn(count, 1, 3, 3, generator=rng, device=rng.device)
    depth = 0.25 * torch.rand(count, generator=rng, device=rng.device)
    depth = depth * (torch.rand(count, generator=rng, device=rng.device) < settings.falloff)
    if not bool(depth.any()):
        return torch.ones(count, 1, 1, device=rng.device)
    smooth = interpolate(field, size=shape_hw, mode="bicubic", align_corners=True)[:, 0]
    smooth = smooth - smooth.amin((1, 2), keepdim=True)
    return 1 - depth[:, None, None] * smooth / smooth.amax((1, 2), keepdim=True).clamp(min=1e-6)


def spoil(pictures: torch.Tensor, settings: SimulationSettings, rng: torch.Generator) -> torch.Tensor:
    """Pictures (b, h, w) with a residue of the gain reference, hot pixels and inverted contrast, each in its share of them."""
    count, height, width = pictures.shape
    pictures = pictures * _gain(settings.gain_residue, count, (height, width), rng)
    level = pictures.mean((1, 2))[:, None]
    hot = torch.rand(count, 1, generator=rng, device=rng.device) < settings.hot_pixels
    number = max(1, height * width // 50_000)
    where = torch.randint(height * width, (count, number), generator=rng, device=rng.device)
    value = level * (2 + 8 * torch.rand(count, number, generator=rng, device=rng.device))
    flat = pictures.flatten(1)
    flat = flat.scatter(1, where, torch.where(hot, value, flat.gather(1, where)))
    inverted = torch.rand(count, 1, generator=rng, device=rng.device) < settings.inverted
    return torch.where(inverted, 2 * level - flat, flat).view_as(pictures)


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
    """Factor (b, h, w), or (b, 1, 1) where it is 1 in all: lines and eight blocks a side, some per mille too bright or dark."""
    present = (torch.rand(count, 1, 1, generator=rng, device=rng.device) < share).float()
    if not bool(present.any()):
        return torch.ones(count, 1, 1, device=rng.device)
    height, width = shape_hw
    lines = torch.randn(count, 1, width, generator=rng, device=rng.device)
    lines = lines + torch.randn(count, height, 1, generator=rng, device=rng.device)
    blocks = torch.randn(count, 1, 8, 8, generator=rng, device=rng.device)
    blocks = interpolate(blocks, size=shape_hw, mode="nearest")[:, 0]
    depth = 0.006 * torch.rand(count, 1, 1, generator=rng, device=rng.device)
    return 1 + present * depth * (lines + blocks)
