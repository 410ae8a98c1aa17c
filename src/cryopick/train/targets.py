"""What a segmenting network should answer: masks drawn from picks."""

import math

import numpy as np
from numpy.typing import NDArray

from cryopick.coordinates import PixelMap
from cryopick.errors import CryopickError
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
