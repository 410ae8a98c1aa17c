"""What a segmenting network should answer: masks drawn from picks."""

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
    """A disc on every pick, float32 (h, w) in [0, 1]; where discs overlap the larger value counts.

    A pixel belongs to a disc when its centre lies no further than the radius from the pick. The published targets are the whole
    particles (`fraction=1`); small discs on the centres keep particles that touch apart.

    Parameters
    ----------
    picks : with a diameter, and with `shape_hw` unless that is given here.
    shape_hw : of the mask; the micrograph's by default.
    to_home : from the mask's pixels to the micrograph's, for a resized or cropped picture; a picture squeezed along one axis gets
        ellipses.
    fraction : the discs' diameter as a part of the particles'.
    edge : width in micrograph pixels over which the value falls from 1 to 0, half of it to either side of the radius.

    Raises
    ------
    CryopickError
        When the diameter or the shape is unknown.
    """
    to_home = to_home or PixelMap()
    shape = shape_hw or picks.shape_hw
    if picks.diameter_px is None or shape is None:
        raise CryopickError(f"{picks.micrograph}: a mask needs the particles' diameter and the picture's shape; give both")
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
    """Pixels within a radius of a centre along one axis, as far as there are any."""
    start = min(max(0, math.ceil(centre - radius)), length)
    return slice(start, max(start, min(length, math.floor(centre + radius) + 1)))


MAPS = ("centre", "particle", "junk")


@dataclass(frozen=True)
class SegnetRecipe:
    """How crops and their maps are made.

    Attributes
    ----------
    crop : side in pixels.
    diameter_px : range of a particle's diameter in pixels around the one that pickers scale to, log-uniform.
    centre : radius of the disc that marks a centre, in diameters.
    weights : of the three maps' losses.
    positive_weight : of a pixel that is in a centre's disc, in the cross-entropy.
    spacing : smallest distance of two picks, in diameters, while validating.
    """

    crop: int = 128
    diameter_px: tuple[float, float] = (9.0, 16.0)
    centre: float = 0.18
    weights: tuple[float, float, float] = (1.0, 0.5, 0.5)
    positive_weight: float = 4.0
    spacing: float = 0.5
    simulation: SimulationSettings = field(default_factory=SimulationSettings)
    augmentation: Augmentation = field(default_factory=Augmentation)


def target_maps(crops: Crops, *, centre: float) -> Tensor:
    """Maps (b, 3, h, w) of 0 and 1, in the order of `MAPS`.

    Discs of `centre` diameters' radius on the centres, whole particles, and all that is neither ice nor a particle to be found.
    """
    shape = (len(crops.pixels), *crops.pixels.shape[1:])
    radius = crops.diameter_px[crops.image]
    whole = discs(crops.xy, crops.image, radius / 2, shape)
    junk = discs(crops.junk_xy, crops.junk_image, crops.diameter_px[crops.junk_image] / 2, shape)
    junk = torch.maximum(junk * (1 - whole), (crops.cover > 0).float())
    return torch.stack((discs(crops.xy, crops.image, centre * radius, shape), whole, junk), dim=1)


def discs(xy: Tensor, image: Tensor, radius: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Pictures (b, h, w) that are 1 where a pixel lies within `radius` (n,) of a point xy (n, 2) of its picture `image` (n,)."""
    count, height, width = shape
    pictures = torch.zeros(count * height * width, device=xy.device)
    if len(xy) == 0:
        return pictures.view(count, height, width)
    reach = int(radius.max().ceil())
    step = torch.arange(-reach, reach + 1, device=xy.device)
    around = torch.stack(torch.meshgrid(step, step, indexing="xy"), dim=-1).reshape(-1, 2)
    pixels = xy.round().long()[:, None] + around
    near = (pixels - xy[:, None]).square().sum(-1) <= radius[:, None] ** 2
    near &= (pixels >= 0).all(-1) & (pixels[..., 0] < width) & (pixels[..., 1] < height)
    pictures[((image[:, None] * height + pixels[..., 1]) * width + pixels[..., 0])[near]] = 1
    return pictures.view(count, height, width)
