"""Training targets drawn from picks: discs on whole micrographs, and maps of centres, particles and junk on crops."""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryopick.coordinates import PixelMap
from cryopick.errors import CryopickError
from cryopick.simulate.crops import Crops
from cryopick.simulate.settings import SimulationSettings
from cryopick.train.data.augment import Augmentation
from cryopick.types import Picks

Mask = NDArray[np.float32]


def disc_mask(
    picks: Picks,
    *,
    shape_hw: tuple[int, int] | None = None,
    to_home: PixelMap | None = None,
    fraction: float = 1.0,
    edge: float = 0.0,
) -> Mask:
    """Draw a disc on every pick: float32 (h, w) in [0, 1], the larger value where discs overlap.

    A pixel belongs to a disc if its centre lies within the radius of the pick. The published targets are whole particles
    (`fraction=1`); small discs on the centres separate particles that touch.

    Parameters
    ----------
    picks : with a diameter, and with `shape_hw` unless that is given here.
    shape_hw : of the mask; the micrograph's by default.
    to_home : maps the mask's pixels to the micrograph's, for a resized or cropped image; one that is squeezed along one axis gets
        ellipses.
    fraction : diameter of the discs as a fraction of the particle diameter.
    edge : width in micrograph pixels over which the value falls from 1 to 0, centred on the radius.

    Raises
    ------
    CryopickError
        If the diameter or the shape is unknown.
    """
    to_home = to_home or PixelMap()
    shape = shape_hw or picks.shape_hw
    if picks.diameter_px is None or shape is None:
        raise CryopickError(f"{picks.micrograph}: the particle diameter or the shape of the image is unknown; give both")
    radius = fraction * picks.diameter_px / 2
    mask = np.zeros(shape, np.float32)
    scale_x, scale_y = (abs(scale) for scale in to_home.scale)
    for x, y in to_home.from_home(picks.xy):
        columns = _reach(x, (radius + edge / 2) / scale_x, shape[1])
        rows = _reach(y, (radius + edge / 2) / scale_y, shape[0])
        across = ((np.arange(columns.start, columns.stop) - x) * scale_x) ** 2
        down = ((np.arange(rows.start, rows.stop) - y) * scale_y) ** 2
        inward = radius - np.sqrt(down[:, None] + across)
        values = inward >= 0 if edge == 0 else np.clip(inward / edge + 0.5, 0, 1)
        np.maximum(mask[rows, columns], values, out=mask[rows, columns], casting="same_kind")
    return mask


def _reach(centre: float, radius: float, length: int) -> slice:
    """Return the pixels within a radius of a centre along one axis of a given length; may be empty."""
    start = min(max(0, math.ceil(centre - radius)), length)
    return slice(start, max(start, min(length, math.floor(centre + radius) + 1)))


MAPS = ("centre", "particle", "junk")
"""Names of the target maps, in their order."""


@dataclass(frozen=True)
class CropSettings:
    """Settings of crops, their target maps and the loss of these.

    Attributes
    ----------
    size : side of a crop [px].
    diameter_px : range of the particle diameter in crops [px], sampled log-uniformly; includes the size that pickers scale to.
    centre_radius : radius of the disc that marks a centre, in diameters.
    map_weights : weights of the losses of the three maps.
    positive_weight : weight of pixels in centre discs in the cross-entropy.
    spacing : smallest distance between two picks in validation, in diameters.
    simulation : settings of simulated crops.
    augmentation : of all crops.
    """

    size: int = 128
    diameter_px: tuple[float, float] = (9.0, 16.0)
    centre_radius: float = 0.18
    map_weights: tuple[float, float, float] = (1.0, 0.5, 0.5)
    positive_weight: float = 4.0
    spacing: float = 0.5
    simulation: SimulationSettings = field(default_factory=SimulationSettings)
    augmentation: Augmentation = field(default_factory=Augmentation)


def target_maps(crops: Crops, *, centre_radius: float) -> Tensor:
    """Draw target maps (b, 3, h, w) of 0 and 1, in the order of `MAPS`.

    Discs with a radius of `centre_radius` diameters on the centres, discs of whole particles, and everything that is neither ice
    nor a particle.
    """
    shape = (len(crops.pixels), *crops.pixels.shape[1:])
    radius = crops.diameter_px[crops.image]
    whole = discs(crops.xy, crops.image, radius / 2, shape)
    junk = discs(crops.junk_xy, crops.junk_image, crops.diameter_px[crops.junk_image] / 2, shape)
    junk = torch.maximum(junk * (1 - whole), (crops.cover > 0).float())
    return torch.stack((discs(crops.xy, crops.image, centre_radius * radius, shape), whole, junk), dim=1)


def discs(xy: Tensor, image: Tensor, radius: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Draw discs of given radii (n,) around points xy (n, 2), each in its `image` (n,): maps (b, h, w) of 0 and 1."""
    count, height, width = shape
    maps = torch.zeros(count * height * width, device=xy.device)
    if len(xy) == 0:
        return maps.view(count, height, width)
    reach = int(radius.max().ceil())
    step = torch.arange(-reach, reach + 1, device=xy.device)
    around = torch.stack(torch.meshgrid(step, step, indexing="xy"), dim=-1).reshape(-1, 2)
    pixels = xy.round().long()[:, None] + around
    near = (pixels - xy[:, None]).square().sum(-1) <= radius[:, None] ** 2
    near &= (pixels >= 0).all(-1) & (pixels[..., 0] < width) & (pixels[..., 1] < height)
    maps[((image[:, None] * height + pixels[..., 1]) * width + pixels[..., 0])[near]] = 1
    return maps.view(count, height, width)
