"""Projection of many particles at once: beads are rotated, projected along z and added to the images."""

import math

import torch

from cryopick.simulate.ctf import Frequencies

BEADS_AT_ONCE = 2_000_000


def project_particles(
    beads: torch.Tensor,
    weights: torch.Tensor,
    *,
    structure: torch.Tensor,
    image: torch.Tensor,
    xy: torch.Tensor,
    rotation: torch.Tensor,
    amplitude: torch.Tensor,
    cut: torch.Tensor,
    pixel_size: torch.Tensor,
    shape: tuple[int, int, int],
) -> torch.Tensor:
    """Project particles made of point beads: (b, h, w) in V·Å. `blur` gives the beads their size.

    Parameters
    ----------
    beads, weights : (s, k, 3) in Å and (s, k) in V·Å³, the structures.
    structure, image : int64 (p,), index of each particle's structure and image.
    xy : (p, 2), centres in pixels. Images are periodic.
    rotation : (p, 3, 3), from the structure's frame to the image's; z is the beam.
    amplitude : (p,), factor on the potential.
    cut : (p, 4), plane (n, d) in the structure's frame, d in Å: beads with x·n > d are omitted.
    pixel_size : (b,), Å.
    shape : (b, h, w) of the result.
    """
    potential = torch.zeros(shape, device=beads.device)
    step = max(1, BEADS_AT_ONCE // beads.shape[1])
    for start in range(0, len(xy), step):
        part = slice(start, start + step)
        places, charge = beads[structure[part]], weights[structure[part]] * amplitude[part, None]
        charge = charge * (torch.einsum("pkj,pj->pk", places, cut[part, :3]) <= cut[part, 3:])
        size = pixel_size[image[part]]
        points = torch.einsum("pij,pkj->pki", rotation[part, :2], places) / size[:, None, None] + xy[part, None]
        scatter(
            potential,
            points.flatten(0, 1),
            (charge / size[:, None] ** 2).flatten(),
            image[part].repeat_interleave(beads.shape[1]),
        )
    return potential


def scatter(images: torch.Tensor, xy: torch.Tensor, values: torch.Tensor, image: torch.Tensor) -> None:
    """Add values (n,) at points (n, 2) to images (b, h, w) in place, bilinearly, with periodic edges."""
    _, height, width = images.shape
    base = xy.floor()
    right, down = (xy - base).unbind(1)
    x, y = base.long().unbind(1)
    columns, rows = (x % width, (x + 1) % width), (image * height + y % height, image * height + (y + 1) % height)
    flat = images.view(-1)
    for column, across in zip(columns, (1 - right, right), strict=True):
        for row, along in zip(rows, (1 - down, down), strict=True):
            flat.index_add_(0, row * width + column, across * along * values)


def blur(sigma: torch.Tensor, pixel_size: torch.Tensor, at: Frequencies) -> torch.Tensor:
    """Return the filter (b, h, w // 2 + 1) that turns scattered points into Gaussians of `sigma` (b,) Å.

    It also divides out the bilinear kernel of `scatter`, by at most a factor of two.
    """
    size = pixel_size[:, None, None]
    shared = (torch.sinc(at.x * size) * torch.sinc(at.y * size)) ** 2
    return torch.exp(-2 * math.pi**2 * sigma[:, None, None] ** 2 * at.squared) / shared.clamp(min=0.5)
