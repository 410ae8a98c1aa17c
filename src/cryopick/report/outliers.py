"""Which micrographs somebody ought to look at first, and why."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cryopick.report.summary import Subject
from cryopick.robust import robust_deviation

FAR = 3.5
"""Robust deviations from the median beyond which a value stands out (Iglewicz & Hoaglin 1993)."""
SMALLEST_SPREAD = 0.02
"""Least deviation of scores and diameters, as a share of their median: micrographs that all but agree have no outliers."""


def reasons(subjects: Sequence[Subject]) -> list[list[str]]:
    """Why each micrograph wants a look, the gravest reason first; empty for those that are like the others."""
    counts, scores, diameters = (_column(subjects, name) for name in ("count", "median_score", "diameter"))
    expected = np.nanmedian(counts) if np.isfinite(counts).any() else 0.0
    far_counts = deviations(counts, least=float(np.sqrt(max(expected, 1.0))))
    far_scores = deviations(scores, least=SMALLEST_SPREAD * _median(scores))
    far_diameters = deviations(diameters, least=SMALLEST_SPREAD * _median(diameters))
    rows = zip(subjects, far_counts, far_scores, far_diameters, strict=True)
    return [_reasons(subject, count, score, diameter) for subject, count, score, diameter in rows]


def deviations(values: NDArray[np.float64], *, least: float = 0.0) -> NDArray[np.float64]:
    """How many robust standard deviations each value lies from the median: NaN where it is NaN, all zero without spread.

    The deviation is that of the median absolute deviation, and no less than `least`. For counts that is the square root of the
    expected one, since counts scatter so much by chance alone.
    """
    known = values[np.isfinite(values)]
    if len(known) == 0:
        return values
    spread = max(robust_deviation(known), least)
    return (values - np.median(known)) / spread if spread > 0 else np.where(np.isfinite(values), 0.0, np.nan)


def _reasons(subject: Subject, count: float, score: float, diameter: float) -> list[str]:
    if subject.outcome.status == "failed":
        return [f"Failed: {subject.outcome.error}"]
    found = []
    if subject.count == 0:
        found.append("No particles")
    elif abs(count) > FAR:
        found.append("Far more particles than usual" if count > 0 else "Far fewer particles than usual")
    if score < -FAR:
        found.append("Scores lower than usual")
    if abs(diameter) > FAR:
        found.append("Diameter larger than usual" if diameter > 0 else "Diameter smaller than usual")
    return [*found, *(f"Warning: {note}" for note in subject.outcome.notes)]


def _column(subjects: Sequence[Subject], name: str) -> NDArray[np.float64]:
    values = [getattr(subject, name) if subject.outcome.status == "done" else None for subject in subjects]
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _median(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else 0.0
