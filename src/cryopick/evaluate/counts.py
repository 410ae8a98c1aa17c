"""Counts of true positives, false positives and false negatives of picks or pixels, and their ratios."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Counts:
    """Numbers of true positives, false positives and false negatives. Ratios of 0 / 0 are NaN."""

    true_positive: int
    false_positive: int
    false_negative: int

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.true_positive + other.true_positive,
            self.false_positive + other.false_positive,
            self.false_negative + other.false_negative,
        )

    @property
    def found(self) -> int:
        """Number of picks, or of pixels in picks."""
        return self.true_positive + self.false_positive

    @property
    def truth(self) -> int:
        """Number of true particles, or of their pixels."""
        return self.true_positive + self.false_negative

    @property
    def precision(self) -> float:
        """Fraction of what was found that is true."""
        return ratio(self.true_positive, self.found)

    @property
    def recall(self) -> float:
        """Fraction of what is true that was found."""
        return ratio(self.true_positive, self.truth)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; for pixels, the Dice coefficient."""
        return ratio(2 * self.true_positive, self.found + self.truth)


def ratio(part: float, whole: float) -> float:
    """Divide `part` by `whole`; NaN if `whole` is 0."""
    return part / whole if whole else float("nan")


def mean_of_known(values: Iterable[float]) -> float:
    """Return the mean of the values that are not NaN; NaN if there are none."""
    known = [value for value in values if not np.isnan(value)]
    return ratio(sum(known), len(known))
