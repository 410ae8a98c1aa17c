"""Micrographs that are kept aside, and what weights find on them before and after they were changed."""

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
from cryopick.train.calibration import fit_line
from cryopick.types import Picks

FAINTEST = 0.005
"""Least score of what is looked at."""
SURE = 1e-7
"""Scores are kept this far from 0 and 1, where float32 rounds them to."""
THRESHOLD = UNetSettings().threshold
NEITHER = -1
"""In place of the half of a picture, 0 or 1, where a pick lies: it takes part in the calibration of both."""
Line = tuple[float, float]


@dataclass(frozen=True)
class Measured:
    """What weights reach on micrographs that they were not trained on.

    Attributes
    ----------
    picks : at the default threshold, or as many as are compared.
    recall : of the labels.
    precision, f1 : None where particles may be missing among the labels.
    mean_recall : then, instead: over all numbers of best picks up to `picks`.
    """

    picks: int
    recall: float
    precision: float | None = None
    f1: float | None = None
    mean_recall: float | None = None

    @property
    def score(self) -> float:
        """What must not fall."""
        return next(value for value in (self.f1, self.mean_recall, self.recall) if value is not None)


def pick_all(
    weights: Path, micrographs: Sequence[LabelledMicrograph], *, particles: Literal["dark", "light"] = "dark"
) -> list[Picks]:
    """Every pick that scores `FAINTEST` or more, as `cryopick pick` finds them with these weights and the labels' diameter."""
    picker = UNetPicker(UNetSettings(weights=str(weights), threshold=FAINTEST, particles=particles))
    return [picker.pick(one.source.read(), diameter=one.truth.diameter) for one in micrographs]


def chances(found: Picks, truth: Picks, *, start: Picks | None = None) -> NDArray[np.float64]:
    """The chance of each pick to be right (n,): 1 or 0 by complete labels.

    By partial ones, where the `start`'s picks are given, it is 1 where a label says so, else the start's score at the place.
    """
    radius_px = _radius_px(truth)
    right = true_by_score(found.xy, truth.xy, _scores(found), radius_px=radius_px).astype(np.float64)
    if start is not None:
        near = neighbours(found.xy, start.xy, radius_px=radius_px)
        np.maximum.at(right, near.found, _scores(start)[near.truth])
    return right


def calibrated(
    found: Sequence[Picks],
    right: Sequence[NDArray[np.float64]],
    *,
    border: float,
    learnt: Sequence[tuple[Picks, NDArray[np.float64]]] = (),
) -> tuple[list[Picks], Line]:
    """Picks whose scores are uncalibrated, with scores that were calibrated on other parts of the picture; and the line for all.

    The left halves' scores are calibrated on the right halves and the other way round, so that numbers made with them are fair.
    In both cases, and in the line, `learnt` takes part: what was found on the micrographs that were trained on, and whether it
    is right. One or two micrographs kept aside tell little of the others; a short training learns few by heart.
    """
    every, chance = [*found, *(each for each, _ in learnt)], [*right, *(each for _, each in learnt)]
    logits = [logit(_scores(each).astype(np.float64).clip(SURE, 1 - SURE)) for each in every]
    counted = [inside(each.xy, each.shape_hw or (0, 0), border=border * (each.diameter_px or 0.0)) for each in every]
    sides = [(each.xy[:, 0] > (each.shape_hw or (0, 0))[1] / 2).astype(int) for each in found]
    sides_of_all = [*sides, *(np.full(len(each), NEITHER) for each, _ in learnt)]
    lines = []
    for side in (0, 1):
        others = [kept & (half != side) for kept, half in zip(counted, sides_of_all, strict=True)]
        lines.append(_line(logits, chance, others))
    scored = []
    for each, values, half in zip(found, logits[: len(found)], sides, strict=True):
        slope, offset = np.array(lines)[half].T if len(each) else np.ones((2, 0))
        scored.append(replace(each, scores=expit(slope * values + offset).astype(np.float32)))
    return scored, _line(logits, chance, counted)


def measure(found: Sequence[Picks], truth: Sequence[Picks], *, border: float) -> Measured:
    """Precision, recall and F1 at the default threshold, against complete labels; `border` in diameters."""
    counts = _counts(found, truth, border, THRESHOLD)
    return Measured(counts.found, counts.recall, counts.precision, counts.f1)


def measure_recall(found: Sequence[Picks], truth: Sequence[Picks], *, border: float, picks: int) -> Measured:
    """The share of the labels that the `picks` best picks find, and its mean over all smaller numbers of picks.

    Where labels are a random part of the particles this still tells which weights are better: as many picks, more of the labels
    among them, so more of them are right.
    """
    scores, right, labels = [np.zeros(0, np.float32)], [np.zeros(0, bool)], 0
    for each, wanted in zip(found, truth, strict=True):
        margin = border * (wanted.diameter_px or 0.0)
        kept, counted = (some.where(inside(some.xy, wanted.shape_hw or (0, 0), border=margin)) for some in (each, wanted))
        scores.append(_scores(kept))
        right.append(true_by_score(kept.xy, counted.xy, _scores(kept), radius_px=_radius_px(wanted)))
        labels += len(counted)
    order = np.argsort(-np.concatenate(scores), kind="stable")[:picks]
    hits = np.concatenate(right)[order].cumsum()
    recall = np.append(hits, np.full(picks - len(hits), hits[-1] if len(hits) else 0)) / max(labels, 1)
    return Measured(len(hits), float(recall[-1]) if picks else 0.0, mean_recall=float(recall.mean()) if picks else 0.0)


def _counts(found: Sequence[Picks], truth: Sequence[Picks], border: float, threshold: float) -> Counts:
    total = Counts(0, 0, 0)
    for each, labels in zip(found, truth, strict=True):
        margin = border * (labels.diameter_px or 0.0)
        total += evaluate_picks([each], [labels], diameter=labels.diameter, border=margin, threshold=threshold).counts
    return total


def _line(
    logits: Sequence[NDArray[np.float64]], right: Sequence[NDArray[np.float64]], chosen: Sequence[NDArray[np.bool_]]
) -> Line:
    some = [values[kept] for values, kept in zip(logits, chosen, strict=True)]
    return fit_line(np.concatenate(some), np.concatenate([each[kept] for each, kept in zip(right, chosen, strict=True)]))


def _scores(picks: Picks) -> NDArray[np.float32]:
    return np.zeros(len(picks), np.float32) if picks.scores is None else picks.scores


def _radius_px(truth: Picks) -> float:
    if truth.diameter_px is None:
        raise CryopickError(f"{truth.micrograph}: nobody says how large its particles are; give their diameter")
    return truth.diameter_px / 2
