"""Summaries of evaluations as plain dictionaries for JSON, with None for NaN."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryopick.evaluate.counts import Counts
from cryopick.evaluate.curves import Curve, Reliability
from cryopick.evaluate.metrics import Evaluation
from cryopick.evaluate.pixelwise import PixelEvaluation, scores_of


def matching_summary(evaluation: Evaluation) -> dict[str, Any]:
    """Summarise one-to-one matching: pooled scores, means over micrographs, localisation, curve and every micrograph."""
    means = {"precision": evaluation.mean_precision, "recall": evaluation.mean_recall, "f1": evaluation.mean_f1}
    summary = {
        "protocol": "matching",
        "tolerance": evaluation.tolerance,
        "border": evaluation.border,
        "threshold": evaluation.threshold,
        "pooled": _counts(evaluation.counts) | {"duplicates": evaluation.duplicates},
        "mean_over_micrographs": means,
        "localisation_error_px": _error(evaluation.errors_px),
        "localisation_error_angstrom": _error(evaluation.errors_angstrom),
        "scores": _curve(evaluation.curve),
        "reliability": _reliability(evaluation.reliability),
        "per_micrograph": [
            {"micrograph": one.name, **_counts(one.counts), "duplicates": len(one.match.duplicates)}
            for one in evaluation.per_micrograph
        ],
        "without_truth": list(evaluation.without_truth),
    }
    return {key: _without_nan(value) for key, value in summary.items()}


def pixel_summary(evaluation: PixelEvaluation) -> dict[str, Any]:
    """Summarise the published protocol: mean and maximum over micrographs, and every micrograph."""
    summary = {
        "protocol": "paper",
        "mean_over_micrographs": asdict(evaluation.mean),
        "maximum_over_micrographs": asdict(evaluation.maximum),
        "per_micrograph": [
            {"micrograph": name, **asdict(counts), **asdict(scores_of(counts))} for name, counts in evaluation.per_micrograph
        ],
        "without_truth": list(evaluation.without_truth),
    }
    return {key: _without_nan(value) for key, value in summary.items()}


def _counts(counts: Counts) -> dict[str, float]:
    return asdict(counts) | {"precision": counts.precision, "recall": counts.recall, "f1": counts.f1}


def _error(lengths: NDArray[np.float64] | None) -> dict[str, float] | None:
    if lengths is None or len(lengths) == 0:
        return None
    return {"median": float(np.median(lengths)), "mean": float(np.mean(lengths))}


def _curve(curve: Curve | None) -> dict[str, Any] | None:
    if curve is None:
        return None
    columns = {"threshold": curve.thresholds, "precision": curve.precision, "recall": curve.recall, "f1": curve.f1}
    return {
        "average_precision": curve.average_precision,
        "best": {name: float(values[curve.best]) for name, values in columns.items()},
        "curve": {name: values.tolist() for name, values in columns.items()},
    }


def _reliability(reliability: Reliability | None) -> dict[str, Any] | None:
    if reliability is None:
        return None
    return {
        "expected_error": reliability.expected_error,
        "mean_score": reliability.mean_score.tolist(),
        "fraction_true": reliability.fraction_true.tolist(),
        "count": reliability.count.tolist(),
    }


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and np.isnan(value) else value
