"""Quality of scores: precision and recall against the threshold, average precision, best threshold, reliability."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curve:
    """Precision, recall and F1 of the picks at or above each threshold, over all micrographs.

    Every distinct score is a threshold; all arrays are float64 (k,) with k ≥ 1, from the highest threshold to the lowest.
    """

    thresholds: Floats
    precision: Floats
    recall: Floats
    f1: Floats

    @property
    def average_precision(self) -> float:
        """Area under the interpolated precision–recall curve, up to the highest recall reached.

        All-point interpolation, as in PASCAL VOC 2010 and later.
        """
        envelope = np.maximum.accumulate(self.precision[::-1])[::-1]
        return float(np.sum(np.diff(self.recall, prepend=0.0) * envelope))

    @property
    def best(self) -> int:
        """Index of the threshold with the highest F1; of equal ones, the highest threshold."""
        return int(np.argmax(self.f1))


@dataclass(frozen=True, eq=False)
class Reliability:
    """Reliability diagram: the fraction of true picks in each bin of scores; arrays (b,), empty bins omitted.

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
    """Compute the curve from scores (n,) and whether each pick adds a pair (n,), see `true_by_score`, pooled over micrographs.

    n ≥ 1; `truth_count` ≥ 1 is the number of true particles.
    """
    score, is_true = np.asarray(scores, np.float64), np.asarray(true, bool)
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.diff(score[order], append=-np.inf))  # all picks of one score pass a threshold together
    pairs = np.cumsum(is_true[order])[last].astype(np.float64)
    found = last + 1.0
    return Curve(score[order][last], pairs / found, pairs / truth_count, 2 * pairs / (found + truth_count))


def reliability(scores: ArrayLike, true: ArrayLike, *, bins: int = 10) -> Reliability | None:
    """Compute the reliability in equal bins of score from 0 to 1; None without scores and for scores outside [0, 1]."""
    score, is_true = np.asarray(scores, np.float64), np.asarray(true, np.float64)
    if len(score) == 0 or score.min() < 0 or score.max() > 1:
        return None
    bin_of = np.minimum((score * bins).astype(np.intp), bins - 1)
    count = np.bincount(bin_of, minlength=bins)
    used = count > 0
    sums = (np.bincount(bin_of, weights=values, minlength=bins)[used] for values in (score, is_true))
    mean_score, fraction_true = (total / count[used] for total in sums)
    return Reliability(mean_score, fraction_true, count[used])
