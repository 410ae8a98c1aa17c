"""The particles of a batch of micrographs, whole ones and what is left of others."""

import math
from dataclasses import dataclass, fields

import torch

from cryopick.simulate.conditions import Conditions
from cryopick.simulate.placement import place
from cryopick.simulate.settings import SimulationSettings
from cryopick.simulate.symmetry import random_rotations, tilted_rotations

WHOLE, FRAGMENT, AGGREGATE = 0, 1, 2
COPIES_IN_AGGREGATE = 6


@dataclass(frozen=True, eq=False)
class Particles:
    """Particles of all pictures of a batch in one list of p.

    Attributes
    ----------
    role : int64 (p,), `WHOLE`, `FRAGMENT` or one copy in an `AGGREGATE`.
    image : int64 (p,), the picture it is in.
    xy : float32 (p, 2), centre in pixels of the picture.
    rotation : float32 (p, 3, 3), from the structure's frame to the picture's.
    amplitude : float32 (p,), factor on its potential.
    cut : float32 (p, 4), the plane in the structure's frame beyond which beads are missing: normal and offset in Å.
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
        """Those that a boolean mask or an index selects."""
        return Particles(**{field.name: getattr(self, field.name)[keep] for field in fields(self)})


def draw_particles(
    conditions: Conditions,
    settings: SimulationSettings,
    *,
    shape_hw: tuple[int, int],
    allowed: torch.Tensor | None,
    rng: torch.Generator,
) -> Particles:
    """Whole particles by coverage, spacing and clustering, then fragments and aggregates anywhere."""
    size = conditions.diameter / conditions.pixel_size
    margin = size / 2
    area = (shape_hw[0] + 2 * margin) * (shape_hw[1] + 2 * margin)
    wanted = (conditions.coverage * area / (math.pi / 4 * size**2)).ceil().long()
    spacing = conditions.spacing * size
    xy, image = place(
        wanted,
        distance=spacing,
        margin=margin,
        shape_hw=shape_hw,
        clustering=conditions.clustering,
        allowed=allowed,
        rng=rng,
    )
    broken_xy, broken_image = _scattered(
        settings.fragments * torch.rand(size.shape, generator=rng, device=rng.device) * wanted, shape_hw, rng
    )
    clump_xy, clump_image = _clumps(settings.aggregates, size, shape_hw, rng)
    image = torch.cat([image, broken_image, clump_image])
    count = len(image)
    role = torch.full((count,), WHOLE, device=rng.device)
    role[len(xy) :] = FRAGMENT
    role[len(xy) + len(broken_xy) :] = AGGREGATE
    normal = torch.nn.functional.normalize(torch.randn(count, 3, generator=rng, device=rng.device), dim=1)
    offset = conditions.diameter[image] * (-0.1 * torch.rand(count, generator=rng, device=rng.device))
    offset = torch.where(role == FRAGMENT, offset, torch.inf)
    jitter = torch.exp(settings.amplitude_jitter * torch.randn(count, generator=rng, device=rng.device))
    return Particles(
        role,
        image,
        torch.cat([xy, broken_xy, clump_xy]),
        _orientations(image, conditions.preferred, rng),
        jitter,
        torch.cat([normal, offset[:, None]], 1),
    )


def _orientations(image: torch.Tensor, preferred: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Any orientation, or one side of each picture's own up to a tilt, where `preferred` (b,) is finite."""
    free = random_rotations(len(image), rng)
    side = random_rotations(len(preferred), rng)
    lying = tilted_rotations(preferred[image].clamp(max=math.pi), rng) @ side[image]
    return torch.where(torch.isfinite(preferred)[image, None, None], lying, free)


def _scattered(mean: torch.Tensor, shape_hw: tuple[int, int], rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Uniform points (p, 2) and their pictures (p,), a Poisson number of them with the given mean (b,) in each picture."""
    count = torch.poisson(mean, generator=rng).long()
    image = torch.arange(len(mean), device=rng.device).repeat_interleave(count)
    size = torch.tensor([shape_hw[1], shape_hw[0]], device=rng.device)
    return torch.rand(len(image), 2, generator=rng, device=rng.device) * size - 0.5, image


def _clumps(
    mean: float, size: torch.Tensor, shape_hw: tuple[int, int], rng: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Copies that lie within about half a diameter of one another, `COPIES_IN_AGGREGATE` to a clump."""
    centre, image = _scattered(torch.full_like(size, mean), shape_hw, rng)
    image = image.repeat_interleave(COPIES_IN_AGGREGATE)
    shift = 0.3 * size[image, None] * torch.randn(len(image), 2, generator=rng, device=rng.device)
    return centre.repeat_interleave(COPIES_IN_AGGREGATE, 0) + shift, image
