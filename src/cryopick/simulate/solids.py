"""Solids in the field of view besides particles: carbon film, contamination, crystalline ice, gold beads."""

import math
from dataclasses import dataclass

import torch
from torch.nn.functional import interpolate

from cryopick.simulate.conditions import Conditions
from cryopick.simulate.settings import SimulationSettings

COARSE, FINEST = 1024, 2.0
"""Largest number of points along a side of the grid on which outlines are computed, and their smallest distance in pixels."""
CARBON_POTENTIAL = 9.1
"""V, mean inner potential."""
BLOB_PARTS = (1.0, 0.5, 0.4)
"""Sizes of the ellipsoids of a blob of contamination, relative to the first."""


@dataclass(frozen=True, eq=False)
class Solids:
    """Maps (b, h, w) of the solids in a batch of images.

    Attributes
    ----------
    potential : projected potential, V·Å.
    absorption : a share 1 − exp(−absorption) of the electrons is lost.
    carbon : 0 to 1, where the carbon film is.
    carbon_thickness : (b,), Å; 0 without a film.
    mask : int64, what covers each pixel: 0 for nothing, else a key of `COVERS`.
    """

    potential: torch.Tensor
    absorption: torch.Tensor
    carbon: torch.Tensor
    carbon_thickness: torch.Tensor
    mask: torch.Tensor


COVERS = {1: "carbon", 2: "contamination", 3: "crystalline ice", 4: "gold"}
"""Names of the values of `Solids.mask`."""


@dataclass(frozen=True, eq=False)
class _Blobs:
    """Ellipsoids: image (n,), centre and half axes (n, 2) in pixels, rotation (n,) in radians, central thickness (n,) in Å."""

    image: torch.Tensor
    centre: torch.Tensor
    axes: torch.Tensor
    turn: torch.Tensor
    thickness: torch.Tensor


def draw_solids(
    conditions: Conditions, settings: SimulationSettings, *, shape_hw: tuple[int, int], pad: int, rng: torch.Generator
) -> Solids:
    """Draw the solids of padded images of `shape_hw`, of which `pad` pixels on every side will be cut off."""
    count = len(conditions.pixel_size)
    potential, absorption = torch.zeros(2, count, *shape_hw, device=rng.device)
    mask = torch.zeros(count, *shape_hw, dtype=torch.long, device=rng.device)
    carbon, carbon_thickness = _carbon(conditions, settings, shape_hw, pad, rng)
    strength = _uniform(rng, count, 0.1, 0.5) * CARBON_POTENTIAL * carbon_thickness
    potential += carbon * strength[:, None, None]
    absorption += carbon * (carbon_thickness / _uniform(rng, count, 2500, 6000))[:, None, None]
    mask[carbon > 0.5] = 1
    layers = (
        (2, _contamination(settings.contamination, conditions, shape_hw, rng), (1.5, 4.0), (3000.0, 6000.0), 0.15),
        (3, _contamination(settings.crystalline, conditions, shape_hw, rng), (2.0, 6.0), (3000.0, 6000.0), 0.5),
        (4, _gold(settings.gold, conditions, shape_hw, rng), (20.0, 30.0), (60.0, 200.0), 0.0),
    )
    for cover, blobs, volts, mean_free_path, roughness in layers:
        if len(blobs.image) == 0:
            continue
        thickness = _thickness(blobs, count, shape_hw, roughness, rng)
        potential += thickness * _uniform(rng, count, *volts)[:, None, None]
        absorption += thickness / _uniform(rng, count, *mean_free_path)[:, None, None]
        mask[thickness > 0.2 * thickness.amax((1, 2), keepdim=True).clamp(min=1e-3)] = cover
    return Solids(potential, absorption, carbon, carbon_thickness, mask)


