"""Right, false and missed, and the ratios of them. Things counted may be picks or pixels."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Counts:
    """How many were found rightly, found wrongly and missed. A ratio of nothing (0 / 0) is NaN."""

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
        return self.true_positive + self.false_positive

    @property
    def truth(self) -> int:
        return self.true_positive + self.false_negative

    @property
    def precision(self) -> float:
        return ratio(self.true_positive, self.found)

    @property
    def recall(self) -> float:
        return ratio(self.true_positive, self.truth)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; of pixels, the Dice coefficient."""
        return ratio(2 * self.true_positive, self.found + self.truth)


def ratio(part: float, whole: float) -> float:
    """`part / whole`, NaN when `whole` is 0."""
    return part / whole if whole else float("nan")


def mean_of_known(values: Iterable[float]) -> float:
    """Mean without the NaNs; NaN when nothing is left."""
    known = [value for value in values if not np.isnan(value)]
    return ratio(sum(known), len(known))
