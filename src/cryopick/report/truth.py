"""A run held against true particles: the curve that the page draws."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cryopick.evaluate import evaluate_picks
from cryopick.evaluate.curves import Curve
from cryopick.runs.results import PickedMicrograph, read_picks_or_run, run_picks
from cryopick.types import Picks

POINTS = 1000
"""A curve of more thresholds is thinned to so many."""


@dataclass(frozen=True, eq=False)
class Compared:
    """A run against a truth.

    Attributes
    ----------
    curve : columns thresholds, precision, recall and f1, thresholds from the highest down; None where picks have no scores.
    average_precision : None where there is no curve.
    particles : the truth of each micrograph, by the name that the run has for it.
    overall : precision, recall and F1 of all picks.
    """

    curve: dict[str, list[float]] | None
    average_precision: float | None
    particles: dict[str, Picks]
    overall: dict[str, float | None]


def compare(
    run: Path,
    truth: Path,
    *,
    format: str | None = None,  # noqa: A002
    diameter: float | None = None,
) -> Compared:
    """Match the run's picks with the truth, one to one within half a diameter, on the micrographs that it has picked.

    Errors as of `read_picks` and `evaluate_picks`.
    """
    picks = run_picks(run)
    true = read_picks_or_run(truth, format=format, micrographs=[PickedMicrograph.of(each) for each in picks], unknown=set())
    evaluation = evaluate_picks(picks, true, diameter=diameter)
    particles = {one.found.micrograph: one.truth for one in evaluation.per_micrograph}
    curve = evaluation.curve
    ratios = {"precision": evaluation.precision, "recall": evaluation.recall, "f1": evaluation.f1}
    return Compared(
        None if curve is None else _columns(curve),
        None if curve is None else curve.average_precision,
        particles,
        {name: None if np.isnan(value) else value for name, value in ratios.items()},
    )


def _columns(curve: Curve) -> dict[str, list[float]]:
    count = len(curve.thresholds)
    shown = np.unique(np.append(np.linspace(0, count - 1, min(POINTS, count)).round().astype(int), curve.best))
    columns = {"thresholds": curve.thresholds, "precision": curve.precision, "recall": curve.recall, "f1": curve.f1}
    return {name: values[shown].tolist() for name, values in columns.items()}
