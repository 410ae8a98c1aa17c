"""Statistics that are robust to outliers."""

import numpy as np
from numpy.typing import ArrayLike

DEVIATION_PER_MAD = 1.4826
"""Standard deviation of a normal distribution per median absolute deviation."""


def robust_deviation(values: ArrayLike, *, centre: float | None = None) -> float:
    """Estimate the standard deviation from the median absolute deviation about `centre`, by default the median."""
    values = np.asarray(values)
    middle = np.median(values) if centre is None else centre
    return float(DEVIATION_PER_MAD * np.median(np.abs(values - middle)))
