"""Placement of particles: at least a given distance apart, clustered by a random field, off forbidden areas."""

import numpy as np
import torch
from scipy.spatial import cKDTree

TRIES = 12
"""Candidates per requested particle."""
DENSE_CANDIDATES = 640
"""Largest number of candidates per image in a batch, where all distances are computed at once."""


def place_particles(
    wanted: torch.Tensor,
    *,
    distance: torch.Tensor,
    margin: torch.Tensor,
    shape_hw: tuple[int, int],
    clustering: torch.Tensor,
    allowed: torch.Tensor | None,
    rng: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Place particles by random sequential adsorption.

    Candidates come in a random order and stay unless an earlier one that stayed is too close.

    Parameters
    ----------
    wanted : int64 (b,), number of particles; fewer are placed if no more fit.
    distance : (b,), smallest distance of two centres in pixels.
    margin : (b,), how far in pixels centres may lie outside the image.
    shape_hw : of the images.
    clustering : (b,), strength of the density field; 0 for a uniform density.
    allowed : bool (b, h, w), where particles may lie; None for everywhere.

    Returns
    -------
    xy : float32 (p, 2), centres in pixels, sorted by image.
    image : int64 (p,), index of the image.
    """
    count, most = len(wanted), int(wanted.max()) if len(wanted) else 0
    if most == 0:
        return torch.zeros(0, 2, device=wanted.device), torch.zeros(0, dtype=torch.long, device=wanted.device)
    tries = TRIES * most if count == 1 else min(TRIES * most, DENSE_CANDIDATES)
    height, width = shape_hw
    size = torch.tensor([width, height], device=wanted.device) + 2 * margin[:, None]
    xy = _candidates(tries, clustering, rng) * size[:, None] - margin[:, None, None] - 0.5
    alive = torch.ones(count, tries, dtype=torch.bool, device=wanted.device)
    if allowed is not None:
        column, row = xy.round().long().unbind(2)
        which = torch.arange(count, device=wanted.device)[:, None]
        alive = allowed[which, row.clamp(0, height - 1), column.clamp(0, width - 1)]
    keep = _first_come(alive.flatten(), *_close_pairs(xy, distance)).view(count, tries)
    keep &= keep.cumsum(1) <= wanted[:, None]
    image, index = keep.nonzero(as_tuple=True)
    return xy[image, index], image


def _candidates(tries: int, clustering: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Draw points (b, tries, 2) in the unit square with density exp(clustering · smooth noise)."""
    coarse = torch.randn(len(clustering), 1, 12, 12, generator=rng, device=rng.device)
    field = torch.nn.functional.interpolate(coarse, size=(64, 64), mode="bicubic", align_corners=False)
    density = torch.exp(clustering[:, None] * field.flatten(1))
    cell = torch.multinomial(density, tries, replacement=True, generator=rng)
    corner = torch.stack([cell % 64, cell // 64], 2)
    return (corner + torch.rand(*corner.shape, generator=rng, device=rng.device)) / 64


def _close_pairs(xy: torch.Tensor, distance: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return pairs (earlier, later) of candidates that are too close, as indices into the flattened candidates."""
    count, tries = xy.shape[:2]
    if count == 1 and tries > DENSE_CANDIDATES:
        pairs = cKDTree(xy[0].cpu().numpy().astype(np.float64)).query_pairs(float(distance[0]), output_type="ndarray")
        earlier, later = torch.from_numpy(np.sort(pairs, axis=1)).to(xy.device).unbind(1)
        return earlier, later
    apart = torch.cdist(xy, xy, compute_mode="donot_use_mm_for_euclid_dist")
    close = torch.triu(apart < distance[:, None, None], diagonal=1)
    image, first, second = close.nonzero(as_tuple=True)
    return image * tries + first, image * tries + second


def _first_come(alive: torch.Tensor, earlier: torch.Tensor, later: torch.Tensor) -> torch.Tensor:
    """Return which candidates stay if each is rejected by any earlier one that stayed."""
    alive, chosen = alive.clone(), torch.zeros_like(alive)
    while bool(alive.any()):
        blocked = torch.zeros_like(alive)
        blocked[later[alive[earlier] & alive[later]]] = True
        winners = alive & ~blocked
        chosen |= winners
        alive &= ~winners
        alive[later[winners[earlier]]] = False
    return chosen
