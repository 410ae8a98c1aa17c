"""The published protocol: picks drawn as discs and compared with the ground truth pixel by pixel.

It is used in CryoSegNet's tables. It favours many overlapping picks and ignores duplicates; prefer `cryopick.evaluate.metrics`.
The authors' program prints the *maximum* over micrographs; both mean and maximum are computed.
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
    """Numbers of pixels in both masks, only in that of the picks, only in that of the ground truth, and in neither."""

    true_negative: int

    @property
    def accuracy(self) -> float:
        """Fraction of the pixels on which the masks agree."""
        agreed = self.true_positive + self.true_negative
        return ratio(agreed, agreed + self.false_positive + self.false_negative)


@dataclass(frozen=True)
class PixelScores:
    """Ratios of pixels in [0, 1]; NaN for 0 / 0. The F1 of one micrograph is its Dice coefficient."""

    precision: float
    recall: float
    f1: float
    dice: float
    accuracy: float


@dataclass(frozen=True)
class PixelEvaluation:
    """Pixel counts of every micrograph with ground truth.

    Attributes
    ----------
    per_micrograph : (name, counts) in the order of the ground truth.
    without_truth : names of micrographs that have picks but no ground truth; they are not counted.
    """

    per_micrograph: tuple[tuple[str, PixelCounts], ...]
    without_truth: tuple[str, ...]

    @property
    def mean(self) -> PixelScores:
        """Mean of each score over micrographs, skipping NaNs."""
        return PixelScores(*(mean_of_known(values) for values in self._columns()))

    @property
    def maximum(self) -> PixelScores:
        """Highest precision, recall, Dice and accuracy of any micrograph, as the published program prints them.

        F1 is computed from that precision and that recall. (The program also skips each set's first 20 files; this does not.)
        """
        precision, recall, _, dice, accuracy = (max((v for v in values if v == v), default=np.nan) for values in self._columns())
        return PixelScores(precision, recall, ratio(2 * precision * recall, precision + recall), dice, accuracy)

    def _columns(self) -> list[list[float]]:
        scores = [scores_of(counts) for _, counts in self.per_micrograph]
        return [[getattr(one, field.name) for one in scores] for field in fields(PixelScores)]


def scores_of(counts: PixelCounts) -> PixelScores:
    """Compute the ratios of one micrograph's pixels."""
    return PixelScores(counts.precision, counts.recall, counts.f1, counts.f1, counts.accuracy)


def evaluate_pixels(
    found: Sequence[Picks],
    truth: Sequence[Picks],
    *,
    diameter: float | None = None,
    border: float = 0.0,
    threshold: float | None = None,
) -> PixelEvaluation:
    """Compare the masks of picks and ground truth on every micrograph of `truth`.

    Parameters
    ----------
    found : picks of several micrographs.
    truth : the true particles of several micrographs.
    diameter : of the picks' discs, in Å if the pixel size of either side is known, else in pixels; the picks' own, or the
        ground truth's, if omitted. Discs of the ground truth have its own diameter, or that of the picks.
    border : width in pixels of a margin that is not counted.
    threshold : lowest score of the picks that count.

    Raises
    ------
    SettingError
        For a diameter that is not positive, a negative border, and a threshold on picks without scores.
    CryopickError
        When the micrograph's shape, or the diameter of discs to draw, is unknown on both sides.
    NameMatchError
        When names are ambiguous, or no picks are on a micrograph of `truth`.
    """
    if not border >= 0:
        raise SettingError(f"the border must be 0 or more, got {border} pixels")
    pairs, without_truth = pair_micrographs(found, truth)
    counts = tuple((pair.name, _pixel_counts(pair.above(threshold), diameter, border)) for pair in pairs)
    return PixelEvaluation(counts, without_truth)


def draw_discs(xy: ArrayLike, *, diameter_px: float, shape_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Draw a mask, bool (h, w), of the pixels whose centres are at most half a diameter from one of the points (n, 2).

    The published program draws with OpenCV, whose circles have integer centres and radii and reach up to a pixel further.
    """
    if not (np.isfinite(diameter_px) and diameter_px > 0):
        raise SettingError(f"the diameter must be positive, got {diameter_px} pixels")
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
    """Draw the discs of one side with the first known diameter, without the border."""
    if len(picks):
        mask = draw_discs(picks.xy, diameter_px=first_known(pair, *diameters_px), shape_hw=pair.shape_hw)
    else:
        mask = np.zeros(pair.shape_hw, bool)
    rows, columns = (slice(ceil(border), max(size - ceil(border), 0)) for size in pair.shape_hw)
    return mask[rows, columns]
