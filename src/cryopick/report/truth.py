"""A run compared with ground truth: precision, recall and the curve that the page draws."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cryopick.evaluate import evaluate_picks
from cryopick.evaluate.curves import Curve
from cryopick.runs.results import PickedMicrograph, read_picks_or_run, run_picks
from cryopick.types import Picks

CURVE_POINTS = 1000
"""Largest number of points of the curve on the page; longer curves are thinned."""


@dataclass(frozen=True, eq=False)
class TruthComparison:
    """The picks of a run scored against ground truth.

    Attributes
    ----------
    curve : columns thresholds (descending), precision, recall and f1; None if the picks have no scores.
    average_precision : area under the curve; None without a curve.
    particles : the true particles by the micrograph's name in the run.
    overall : precision, recall and F1 of all picks; None where undefined.
    """

    curve: dict[str, list[float]] | None
    average_precision: float | None
    particles: dict[str, Picks]
    overall: dict[str, float | None]


def compare_with_truth(
    run: Path,
    truth: Path,
    *,
    format: str | None = None,  # noqa: A002
    diameter: float | None = None,
    downsample: float = 1.0,
) -> TruthComparison:
    """Match the picks of a run with ground truth, one to one within half a diameter, on the micrographs that were picked.

    Parameters
    ----------
    truth : a file or folder of picks in any format, or a run.
    format : of `truth`; detected from its content by default.
    diameter : particle diameter in Å, or pixels without a pixel size; by default that of the ground truth, else of the picks.
    downsample : the factor by which the images of the ground truth's coordinates were reduced.

    Raises the errors of `read_picks` and `evaluate_picks`.
    """
    picks = run_picks(run)
    picked = [PickedMicrograph.of(each) for each in picks]
    true = read_picks_or_run(truth, format=format, micrographs=picked, unknown=set(), downsample=downsample)
    evaluation = evaluate_picks(picks, true, diameter=diameter)
    curve = evaluation.curve
    ratios = {"precision": evaluation.precision, "recall": evaluation.recall, "f1": evaluation.f1}
    return TruthComparison(
        curve=None if curve is None else _thin(curve),
        average_precision=None if curve is None else curve.average_precision,
        particles={one.found.micrograph: one.truth for one in evaluation.per_micrograph},
        overall={name: None if np.isnan(value) else value for name, value in ratios.items()},
    )


def _thin(curve: Curve) -> dict[str, list[float]]:
    count = len(curve.thresholds)
    shown = np.unique(np.append(np.linspace(0, count - 1, min(CURVE_POINTS, count)).round().astype(int), curve.best))
    columns = {"thresholds": curve.thresholds, "precision": curve.precision, "recall": curve.recall, "f1": curve.f1}
    return {name: values[shown].tolist() for name, values in columns.items()}
