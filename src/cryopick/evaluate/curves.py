"""What scores are worth: precision and recall against the threshold, average precision, best threshold, reliability."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curve:
    """Precision, recall and F1 of the picks with a score of at least each threshold, over all micrographs.

    Every distinct score is a threshold; all arrays are float64 (k,) with k ≥ 1, thresholds from the highest down.
    """

    thresholds: Floats
    precision: Floats
    recall: Floats
    f1: Floats

    @property
    def average_precision(self) -> float:
        """Area under the curve of the best precision at each recall or beyond, up to the recall that was reached.

        The all-point interpolation of PASCAL VOC 2010 and later.
        """
        envelope = np.maximum.accumulate(self.precision[::-1])[::-1]
        return float(np.sum(np.diff(self.recall, prepend=0.0) * envelope))

    @property
    def best(self) -> int:
        """Index of the threshold with the highest F1; of the highest such threshold when several are as good."""
        return int(np.argmax(self.f1))


@dataclass(frozen=True, eq=False)
class Reliability:
    """How often picks of each score are true; arrays (b,), one entry for each bin of scores that has picks in it.

    Attributes
    ----------
    mean_score, fraction_true : float64 in [0, 1]; equal where scores are probabilities.
    count : picks in the bin.
    """

    mean_score: Floats
    fraction_true: Floats
    count: NDArray[np.intp]

    @property
    def expected_error(self) -> float:
        """Expected calibration error: mean of |fraction true − mean score| over picks (Naeini 2015)."""
        return float(np.average(np.abs(self.fraction_true - self.mean_score), weights=self.count))


def precision_recall(scores: ArrayLike, true: ArrayLike, truth_count: int) -> Curve:
    """The curve from every pick's score and whether it adds a pair (`true_by_score`), pooled over micrographs.

    `scores` and `true` are (n,) with n ≥ 1; `truth_count` ≥ 1 particles were there to be found.
    """
    score, is_true = np.asarray(scores, np.float64), np.asarray(true, bool)
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.diff(score[order], append=-np.inf))  # a threshold lets in all picks of one score together
    pairs = np.cumsum(is_true[order])[last].astype(np.float64)
    found = last + 1.0
    return Curve(score[order][last], pairs / found, pairs / truth_count, 2 * pairs / (found + truth_count))


def reliability(scores: ArrayLike, true: ArrayLike, *, bins: int = 10) -> Reliability | None:
    """How often picks are true, in equal bins of score from 0 to 1. None when a score lies outside [0, 1] or there are none."""
    score, is_true = np.asarray(scores, np.float64), np.asarray(true, np.float64)
    if len(score) == 0 or score.min() < 0 or score.max() > 1:
        return None
    bin_of = np.minimum((score * bins).astype(np.intp), bins - 1)
    count = np.bincount(bin_of, minlength=bins)
    used = count > 0
    sums = (np.bincount(bin_of, weights=values, minlength=bins)[used] for values in (score, is_true))
    mean_score, fraction_true = (total / count[used] for total in sums)
    return Reliability(mean_score, fraction_true, count[used])
