"""Which of DETR's boxes are particles: the published program's rule, for comparison, and one that does what the paper says.

Logits are (n, 2), columns particle and no object; boxes (n, 4) are centre x, centre y, width and height as fractions of the
picture.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cryopick.coordinates import Frame
from cryopick.pickers.mask_generator import suppress_boxes

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Boxes:
    """Boxes that were kept, best first: corners float64 (n, 4) as left, top, right, bottom in pixels, scores float64 (n,)."""

    corners: Values
    scores: Values

    @property
    def centres(self) -> Values:
        """Middle (n, 2) of the boxes."""
        return (self.corners[:, :2] + self.corners[:, 2:]) / 2

    @property
    def diameter_px(self) -> float | None:
        """Median of the boxes' mean sides; None without boxes."""
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
    """The boxes that are particles in a picture of `shape_hw` pixels.

    With "own" scoring a box's score is its softmax probability of being a particle; it is kept above `threshold`, or, without
    one, above that `quantile` of all scores, as the paper has it. "published" repeats the released program: of the sigmoids of
    both columns together the n largest are sorted, the marks of those above the quantile choose boxes *in the order of the
    queries*, and each box gets the score of its rank. Either way a box that overlaps a better one by an IoU above `max_overlap`
    goes.
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
