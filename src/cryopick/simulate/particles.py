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
    area = (shape_hw[0] + size) * (shape_hw[1] + size)
    wanted = (conditions.coverage * area / (math.pi / 4 * size**2)).ceil().long()
    whole = place(
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
    """Planes (p, 4) that leave fragments from little to half of their beads, and the others all."""
    normal = torch.nn.functional.normalize(torch.randn(len(role), 3, generator=rng, device=rng.device), dim=1)
    offset = -0.35 * diameter * torch.rand(len(role), generator=rng, device=rng.device)
    return torch.cat([normal, torch.where(role == FRAGMENT, offset, torch.inf)[:, None]], 1)


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
