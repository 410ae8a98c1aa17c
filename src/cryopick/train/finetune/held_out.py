"""Scores of weights on held-out micrographs before and after fine-tuning, and the calibration of the picks' scores."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from cryopick.coordinates import inside
from cryopick.errors import CryopickError
from cryopick.evaluate.counts import Counts
from cryopick.evaluate.matching import neighbours, true_by_score
from cryopick.evaluate.metrics import evaluate_picks
from cryopick.io.datasets.cryoppp import LabelledMicrograph
from cryopick.pickers.unet import UNetPicker, UNetSettings
from cryopick.train.calibration import fit_platt
from cryopick.train.data.labelled import MISSING_DIAMETER
from cryopick.types import Picks

MIN_COMPARED_SCORE = 0.005
"""Lowest score of picks that are compared and calibrated."""
SCORE_EPSILON = 1e-7
"""Distance from 0 and 1 to which scores are clipped, since float32 may round them to 0 or 1."""
THRESHOLD = UNetSettings().threshold
BOTH_HALVES = -1
"""Marks picks that take part in the calibration of both halves (0 and 1) of the held-out micrographs."""
Calibration = tuple[float, float]
"""Slope and offset of logits, see `fit_platt`."""


@dataclass(frozen=True)
class HeldOutScores:
    """Scores of picks on held-out micrographs.

    Attributes
    ----------
    picks : number of picks at the default threshold, or of those that are compared.
    recall : share of the labels that were found.
    precision, f1 : None if labels may be missing.
    mean_recall : recall, averaged over all numbers of best picks up to `picks`; None unless labels may be missing.
    """

    picks: int
    recall: float
    precision: float | None = None
    f1: float | None = None
    mean_recall: float | None = None

    @property
    def score(self) -> float:
        """Score that fine-tuning has to increase: F1 or, if labels may be missing, the mean recall."""
        return next(value for value in (self.f1, self.mean_recall, self.recall) if value is not None)


def pick_micrographs(
    weights: Path, micrographs: Sequence[LabelledMicrograph], *, particles: Literal["dark", "light"] = "dark"
) -> list[Picks]:
    """Pick each micrograph with these weights and the labels' diameter; return all picks with at least `MIN_COMPARED_SCORE`."""
    picker = UNetPicker(UNetSettings(weights=str(weights), threshold=MIN_COMPARED_SCORE, particles=particles))
    return [picker.pick(one.source.read(), diameter=one.truth.diameter) for one in micrographs]


def label_probabilities(found: Picks, truth: Picks, *, start: Picks | None = None) -> NDArray[np.float64]:
    """Return the probability of each pick to be a particle (n,): 1 or 0 if labels are complete.

    If labels are partial, give the picks of the initial weights as `start`; without a label nearby, their score is the
    probability.
    """
    radius_px = _radius_px(truth)
    right = true_by_score(found.xy, truth.xy, _scores(found), radius_px=radius_px).astype(np.float64)
    if start is not None:
        near = neighbours(found.xy, start.xy, radius_px=radius_px)
        np.maximum.at(right, near.found, _scores(start)[near.truth])
    return right