def _carbon(
    conditions: Conditions, settings: SimulationSettings, shape_hw: tuple[int, int], pad: int, rng: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw a film with a round hole, 0.6 to 4 image widths in radius, whose edge crosses the image.

    Returns its mask (b, h, w) and thickness (b,) in Å.
    """
    count, (height, width) = len(conditions.pixel_size), shape_hw
    present = torch.rand(count, generator=rng, device=rng.device) < settings.carbon
    if not bool(present.any()):
        return torch.zeros(count, *shape_hw, device=rng.device), torch.zeros(count, device=rng.device)
    side = min(height, width) - 2 * pad
    radius, shown = _uniform(rng, count, 0.6, 4.0) * side, _uniform(rng, count, -0.1, 0.45) * side
    angle = _uniform(rng, count, 0, 2 * math.pi)
    away = radius - side / 2 + shown
    x, y = _coarse_grid(shape_hw, rng.device)
    centre_x, centre_y = width / 2 - away * angle.cos(), height / 2 - away * angle.sin()
    outside = torch.hypot(x - centre_x[:, None, None], y - centre_y[:, None, None]) - radius[:, None, None]
    outside = outside * conditions.pixel_size[:, None, None] + 12 * _rough((count, *x.shape[-2:]), 8, rng)
    film = torch.sigmoid(_enlarge(outside, shape_hw) / 6) * present[:, None, None]
    return film, _uniform(rng, count, 100, 250) * present


def _contamination(rate: float, conditions: Conditions, shape_hw: tuple[int, int], rng: torch.Generator) -> _Blobs:
    """Draw Poisson numbers of blobs 0.4 to 1.6 particle diameters across: an ellipsoid with two smaller ones on its rim."""
    image = _poisson_images(rate, conditions, rng)
    share = torch.tensor(BLOB_PARTS, device=rng.device).repeat(len(image))
    base = _uniform(rng, len(image), 0.4, 1.6) * (conditions.diameter / conditions.pixel_size)[image] / 2
    centre = _somewhere(len(image), shape_hw, rng).repeat_interleave(len(BLOB_PARTS), 0)
    image, base = image.repeat_interleave(len(BLOB_PARTS)), base.repeat_interleave(len(BLOB_PARTS))
    shift = 0.6 * base[:, None] * torch.randn(len(image), 2, generator=rng, device=rng.device)
    centre = torch.where((share < 1)[:, None], centre + shift, centre)
    base = base * share
    axes = base[:, None] * torch.exp(0.15 * torch.randn(len(image), 2, generator=rng, device=rng.device))
    turn = _uniform(rng, len(image), 0, math.pi)
    height = base * conditions.pixel_size[image] * _uniform(rng, len(image), 0.6, 1.4)
    return _Blobs(image, centre, axes, turn, height)


def _gold(share: float, conditions: Conditions, shape_hw: tuple[int, int], rng: torch.Generator) -> _Blobs:
    """Draw 1 to 11 gold beads of 50 to 150 Å in a share of the images."""
    count = len(conditions.pixel_size)
    number = torch.randint(1, 12, (count,), generator=rng, device=rng.device)
    number *= torch.rand(count, generator=rng, device=rng.device) < share
    image = torch.arange(count, device=rng.device).repeat_interleave(number)
    radius = _uniform(rng, len(image), 25, 75)
    pixels = (radius / conditions.pixel_size[image])[:, None].expand(-1, 2)
    return _Blobs(image, _somewhere(len(image), shape_hw, rng), pixels, torch.zeros_like(radius), radius)


def _thickness(blobs: _Blobs, count: int, shape_hw: tuple[int, int], roughness: float, rng: torch.Generator) -> torch.Tensor:
    """Return the thickness (b, h, w) in Å of ellipsoids with rough outlines; where they overlap, that of the thickest."""
    x, y = _coarse_grid(shape_hw, rng.device)
    across, along = x - blobs.centre[:, 0, None, None], y - blobs.centre[:, 1, None, None]
    cos, sin = blobs.turn.cos()[:, None, None], blobs.turn.sin()[:, None, None]
    u = (across * cos + along * sin) / blobs.axes[:, 0, None, None]
    v = (along * cos - across * sin) / blobs.axes[:, 1, None, None]
    inside = 1 - u**2 - v**2
    if roughness:
        images, which = torch.unique(blobs.image, return_inverse=True)
        inside = inside + roughness * _rough((len(images), *x.shape[-2:]), 16, rng)[which]
    square = inside * blobs.thickness[:, None, None] ** 2
    highest = torch.full((count, *x.shape[-2:]), -1.0, device=rng.device)
    highest.scatter_reduce_(0, blobs.image[:, None, None].expand_as(square), square, "amax")
    return _enlarge(highest, shape_hw).clamp(min=0).sqrt()


def _rough(shape: tuple[int, int, int], cells: int, rng: torch.Generator) -> torch.Tensor:
    """Draw smooth noise (b, h, w) with a standard deviation near 1 and detail down to 1/(4 cells) of the image."""
    count, height, width = shape
    field = torch.zeros(shape, device=rng.device)
    for octave in (1, 2, 4):
        coarse = torch.randn(count, 1, cells * octave, cells * octave, generator=rng, device=rng.device)
        field += interpolate(coarse, size=(height, width), mode="bicubic", align_corners=False)[:, 0] / octave
    return field


def _coarse_grid(shape_hw: tuple[int, int], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the columns and rows (1, h', w') in pixels of the full image of the points that `_enlarge` interpolates."""
    steps = [max(FINEST, side / COARSE) for side in shape_hw]
    rows, columns = (
        (torch.arange(math.ceil(side / step), device=device) + 0.5) * (side / math.ceil(side / step)) - 0.5
        for side, step in zip(shape_hw, steps, strict=True)
    )
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return x[None], y[None]


def _enlarge(coarse: torch.Tensor, shape_hw: tuple[int, int]) -> torch.Tensor:
    if coarse.shape[-2:] == shape_hw:
        return coarse
    return interpolate(coarse[:, None], size=shape_hw, mode="bilinear", align_corners=False)[:, 0]


def _poisson_images(rate: float, conditions: Conditions, rng: torch.Generator) -> torch.Tensor:
    count = torch.poisson(torch.full_like(conditions.pixel_size, rate), generator=rng).long()
    return torch.arange(len(count), device=rng.device).repeat_interleave(count)


def _somewhere(count: int, shape_hw: tuple[int, int], rng: torch.Generator) -> torch.Tensor:
    size = torch.tensor([shape_hw[1], shape_hw[0]], device=rng.device)
    return torch.rand(count, 2, generator=rng, device=rng.device) * size - 0.5


def _uniform(rng: torch.Generator, count: int, low: float, high: float) -> torch.Tensor:
    return low + (high - low) * torch.rand(count, generator=rng, device=rng.device)
