"""Warnings about micrographs that differ from the others of their run."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cryopick.report.summary import MicrographSummary
from cryopick.robust import robust_deviation

OUTLIER_LIMIT = 3.5
"""Robust standard deviations from the median beyond which a value is an outlier (Iglewicz & Hoaglin 1993)."""
SMALLEST_SPREAD = 0.02
"""Least standard deviation of scores and diameters, relative to their median, so that almost equal values give no outliers."""


def find_warnings(micrographs: Sequence[MicrographSummary]) -> list[list[str]]:
    """Return the warnings about each micrograph, the most serious first; an empty list for a usual one."""
    counts, scores, diameters = (_column(micrographs, name) for name in ("count", "median_score", "diameter"))
    expected = np.nanmedian(counts) if np.isfinite(counts).any() else 0.0
    count_z = robust_z_scores(counts, least=float(np.sqrt(max(expected, 1.0))))
    score_z = robust_z_scores(scores, least=SMALLEST_SPREAD * _median(scores))
    diameter_z = robust_z_scores(diameters, least=SMALLEST_SPREAD * _median(diameters))
    return [_warnings(*row) for row in zip(micrographs, count_z, score_z, diameter_z, strict=True)]


def robust_z_scores(values: NDArray[np.float64], *, least: float = 0.0) -> NDArray[np.float64]:
    """Return how many robust standard deviations each value lies from the median: NaN for NaN, zero if all are equal.

    The standard deviation is estimated from the median absolute deviation and is at least `least`. For counts, `least` is the
    square root of the expected count, the scatter due to counting.
    """
    known = values[np.isfinite(values)]
    if len(known) == 0:
        return values
    spread = max(robust_deviation(known), least)
    return (values - np.median(known)) / spread if spread > 0 else np.where(np.isfinite(values), 0.0, np.nan)


def _warnings(micrograph: MicrographSummary, count_z: float, score_z: float, diameter_z: float) -> list[str]:
    if micrograph.outcome.status == "failed":
        return [f"Failed: {micrograph.outcome.error}"]
    found = []
    if micrograph.count == 0:
        found.append("No particles")
    elif abs(count_z) > OUTLIER_LIMIT:
        found.append("Far more particles than usual" if count_z > 0 else "Far fewer particles than usual")
    if score_z < -OUTLIER_LIMIT:
        found.append("Lower scores than usual")
    if abs(diameter_z) > OUTLIER_LIMIT:
        found.append("Larger diameter than usual" if diameter_z > 0 else "Smaller diameter than usual")
    return [*found, *(f"Warning: {note}" for note in micrograph.outcome.notes)]


def _column(micrographs: Sequence[MicrographSummary], name: str) -> NDArray[np.float64]:
    values = [getattr(micrograph, name) if micrograph.outcome.status == "done" else None for micrograph in micrographs]
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _median(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else 0.0
