"""Artefacts of illumination, detector and motion correction."""

import torch
from torch.nn.functional import interpolate

from cryopick.simulate.settings import SimulationSettings


def illumination(settings: SimulationSettings, count: int, shape_hw: tuple[int, int], rng: torch.Generator) -> torch.Tensor:
    """Return a factor on the dose that falls off by up to 25 % in some images.

    (b, h, w), or ones (b, 1, 1) if the illumination is even in all of them.
    """
    field = torch.randn(count, 1, 3, 3, generator=rng, device=rng.device)
    depth = 0.25 * torch.rand(count, generator=rng, device=rng.device)
    depth = depth * (torch.rand(count, generator=rng, device=rng.device) < settings.falloff)
    if not bool(depth.any()):
        return torch.ones(count, 1, 1, device=rng.device)
    smooth = interpolate(field, size=shape_hw, mode="bicubic", align_corners=True)[:, 0]
    smooth = smooth - smooth.amin((1, 2), keepdim=True)
    return 1 - depth[:, None, None] * smooth / smooth.amax((1, 2), keepdim=True).clamp(min=1e-6)


def add_artefacts(images: torch.Tensor, settings: SimulationSettings, rng: torch.Generator) -> torch.Tensor:
    """Add gain residues, hot pixels and inverted contrast to images (b, h, w), each at its own rate."""
    count, height, width = images.shape
    images = images * _gain(settings.gain_residue, count, (height, width), rng)
    level = images.mean((1, 2))[:, None]
    hot = torch.rand(count, 1, generator=rng, device=rng.device) < settings.hot_pixels
    number = max(1, height * width // 50_000)
    where = torch.randint(height * width, (count, number), generator=rng, device=rng.device)
    value = level * (2 + 8 * torch.rand(count, number, generator=rng, device=rng.device))
    flat = images.flatten(1)
    flat = flat.scatter(1, where, torch.where(hot, value, flat.gather(1, where)))
    inverted = torch.rand(count, 1, generator=rng, device=rng.device) < settings.inverted
    return torch.where(inverted, 2 * level - flat, flat).view_as(images)


def borders(settings: SimulationSettings, count: int, shape_hw: tuple[int, int], rng: torch.Generator) -> torch.Tensor:
    """Draw the widths int64 (b, 4) of replicated borders left, top, right and bottom: 0 to 5 % of the shorter side."""
    share = 0.05 * torch.rand(count, 4, generator=rng, device=rng.device)
    share = share * (torch.rand(count, 4, generator=rng, device=rng.device) < 0.7)
    share = share * (torch.rand(count, 1, generator=rng, device=rng.device) < settings.border)
    return (share * min(shape_hw)).long()


def replicate_borders(images: torch.Tensor, widths: torch.Tensor) -> torch.Tensor:
    """Replace the borders of images (b, h, w) by their innermost neighbours; `widths` (b, 4) as from `borders`."""
    _, height, width = images.shape
    left, top, right, bottom = widths[:, :, None].unbind(1)
    row = torch.arange(height, device=images.device)[None].clamp(top, height - 1 - bottom)
    column = torch.arange(width, device=images.device)[None].clamp(left, width - 1 - right)
    return images[torch.arange(len(images), device=images.device)[:, None, None], row[:, :, None], column[:, None, :]]


def _gain(share: float, count: int, shape_hw: tuple[int, int], rng: torch.Generator) -> torch.Tensor:
    """Return a gain factor with lines and 8 × 8 blocks that are off by some per mille.

    (b, h, w), or ones (b, 1, 1) if no image has a residue.
    """
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
