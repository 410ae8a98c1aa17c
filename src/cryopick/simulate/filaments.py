"""Filaments: long bent bodies of protein that cross the image."""

import math
from dataclasses import dataclass

import torch

from cryopick.simulate.conditions import Conditions
from cryopick.simulate.structures import PROTEIN_MINUS_ICE

NODES = 33
"""Points along a filament's path."""
POINTS = 8192
"""Point beads per filament."""


@dataclass(frozen=True, eq=False)
class Filaments:
    """Filaments of a batch of images.

    Attributes
    ----------
    image : int64 (f,), index of the image.
    path : float32 (f, `NODES`, 2), x y in pixels.
    width : float32 (f,), Å.
    """

    image: torch.Tensor
    path: torch.Tensor
    width: torch.Tensor


def draw_filaments(share: float, conditions: Conditions, *, shape_hw: tuple[int, int], rng: torch.Generator) -> Filaments:
    """Draw one to four filaments for a share of the images, 60 to 200 Å wide and 1.5 times as long as the image."""
    count = len(conditions.pixel_size)
    number = torch.randint(1, 5, (count,), generator=rng, device=rng.device)
    number *= torch.rand(count, generator=rng, device=rng.device) < share
    image = torch.arange(count, device=rng.device).repeat_interleave(number)
    size = torch.tensor([shape_hw[1], shape_hw[0]], device=rng.device)
    middle = torch.rand(len(image), 1, 2, generator=rng, device=rng.device) * size
    bend = 0.15 * torch.randn(len(image), NODES, generator=rng, device=rng.device).cumsum(1)
    heading = 2 * math.pi * torch.rand(len(image), 1, generator=rng, device=rng.device) + bend
    step = 1.5 * max(shape_hw) / (NODES - 1)
    path = (step * torch.stack([heading.cos(), heading.sin()], 2)).cumsum(1)
    width = 60 + 140 * torch.rand(len(image), generator=rng, device=rng.device)
    return Filaments(image, path - path[:, NODES // 2, None] + middle, width)


def filament_points(
    filaments: Filaments, pixel_size: torch.Tensor, rng: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Fill filaments with point beads.

    Returns
    -------
    xy : (n, 2), pixels.
    values : (n,), projected potential in V·Å.
    image : (n,), index of the image.
    """
    count, device = len(filaments.image), rng.device
    along = (torch.arange(POINTS, device=device) + torch.rand(count, POINTS, generator=rng, device=device)) / POINTS * (NODES - 1)
    node = along.long().clamp(max=NODES - 2)
    row = torch.arange(count, device=device)[:, None]
    segment = filaments.path[row, node + 1] - filaments.path[row, node]
    angle = 2 * math.pi * torch.rand(count, POINTS, generator=rng, device=device)
    across = torch.rand(count, POINTS, generator=rng, device=device).sqrt() * angle.cos() / 2  # a cylinder seen from the side
    size = pixel_size[filaments.image]
    normal = torch.nn.functional.normalize(torch.stack([-segment[..., 1], segment[..., 0]], 2), dim=2)
    points = filaments.path[row, node] + (along - node)[..., None] * segment
    points = points + normal * (across * (filaments.width / size)[:, None])[..., None]
    length = segment[:, 0].norm(dim=1) * (NODES - 1) * size
    charge = PROTEIN_MINUS_ICE * math.pi / 4 * filaments.width**2 * length / POINTS
    values = (charge / size**2).repeat_interleave(POINTS)
    return points.flatten(0, 1), values, filaments.image.repeat_interleave(POINTS)
