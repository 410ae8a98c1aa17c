"""Which boxes around masks are particles, and how large a particle is: the published rules, and rules that hold up better.

Boxes are int (n, 4), first column, first row, last column, last row; their sides are counted as last minus first, as the
published program counts them, in `published_rules`, and in whole pixels, one more, in `robust_rules`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.int64]

NORMAL = 1.4826  # median absolute deviation to standard deviation of a normal distribution


@dataclass(frozen=True)
class Particles:
    """The boxes that are particles, as indices in the order given, and a particle's diameter in home pixels, None without any."""

    kept: NDArray[np.intp]
    diameter_px: float | None


def centres(boxes: Boxes) -> NDArray[np.float64]:
    """Middle of each box (n, 2) as x, y, as published."""
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def published_rules(
    boxes: Boxes, predicted_iou: NDArray[np.float32], *, scale_xy: tuple[float, float], min_iou: float = 0.94
) -> Particles:
    """CryoSegNet's rules (supplementary algorithm S1, constants from its program), without its random duplicates.

    Masks count when their IoU is above `min_iou`. A box passes when both sides lie strictly between mode − th / 3 and mode + th;
    of equally frequent values the one met first is the mode. th is a fifth of the radius, which is half the diagonal of the box
    of the modes in *home* pixels (`scale_xy` of them per pixel of the map), though the sides are not: the tolerance grows with
    the micrograph. The diameter is twice the radius, rounded down. Where no mask is good the published program stops; here
    nothing is kept.
    """
    good = np.flatnonzero(predicted_iou > min_iou)
    if not len(good):
        return Particles(good, None)
    sides = (boxes[:, 2:] - boxes[:, :2])[good]
    mode = np.array([_mode(sides[:, 0]), _mode(sides[:, 1])])
    radius = int(np.hypot(*(mode * scale_xy)) // 2)
    tolerance = 0.2 * radius
    passes = ((sides > mode - tolerance / 3) & (sides < mode + tolerance)).all(axis=1)
    return Particles(good[passes], 2.0 * radius if radius else None)


def robust_rules(
    boxes: Boxes,
    scores: NDArray[np.float32],
    *,
    shape_hw: tuple[int, int],
    scale_xy: tuple[float, float],
    diameter_px: float | None = None,
    min_score: float = 0.5,
    tolerance: float = 0.35,
) -> Particles:
    """Boxes about as large as a particle, everything in home pixels (`scale_xy` of them per pixel of the map).

    The usual size is `diameter_px` where it is known, else the median of the mean sides of all candidates: boxes with a score of
    at least `min_score`, not cut by the edge of the map (`shape_hw`), and at most twice as long as wide. A candidate passes when
    its mean side is within `tolerance` times the usual size of it. Without a known diameter, three robust standard deviations
    (from the median absolute deviation), but at least a tenth, take the place of a `tolerance` that is larger. Cut boxes tell
    neither size nor centre, so they never pass. The diameter returned is the known one, or the median of those that passed.
    """
    height, width = shape_hw
    sides = (boxes[:, 2:] - boxes[:, :2] + 1) * np.asarray(scale_xy, np.float64)
    cut = (boxes[:, :2] <= 0).any(axis=1) | (boxes[:, 2] >= width - 1) | (boxes[:, 3] >= height - 1)
    candidates = np.flatnonzero((scores >= min_score) & ~cut & (sides.max(axis=1) <= 2 * sides.min(axis=1)))
    if not len(candidates):
        return Particles(candidates, diameter_px)
    sizes = sides[candidates].mean(axis=1)
    usual, reach = diameter_px, tolerance
    if usual is None:
        usual = float(np.median(sizes))
        spread = NORMAL * float(np.median(np.abs(sizes - usual))) / usual
        reach = min(tolerance, max(3 * spread, 0.1))
    passes = np.abs(sizes - usual) <= reach * usual
    if diameter_px is None and passes.any():
        usual = float(np.median(sizes[passes]))
    return Particles(candidates[passes], usual)


def _mode(values: NDArray[np.int64]) -> int:
    """The most frequent value, of equally frequent ones the first met."""
    unique, first, count = np.unique(values, return_index=True, return_counts=True)
    return int(unique[np.lexsort((first, -count))[0]])
