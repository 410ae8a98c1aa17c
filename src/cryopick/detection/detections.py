"""Detections of a model, and their conversion to picks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryopick.coordinates import PixelMap, inside
from cryopick.types import Micrograph, Picks


@dataclass(frozen=True)
class Detections:
    """Particles found by a model: centres float64 (n, 2) as (x, y) in pixels of its own input, scores float32 (n,) in [0, 1]."""

    xy: NDArray[np.float64]
    scores: NDArray[np.float32]


def to_picks(detections: Detections, to_home: PixelMap, micrograph: Micrograph, *, diameter: float | None) -> Picks:
    """Convert detections to picks on their micrograph, best first (ties by row, then column), without those outside the image.

    `diameter` in Å, or in pixels when the micrograph's pixel size is unknown.
    """
    xy = to_home.to_home(detections.xy)
    order = np.lexsort((xy[:, 0], xy[:, 1], -detections.scores))
    order = order[inside(xy[order], micrograph.shape_hw)]
    about = (micrograph.shape_hw, micrograph.pixel_size, micrograph.optics_group, micrograph.uid)
    return Picks(micrograph.name, xy[order], detections.scores[order], diameter, *about)
