"""Scores of picks against ground truth: one-to-one and pixel-wise, with confidence intervals, and at the best threshold."""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from cryopick.benchmark.sets import BenchmarkSet
from cryopick.evaluate import Evaluation, evaluate_picks, evaluate_pixels
from cryopick.evaluate.curves import precision_recall
from cryopick.evaluate.matching import neighbours, true_by_score
from cryopick.evaluate.pixelwise import PixelScores
from cryopick.io.names import stem
from cryopick.randomness import generator
from cryopick.types import Picks

TOLERANCE = 0.5
"""Largest distance of a pick from its particle, in diameters."""
RESAMPLES = 1000
COVERAGE = 95.0
"""Coverage of the confidence intervals in percent."""
CURVE_POINTS = 200

Interval = tuple[float, float] | None
"""Lower and upper limit; None if unknown."""


class PixelwiseScores(msgspec.Struct, frozen=True):
    """Pixel-wise scores as in the papers; None for an undefined ratio."""

    precision: float | None
    recall: float | None
    f1: float | None
    dice: float | None


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """Scores of picks at one threshold.

    Attributes
    ----------
    threshold : None if all picks count.
    truth, found : number of particles and of picks.
    precision, recall, f1 : one-to-one matching, pooled over micrographs; None for an undefined ratio.
    precision_interval, recall_interval, f1_interval : 95 % bootstrap intervals over micrographs; None for a single micrograph.
    centring : median distance of correct picks from the centres of their particles, in diameters; None if there are none.
    duplicates : false picks on a particle that has another pick.
    on_negatives : false picks on a position marked as not being a particle.
    per_micrograph : number of picks by micrograph.
    missed : particles (x, y) without a pick, in pixels, by micrograph.
    pixels_mean, pixels_maximum : pixel-wise scores as in the papers, mean and maximum over micrographs.
    """

    threshold: float | None
    truth: int
    found: int
    precision: float | None
    recall: float | None
    f1: float | None
    precision_interval: Interval
    recall_interval: Interval
    f1_interval: Interval
    centring: float | None
    duplicates: int
    on_negatives: int
    per_micrograph: dict[str, int]
    missed: dict[str, list[tuple[float, float]]]
    pixels_mean: PixelwiseScores
    pixels_maximum: PixelwiseScores


class MethodScores(msgspec.Struct, frozen=True, kw_only=True):
    """Accuracy of a method on a set; all but `default` are None for picks without scores.

    Attributes
    ----------
    default : at the method's own threshold.
    best : at the threshold with the best F1.
    average_precision, average_precision_interval : with its 95 % bootstrap interval.
    curve : points (recall, precision), thinned.
    """

    default: Scores
    best: Scores | None
    average_precision: float | None
    average_precision_interval: Interval
    curve: list[tuple[float, float]] | None


def score_picks(found: Sequence[Picks], task: BenchmarkSet, *, threshold: float | None) -> MethodScores:
    """Score the picks of a method on a set; `threshold` is the method's own."""
    every = evaluate_picks(found, task.truth, diameter=task.diameter, tolerance=TOLERANCE, border=task.border)
    curve = every.curve
    return MethodScores(
        default=_scores(found, task, threshold if curve is not None else None),
        best=None if curve is None else _scores(found, task, float(curve.thresholds[curve.best])),
        average_precision=None if curve is None else curve.average_precision,
        average_precision_interval=None if curve is None else _precision_interval(every, task),
        curve=None if curve is None else _thinned(curve.recall, curve.precision),
    )


def _scores(found: Sequence[Picks], task: BenchmarkSet, threshold: float | None) -> Scores:
    at = evaluate_picks(found, task.truth, diameter=task.diameter, tolerance=TOLERANCE, border=task.border, threshold=threshold)
    pixels = evaluate_pixels(found, task.truth, diameter=task.diameter, border=task.border, threshold=threshold)
    counts = np.array([[one.counts.true_positive, one.counts.found, one.counts.truth] for one in at.per_micrograph])
    precision, recall, f1 = _intervals(counts)
    return Scores(
        threshold=threshold,
        truth=at.counts.truth,
        found=at.counts.found,
        precision=_known(at.precision),
        recall=_known(at.recall),
        f1=_known(at.f1),
        precision_interval=precision,
        recall_interval=recall,
        f1_interval=f1,
        centring=float(np.median(at.errors_px)) / task.diameter_px if len(at.errors_px) else None,
        duplicates=at.duplicates,
        on_negatives=_on_negatives(at, task),
        per_micrograph={one.name: len(one.found) for one in at.per_micrograph},
        missed={one.name: [(x, y) for x, y in one.truth.xy[one.match.missed].tolist()] for one in at.per_micrograph},
        pixels_mean=_pixels(pixels.mean),
        pixels_maximum=_pixels(pixels.maximum),
    )


def bootstrap(count: int, *, resamples: int = RESAMPLES) -> NDArray[np.intp]:
    """Draw bootstrap resamples of `count` micrographs: indices (resamples, count), the same on every call."""
    return generator(0, "bootstrap", count).integers(count, size=(resamples, count))


def _intervals(counts: NDArray[np.int64]) -> tuple[Interval, Interval, Interval]:
    """Return the intervals of precision, recall and F1 from true positives, picks and particles (micrographs, 3)."""
    if len(counts) < 2:
        return None, None, None
    true, found, truth = counts[bootstrap(len(counts))].sum(axis=1).T
    return _limits(_divided(true, found)), _limits(_divided(true, truth)), _limits(_divided(2 * true, found + truth))


def _precision_interval(every: Evaluation, task: BenchmarkSet) -> Interval:
    """Return the interval of average precision; the curve is computed again for each resample."""
    parts = []
    for one in every.per_micrograph:
        scores = np.zeros(0) if one.found.scores is None else one.found.scores.astype(np.float64)
        radius = TOLERANCE * task.diameter_px
        parts.append((scores, true_by_score(one.found.xy, one.truth.xy, scores, radius_px=radius), len(one.truth)))
    if len(parts) < 2:
        return None
    values = []
    for chosen in bootstrap(len(parts), resamples=RESAMPLES // 5):
        scores, true = (np.concatenate([parts[index][column] for index in chosen]) for column in (0, 1))
        truth = sum(parts[index][2] for index in chosen)
        values.append(precision_recall(scores, true, truth).average_precision if len(scores) and truth else math.nan)
    return _limits(np.array(values))


def _limits(values: NDArray[np.float64]) -> Interval:
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    low, high = np.percentile(known, [50 - COVERAGE / 2, 50 + COVERAGE / 2])
    return float(low), float(high)


def _divided(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _on_negatives(at: Evaluation, task: BenchmarkSet) -> int:
    negatives = {stem(picks.micrograph): picks.xy for picks in task.negatives}
    count = 0
    for one in at.per_micrograph:
        marked = negatives.get(stem(one.name))
        if marked is not None:
            near = neighbours(one.found.xy[one.match.extra], marked, radius_px=TOLERANCE * task.diameter_px)
            count += len(np.unique(near.found))
    return count


def _pixels(scores: PixelScores) -> PixelwiseScores:
    return PixelwiseScores(*(_known(value) for value in (scores.precision, scores.recall, scores.f1, scores.dice)))


def _thinned(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> list[tuple[float, float]]:
    chosen = np.unique(np.linspace(0, len(recall) - 1, CURVE_POINTS).astype(int))
    return [(x, y) for x, y in zip(recall[chosen].tolist(), precision[chosen].tolist(), strict=True)]


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
