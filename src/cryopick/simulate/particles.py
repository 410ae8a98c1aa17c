"""Particles of a batch of micrographs: whole ones, fragments and aggregates."""

import math
from dataclasses import dataclass, fields

import torch

from cryopick.simulate.conditions import Conditions
from cryopick.simulate.placement import place_particles
from cryopick.simulate.settings import SimulationSettings
from cryopick.simulate.symmetry import random_rotations, tilted_rotations

WHOLE, FRAGMENT, AGGREGATE = 0, 1, 2
"""Values of `Particles.role`."""
COPIES_IN_AGGREGATE = 6


@dataclass(frozen=True, eq=False)
class Particles:
    """The p particles of all images of a batch.

    Attributes
    ----------
    role : int64 (p,), `WHOLE`, `FRAGMENT` or, for one copy in an aggregate, `AGGREGATE`.
    image : int64 (p,), index of the image.
    xy : float32 (p, 2), centres in pixels.
    rotation : float32 (p, 3, 3), from the structure's frame to the image's.
    amplitude : float32 (p,), factor on the potential.
    cut : float32 (p, 4), plane in the structure's frame beyond which beads are missing: normal, and offset in Å.
    """

    role: torch.Tensor
    image: torch.Tensor
    xy: torch.Tensor
    rotation: torch.Tensor
    amplitude: torch.Tensor
    cut: torch.Tensor

    def __len__(self) -> int:
        return len(self.xy)

    def where(self, keep: torch.Tensor) -> "Particles":
        """Return the particles that a boolean mask or an index selects."""
        return Particles(**{field.name: getattr(self, field.name)[keep] for field in fields(self)})


def draw_particles(
    conditions: Conditions,
    settings: SimulationSettings,
    *,
    shape_hw: tuple[int, int],
    allowed: torch.Tensor | None,
    rng: torch.Generator,
) -> Particles:
    """Draw whole particles by coverage, spacing and clustering, then fragments and aggregates anywhere.

    `allowed` bool (b, h, w) is where whole particles may lie; None for everywhere.
    """
    size = conditions.diameter / conditions.pixel_size
    area = (shape_hw[0] + size) * (shape_hw[1] + size)
    wanted = (conditions.coverage * area / (math.pi / 4 * size**2)).ceil().long()
    whole = place_particles(
        wanted,
        distance=conditions.spacing * size,
        margin=size / 2,
        shape_hw=shape_hw,
        clustering=conditions.clustering,
        allowed=allowed,
        rng=rng,
    )
    broken = settings.fragments * torch.rand(size.shape, generator=rng, device=rng.device) * wanted
    groups = (whole, _scattered(broken, shape_hw, rng), _clumps(settings.aggregates, size, shape_hw, rng))
    xy, image = (torch.cat(column) for column in zip(*groups, strict=True))
    role = torch.cat([torch.full_like(group[1], role) for group, role in zip(groups, (WHOLE, FRAGMENT, AGGREGATE), strict=True)])
    jitter = torch.randn(len(image), generator=rng, device=rng.device)
    return Particles(
        role,
        image,
        xy,
        _orientations(image, conditions.preferred, rng),
        torch.exp(settings.amplitude_jitter * jitter),
        _cuts(role, conditions.diameter[image], rng),
    )


def _cuts(role: torch.Tensor, diameter: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Draw planes (p, 4) that remove at least half of the beads of fragments, and none of the other particles."""
    normal = torch.nn.functional.normalize(torch.randn(len(role), 3, generator=rng, device=rng.device), dim=1)
    offset = -0.35 * diameter * torch.rand(len(role), generator=rng, device=rng.device)
    return torch.cat([normal, torch.where(role == FRAGMENT, offset, torch.inf)[:, None]], 1)


def _orientations(image: torch.Tensor, preferred: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Draw orientations (p, 3, 3): random, or near one view per image where its spread `preferred` (b,) is finite."""
    free = random_rotations(len(image), rng)
    side = random_rotations(len(preferred), rng)
    lying = tilted_rotations(preferred[image].clamp(max=math.pi), rng) @ side[image]
    return torch.where(torch.isfinite(preferred)[image, None, None], lying, free)


def _scattered(mean: torch.Tensor, shape_hw: tuple[int, int], rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw uniform points (p, 2) and their images (p,): a Poisson number with the given mean (b,) in each image."""
    count = torch.poisson(mean, generator=rng).long()
    image = torch.arange(len(mean), device=rng.device).repeat_interleave(count)
    size = torch.tensor([shape_hw[1], shape_hw[0]], device=rng.device)
    return torch.rand(len(image), 2, generator=rng, device=rng.device) * size - 0.5, image


def _clumps(
    mean: float, size: torch.Tensor, shape_hw: tuple[int, int], rng: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw aggregates: `COPIES_IN_AGGREGATE` copies each, about half a diameter apart."""
    centre, image = _scattered(torch.full_like(size, mean), shape_hw, rng)
    image = image.repeat_interleave(COPIES_IN_AGGREGATE)
    shift = 0.3 * size[image, None] * torch.randn(len(image), 2, generator=rng, device=rng.device)
    return centre.repeat_interleave(COPIES_IN_AGGREGATE, 0) + shift, image
