"""Rules that select particles among instances or boxes and determine their centres and size: published and robust ones.

The side of a box is its last minus its first pixel in `published_rules`, as in the published program, and one more in
`robust_rules`.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cryopick.coordinates import Frame
from cryopick.detection.components import Instances
from cryopick.detection.sam_masks import suppress_boxes
from cryopick.robust import robust_deviation

SLENDEREST = 2.0
SMALLEST_REACH = 0.2


@dataclass(frozen=True, eq=False)
class SelectedParticles:
    """Instances that were selected as particles.

    Attributes
    ----------
    kept : their indices, in the given order.
    xy : float64 (n, 2), their centres in pixels of the map.
    diameter_px : of a particle, in micrograph pixels; None if unknown.
    """

    kept: NDArray[np.intp]
    xy: NDArray[np.float64]
    diameter_px: float | None


def published_rules(instances: Instances, *, scale_xy: tuple[float, float], min_iou: float = 0.94) -> SelectedParticles:
    """Apply CryoSegNet's rules (supplementary algorithm S1, constants of its program), but without its random duplicates.

    Masks count if their IoU is above `min_iou`. A box passes if both sides lie strictly between mode − th / 3 and mode + th; of
    equally frequent values, the first is the mode. th is a fifth of the radius, which is half the diagonal of the box of the
    modes in *micrograph* pixels (`scale_xy` of them per map pixel), although the sides are in map pixels: the tolerance grows
    with the micrograph. The diameter is twice the radius, rounded down, and the centre is the middle of the box. Without any
    good mask, the published program stops; this function returns an empty result.
    """
    good = np.flatnonzero(instances.scores > min_iou)
    if not len(good):
        return SelectedParticles(good, np.zeros((0, 2)), None)
    boxes = instances.boxes[good]
    sides = boxes[:, 2:] - boxes[:, :2]
    mode = np.array([_mode(sides[:, 0]), _mode(sides[:, 1])])
    radius = int(np.hypot(*(mode * scale_xy)) // 2)
    tolerance = 0.2 * radius
    passes = ((sides > mode - tolerance / 3) & (sides < mode + tolerance)).all(axis=1)
    middles = (boxes[passes, :2] + boxes[passes, 2:]) / 2
    return SelectedParticles(good[passes], middles, 2.0 * radius if radius else None)


def robust_rules(
    instances: Instances,
    *,
    shape_hw: tuple[int, int],
    scale_xy: tuple[float, float],
    diameter_px: float | None = None,
    min_score: float = 0.5,
    tolerance: float = 0.35,
) -> SelectedParticles:
    """Select instances of about a particle's size; all lengths in micrograph pixels (`scale_xy` of them per map pixel).

    Candidates have a score of at least `min_score`, are not cut by the edge of the map (`shape_hw`), and are at most twice as
    long as wide. The usual size is `diameter_px` if known, else the median of the mean sides of all candidates. A candidate
    passes if its mean side differs from the usual size by at most `tolerance` times that size. If the diameter is unknown,
    `tolerance` is limited to three robust standard deviations (from the median absolute deviation), but not below a fifth. The
    centre of a candidate is its centre of mass. An instance that is cut by the edge passes if at least half of the usual size
    remains of each cut side and the other sides are within `tolerance`; its centre is half the usual size from the uncut end.
    """
    scale, last = np.asarray(scale_xy, np.float64), (shape_hw[1] - 1, shape_hw[0] - 1)
    sides = (instances.boxes[:, 2:] - instances.boxes[:, :2] + 1) * scale
    first_cut, last_cut = instances.boxes[:, :2] <= 0, instances.boxes[:, 2:] >= last
    cut = first_cut | last_cut
    good = instances.scores >= min_score
    candidate = good & ~cut.any(axis=1) & (sides.max(axis=1) <= SLENDEREST * sides.min(axis=1))
    sizes = sides.mean(axis=1)
    usual, reach = (diameter_px, tolerance) if diameter_px is not None else _usual(sizes[candidate], tolerance)
    if usual is None:
        return SelectedParticles(np.zeros(0, np.intp), np.zeros((0, 2)), None)
    whole = candidate & (np.abs(sizes - usual) <= reach * usual)
    enough = (sides >= usual / 2) & (sides <= (1 + tolerance) * usual) & ~(first_cut & last_cut)
    about = np.abs(sides - usual) <= tolerance * usual
    passes = np.flatnonzero(whole | (good & cut.any(axis=1) & np.where(cut, enough, about).all(axis=1)))
    half = usual / 2 / scale
    xy = instances.where(passes).centroids
    xy = np.where(first_cut[passes], instances.boxes[passes, 2:] + 0.5 - half, xy)
    xy = np.where(last_cut[passes], instances.boxes[passes, :2] - 0.5 + half, xy)
    found = diameter_px if diameter_px is not None or not whole.any() else float(np.median(sizes[whole]))
    return SelectedParticles(passes, xy, found)


def _usual(sizes: NDArray[np.float64], tolerance: float) -> tuple[float | None, float]:
    """Return the median size and the accepted deviation from it, as a share of it."""
    if not len(sizes):
        return None, tolerance
    median = float(np.median(sizes))
    spread = robust_deviation(sizes, centre=median) / median
    return median, min(tolerance, max(3 * spread, SMALLEST_REACH))


def _mode(values: NDArray[np.int64]) -> int:
    """Return the most frequent value; of equally frequent ones, the first."""
    unique, first, count = np.unique(values, return_index=True, return_counts=True)
    return int(unique[np.lexsort((first, -count))[0]])


Values = NDArray[np.float64]


@dataclass(frozen=True)
class Boxes:
    """Selected boxes, best first: corners float64 (n, 4) as left, top, right, bottom in pixels, scores float64 (n,)."""

    corners: Values
    scores: Values

    @property
    def centres(self) -> Values:
        """Centres (n, 2) of the boxes, in pixels."""
        return (self.corners[:, :2] + self.corners[:, 2:]) / 2

    @property
    def diameter_px(self) -> float | None:
        """Median side of the boxes in pixels; None without boxes."""
        return float(np.median(self.corners[:, 2:] - self.corners[:, :2])) if len(self.corners) else None


def select_boxes(
    logits: Values,
    boxes: Values,
    shape_hw: tuple[int, int],
    *,
    scoring: Literal["own", "published"] = "own",
    quantile: float = 0.25,
    threshold: float | None = None,
    max_overlap: float = 0.7,
) -> Boxes:
    """Select the boxes that are particles in an image of `shape_hw` pixels.

    With "own" scoring, the score of a box is its softmax probability of being a particle; it is kept above `threshold` or,
    without one, above that `quantile` of all scores, as in the paper. "published" repeats the released program: the n largest
    sigmoids of both columns together are sorted, the mask of those above the quantile selects boxes *in the order of the
    queries*, and each box gets the score of its rank. In both cases, a box that overlaps a better one with an IoU above
    `max_overlap` is dropped.
    """
    if scoring == "published":
        scores = np.sort(1 / (1 + np.exp(-logits)), axis=None)[::-1][: len(logits)]
    else:
        scores = 1 / (1 + np.exp(logits[:, 1] - logits[:, 0]))
    least = np.quantile(scores, quantile) if threshold is None and len(scores) else (threshold or 0.0)
    kept = scores > least
    corners, scores = _corners(boxes[kept], shape_hw), scores[kept]
    best = suppress_boxes(corners, scores, max_overlap)
    return Boxes(corners[best], scores[best])


def _corners(boxes: Values, shape_hw: tuple[int, int]) -> Values:
    fractions = Frame(unit="fraction")
    centre, half = (fractions.to_image(part, shape_hw=shape_hw) for part in (boxes[:, :2], boxes[:, 2:] / 2))
    return np.concatenate([centre - half, centre + half], axis=1)
