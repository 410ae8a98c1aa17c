"""The papers' protocol: circles drawn as filled masks, compared pixel by pixel.

CryoSegNet's tables are made so. It favours pickers with many overlapping picks and cannot see duplicates; `metrics` has the
headline numbers. The authors' program prints the *maximum* over micrographs, which is given here under that name.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import ceil

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryopick.errors import SettingError
from cryopick.evaluate.counts import Counts, mean_of_known, ratio
from cryopick.evaluate.pairing import MicrographPair, first_known, pair_micrographs
from cryopick.types import Picks


@dataclass(frozen=True)
class PixelCounts(Counts):
    """Pixels in both masks, in the found one alone, in the true one alone, and in neither."""

    true_negative: int

    @property
    def accuracy(self) -> float:
        """Part of the pixels on which the masks agree."""
        agreed = self.true_positive + self.true_negative
        return ratio(agreed, agreed + self.false_positive + self.false_negative)


@dataclass(frozen=True)
class PixelScores:
    """Ratios of pixels in [0, 1]; NaN for a ratio of nothing. The F1 of one micrograph is its Dice coefficient."""

    precision: float
    recall: float
    f1: float
    dice: float
    accuracy: float


@dataclass(frozen=True)
class PixelEvaluation:
    """Pixel counts of every micrograph that has a truth, as (name, counts) in the order of the truth.

    `without_truth` names micrographs that have picks and no truth; they count for nothing.
    """

    per_micrograph: tuple[tuple[str, PixelCounts], ...]
    without_truth: tuple[str, ...]

    @property
    def mean(self) -> PixelScores:
        """Mean of each number over micrographs, without those where it is a ratio of nothing."""
        return PixelScores(*(mean_of_known(values) for values in self._columns()))

    @property
    def maximum(self) -> PixelScores:
        """What the released program prints: the best micrograph's precision, recall and Dice, each from where it is best.

        F1 is made from that precision and that recall, as there. (It also skips each set's first 20 files; this does not.)
        """
        precision, recall, _, dice, accuracy = (max((v for v in values if v == v), default=np.nan) for values in self._columns())
        return PixelScores(precision, recall, ratio(2 * precision * recall, precision + recall), dice, accuracy)

    def _columns(self) -> list[list[float]]:
        scores = [scores_of(counts) for _, counts in self.per_micrograph]
        return [[getattr(one, field.name) for one in scores] for field in fields(PixelScores)]


def scores_of(counts: PixelCounts) -> PixelScores:
    """The ratios of one micrograph's pixels."""
    return PixelScores(counts.precision, counts.recall, counts.f1, counts.f1, counts.accuracy)


def evaluate_pixels(
    found: Sequence[Picks],
    truth: Sequence[Picks],
    *,
    diameter: float | None = None,
    border: float = 0.0,
    threshold: float | None = None,
) -> PixelEvaluation:
    """Compare the masks of picks and truth on every micrograph of `truth`.

    Parameters
    ----------
    diameter : of the found circles, in Å where the pixel size of either side is known, else in pixels; None takes the picks' own,
        or the truth's. True circles have the truth's own diameter, or that of the found ones.
    border : pixels within this distance of the picture's edge are not counted.
    threshold : picks with a lower score are left out.

    Raises
    ------
    SettingError : for a diameter that is not positive, a negative border, a threshold without scores.
    CryopickError : where the micrograph's shape, or the diameter of circles to draw, is unknown on both sides.
    NameMatchError : when names are ambiguous, or there are picks and none is on a micrograph of `truth`.
    """
    if not border >= 0:
        raise SettingError(f"a border of {border} pixels cannot be; give 0 or more")
    pairs, without_truth = pair_micrographs(found, truth)
    counts = tuple((pair.name, _pixel_counts(pair.above(threshold), diameter, border)) for pair in pairs)
    return PixelEvaluation(counts, without_truth)


def draw_discs(xy: ArrayLike, *, diameter_px: float, shape_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Mask (h, w) of the pixels whose centres are at most half a diameter from one of the points (n, 2).

    The released program draws with OpenCV, whose circles have whole centres and radii and reach up to a pixel further.
    """
    if not (np.isfinite(diameter_px) and diameter_px > 0):
        raise SettingError(f"circles with a diameter of {diameter_px} pixels cannot be drawn; give a positive diameter")
    mask = np.zeros(shape_hw, bool)
    radius = diameter_px / 2
    for x, y in np.asarray(xy, np.float64).reshape(-1, 2):
        left, right = max(ceil(x - radius), 0), min(int(np.floor(x + radius)) + 1, shape_hw[1])
        top, bottom = max(ceil(y - radius), 0), min(int(np.floor(y + radius)) + 1, shape_hw[0])
        if left < right and top < bottom:
            rows, columns = np.ogrid[top:bottom, left:right]
            mask[top:bottom, left:right] |= (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    return mask


def _pixel_counts(pair: MicrographPair, diameter: float | None, border: float) -> PixelCounts:
    found_px, truth_px, given = pair.found.diameter_px, pair.truth.diameter_px, pair.to_px(diameter)
    is_found = _mask(pair, pair.found, (given, found_px, truth_px), border)
    is_true = _mask(pair, pair.truth, (truth_px, given, found_px), border)
    both = int(np.count_nonzero(is_found & is_true))
    found_count, true_count = int(np.count_nonzero(is_found)), int(np.count_nonzero(is_true))
    return PixelCounts(both, found_count - both, true_count - both, is_true.size - found_count - true_count + both)


def _mask(pair: MicrographPair, picks: Picks, diameters_px: Sequence[float | None], border: float) -> NDArray[np.bool_]:
    """The discs of one side, each with the first diameter that is known, without the border."""
    if len(picks):
        mask = draw_discs(picks.xy, diameter_px=first_known(pair, *diameters_px), shape_hw=pair.shape_hw)
    else:
        mask = np.zeros(pair.shape_hw, bool)
    rows, columns = (slice(ceil(border), max(size - ceil(border), 0)) for size in pair.shape_hw)
    return mask[rows, columns]
