"""Simulated fields of view, the common basis of micrographs and training crops."""

from dataclasses import dataclass

import torch
from scipy.fft import next_fast_len

from cryopick.simulate.conditions import Conditions
from cryopick.simulate.detector import add_artefacts, borders, illumination, replicate_borders
from cryopick.simulate.exposure import expose
from cryopick.simulate.filaments import Filaments, draw_filaments, filament_points
from cryopick.simulate.particles import WHOLE, Particles, draw_particles
from cryopick.simulate.projection import project_particles, scatter
from cryopick.simulate.settings import SimulationSettings
from cryopick.simulate.solids import COVERS, draw_solids

FRINGE = 60.0
"""Margin in Å over which contrast transfer delocalises objects outside the image into it."""
BORDER = max(COVERS) + 1
COVER_NAMES = {**COVERS, BORDER: "border"}
"""Names of the values of cover maps."""
VISIBLE_SAMPLES = 25
"""Points per particle at which its visibility is sampled."""


@dataclass(frozen=True, eq=False)
class Beads:
    """Bead models of s structures on one device, padded to the same number of beads k.

    Attributes
    ----------
    places : (s, k, 3), x y z in Å.
    weights : (s, k), V·Å³; zero for padding.
    sigma : (s,), standard deviation of the beads in Å.
    """

    places: torch.Tensor
    weights: torch.Tensor
    sigma: torch.Tensor


@dataclass(frozen=True, eq=False)
class Field:
    """A batch of b simulated images and their contents.

    Attributes
    ----------
    electrons : float32 (b, h, w), counts per pixel.
    cover : int64 (b, h, w), 0 or a key of `COVER_NAMES`: what covers the pixel.
    particles : all particles, including those beyond the edges.
    visibility : float32 (p,), share of each particle's disc that is inside the image and uncovered; 0 if its centre is in a
        replicated border.
    filaments : paths in pixels.
    border : int64 (b, 4), widths of the replicated borders left, top, right and bottom.
    strength : float32 (b,), factor on the particles' potential that gives the requested contrast.
    """

    electrons: torch.Tensor
    cover: torch.Tensor
    particles: Particles
    visibility: torch.Tensor
    filaments: Filaments
    border: torch.Tensor
    strength: torch.Tensor


def simulate_field(
    conditions: Conditions,
    settings: SimulationSettings,
    beads: Beads,
    *,
    structure: torch.Tensor,
    shape_hw: tuple[int, int],
    rng: torch.Generator,
) -> Field:
    """Draw the contents of b images and expose them, on the generator's device.

    `structure` int64 (b,) is the index of each image's structure in `beads`. Images are simulated with a margin that is then cut
    off, so particles can be cut by the edges.
    """
    pad = int(((conditions.diameter / 2 + FRINGE) / conditions.pixel_size).max().ceil())
    padded = (next_fast_len(shape_hw[0] + 2 * pad, real=True), next_fast_len(shape_hw[1] + 2 * pad, real=True))
    inner = (..., slice(pad, pad + shape_hw[0]), slice(pad, pad + shape_hw[1]))
    count = len(structure)
    solids = draw_solids(conditions, settings, shape_hw=padded, pad=pad, rng=rng)
    anywhere = torch.rand(count, generator=rng, device=rng.device) >= settings.avoid_carbon
    allowed = (solids.carbon[inner] < 0.5) | anywhere[:, None, None]
    particles = draw_particles(conditions, settings, shape_hw=shape_hw, allowed=allowed, rng=rng)
    filaments = draw_filaments(settings.filaments, conditions, shape_hw=shape_hw, rng=rng)
    points = _project(particles, filaments, beads, structure, conditions.pixel_size, pad, padded, rng)
    whole = particles.where(particles.role == WHOLE)
    exposure = expose(
        conditions,
        points,
        bead_sigma=beads.sigma[structure],
        solids=solids,
        illumination=illumination(settings, count, padded, rng),
        centres=whole.xy + pad,
        image=whole.image,
        limits=settings.strength,
        rng=rng,
    )
    border = borders(settings, count, shape_hw, rng)
    cover = _with_border(solids.mask[inner], border)
    electrons = add_artefacts(replicate_borders(exposure.electrons[inner], border), settings, rng)
    visibility = _visibility(particles, conditions.diameter / conditions.pixel_size, cover)
    return Field(electrons, cover, particles, visibility, filaments, border, exposure.strength)


def _project(
    particles: Particles,
    filaments: Filaments,
    beads: Beads,
    structure: torch.Tensor,
    pixel_size: torch.Tensor,
    pad: int,
    padded: tuple[int, int],
    rng: torch.Generator,
) -> torch.Tensor:
    """Project all protein into the padded images: (b, h, w) in V·Å."""
    points = project_particles(
        beads.places,
        beads.weights,
        structure=structure[particles.image],
        image=particles.image,
        xy=particles.xy + pad,
        rotation=particles.rotation,
        amplitude=particles.amplitude,
        cut=particles.cut,
        pixel_size=pixel_size,
        shape=(len(structure), *padded),
    )
    if len(filaments.image):
        xy, values, image = filament_points(filaments, pixel_size, rng)
        scatter(points, xy + pad, values, image)
    return points


def _with_border(cover: torch.Tensor, widths: torch.Tensor) -> torch.Tensor:
    _, height, width = cover.shape
    left, top, right, bottom = widths[:, :, None, None].unbind(1)
    row = torch.arange(height, device=cover.device)[None, :, None]
    column = torch.arange(width, device=cover.device)[None, None, :]
    kept = (row >= top) & (row < height - bottom) & (column >= left) & (column < width - right)
    return torch.where(kept, cover, BORDER)


def _visibility(particles: Particles, diameter_px: torch.Tensor, cover: torch.Tensor) -> torch.Tensor:
    """Return the share (p,) of points spread evenly over each particle's disc that fall on bare ice inside the image.

    Zero if the innermost point, next to the centre, lies in a replicated border.
    """
    _, height, width = cover.shape
    step = torch.arange(VISIBLE_SAMPLES, device=cover.device)
    radius, angle = (step / VISIBLE_SAMPLES).sqrt() / 2, step * 2.399963  # the golden angle: a sunflower's seeds
    spread = torch.stack([radius * angle.cos(), radius * angle.sin()], 1) * diameter_px[particles.image][:, None, None]
    column, row = (particles.xy[:, None] + spread).round().long().unbind(2)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    found = cover[particles.image[:, None], row.clamp(0, height - 1), column.clamp(0, width - 1)]
    return (inside & (found == 0)).float().mean(1) * (found[:, 0] != BORDER)