def cross_calibrate(
    found: Sequence[Picks],
    right: Sequence[NDArray[np.float64]],
    *,
    border: float,
    training: Sequence[tuple[Picks, NDArray[np.float64]]] = (),
) -> tuple[list[Picks], Calibration]:
    """Calibrate the scores of picks on held-out micrographs; also return the calibration from all picks.

    Scores on the left halves of the micrographs are calibrated on the right halves and vice versa, so that metrics from them are
    unbiased. Picks on training micrographs take part in all calibrations, because one or two held-out micrographs may differ
    from the others, and a short training memorises little.

    Parameters
    ----------
    found : picks of each held-out micrograph, with uncalibrated scores.
    right : probability of each to be a particle (n,), see `label_probabilities`.
    border : width in diameters of the margin whose picks take no part in the calibration.
    training : picks of each training micrograph, and the probability of each.
    """
    every, probability = [*found, *(each for each, _ in training)], [*right, *(each for _, each in training)]
    logits = [logit(_scores(each).astype(np.float64).clip(SCORE_EPSILON, 1 - SCORE_EPSILON)) for each in every]
    counted = [inside(each.xy, each.shape_hw or (0, 0), border=border * (each.diameter_px or 0.0)) for each in every]
    halves = [(each.xy[:, 0] > (each.shape_hw or (0, 0))[1] / 2).astype(int) for each in found]
    halves_of_all = [*halves, *(np.full(len(each), BOTH_HALVES) for each, _ in training)]
    lines = []
    for side in (0, 1):
        others = [kept & (half != side) for kept, half in zip(counted, halves_of_all, strict=True)]
        lines.append(_fit(logits, probability, others))
    scored = []
    for each, values, half in zip(found, logits[: len(found)], halves, strict=True):
        slope, offset = np.array(lines)[half].T if len(each) else np.ones((2, 0))
        scored.append(replace(each, scores=expit(slope * values + offset).astype(np.float32)))
    return scored, _fit(logits, probability, counted)


def measure(found: Sequence[Picks], truth: Sequence[Picks], *, border: float) -> HeldOutScores:
    """Compute precision, recall and F1 at the default threshold, against complete labels, off a `border` in diameters."""
    counts = _counts(found, truth, border, THRESHOLD)
    return HeldOutScores(counts.found, counts.recall, counts.precision, counts.f1)


def measure_recall(found: Sequence[Picks], truth: Sequence[Picks], *, border: float, picks: int) -> HeldOutScores:
    """Compute the recall of the `picks` best picks, and its mean over all smaller numbers, off a `border` in diameters.

    If the labels are a random subset of the particles, higher recall with the same number of picks means more right picks.
    """
    scores, right, labels = [np.zeros(0, np.float32)], [np.zeros(0, bool)], 0
    for each, expected in zip(found, truth, strict=True):
        margin = border * (expected.diameter_px or 0.0)
        kept, counted = (some.where(inside(some.xy, expected.shape_hw or (0, 0), border=margin)) for some in (each, expected))
        scores.append(_scores(kept))
        right.append(true_by_score(kept.xy, counted.xy, _scores(kept), radius_px=_radius_px(expected)))
        labels += len(counted)
    order = np.argsort(-np.concatenate(scores), kind="stable")[:picks]
    hits = np.concatenate(right)[order].cumsum()
    recall = np.append(hits, np.full(picks - len(hits), hits[-1] if len(hits) else 0)) / max(labels, 1)
    return HeldOutScores(len(hits), float(recall[-1]) if picks else 0.0, mean_recall=float(recall.mean()) if picks else 0.0)


def _counts(found: Sequence[Picks], truth: Sequence[Picks], border: float, threshold: float) -> Counts:
    total = Counts(0, 0, 0)
    for each, labels in zip(found, truth, strict=True):
        margin = border * (labels.diameter_px or 0.0)
        total += evaluate_picks([each], [labels], diameter=labels.diameter, border=margin, threshold=threshold).counts
    return total


def _fit(
    logits: Sequence[NDArray[np.float64]], right: Sequence[NDArray[np.float64]], chosen: Sequence[NDArray[np.bool_]]
) -> Calibration:
    some = [values[kept] for values, kept in zip(logits, chosen, strict=True)]
    return fit_platt(np.concatenate(some), np.concatenate([each[kept] for each, kept in zip(right, chosen, strict=True)]))


def _scores(picks: Picks) -> NDArray[np.float32]:
    return np.zeros(len(picks), np.float32) if picks.scores is None else picks.scores


def _radius_px(truth: Picks) -> float:
    if truth.diameter_px is None:
        raise CryopickError(f"{truth.micrograph}: {MISSING_DIAMETER}")
    return truth.diameter_px / 2
