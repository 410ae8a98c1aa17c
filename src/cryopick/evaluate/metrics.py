"""The headline numbers: picks matched one to one with true particles, over all micrographs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cryopick.coordinates import inside
from cryopick.errors import SettingError
from cryopick.evaluate.counts import Counts, mean_of_known
from cryopick.evaluate.curves import Curve, Reliability, precision_recall, reliability
from cryopick.evaluate.matching import Match, match_points, neighbours, true_by_score
from cryopick.evaluate.pairing import MicrographPair, first_known, pair_micrographs
from cryopick.types import Picks


@dataclass(frozen=True, eq=False)
class MicrographEvaluation:
    """One micrograph: the picks and truths that count, and how they match.

    Attributes
    ----------
    found, truth : without those that the border takes out, and without picks below the threshold; `match` counts in them.
    pixel_size : Å per pixel, from either side; None when unknown.
    """

    found: Picks
    truth: Picks
    match: Match
    pixel_size: float | None

    @property
    def name(self) -> str:
        return self.truth.micrograph

    @property
    def counts(self) -> Counts:
        return Counts(len(self.match.pairs), len(self.match.extra), len(self.match.missed))


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How good picks are, against the truth of every micrograph that has one.

    Ratios are of all micrographs' counts together; `mean_…` are means over micrographs. A ratio of nothing is NaN.

    Attributes
    ----------
    per_micrograph : in the order of the truth.
    without_truth : micrographs that have picks and no truth; they count for nothing.
    tolerance, border, threshold : as given to `evaluate_picks`.
    curve, reliability : of the scores, at all thresholds; None when picks or truths are absent, or picks without scores. The
        second also when scores lie outside [0, 1].
    """

    per_micrograph: tuple[MicrographEvaluation, ...]
    without_truth: tuple[str, ...]
    tolerance: float
    border: float
    threshold: float | None
    curve: Curve | None
    reliability: Reliability | None

    @cached_property
    def counts(self) -> Counts:
        """Pairs, extra picks and missed particles of all micrographs together."""
        return sum((one.counts for one in self.per_micrograph), Counts(0, 0, 0))

    @property
    def precision(self) -> float:
        """Of the picks, the part that is true."""
        return self.counts.precision

    @property
    def recall(self) -> float:
        """Of the true particles, the part that was found."""
        return self.counts.recall

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return self.counts.f1

    @property
    def mean_precision(self) -> float:
        """Over the micrographs that have picks."""
        return mean_of_known(one.counts.precision for one in self.per_micrograph)

    @property
    def mean_recall(self) -> float:
        """Over the micrographs that have truths."""
        return mean_of_known(one.counts.recall for one in self.per_micrograph)

    @property
    def mean_f1(self) -> float:
        """Over the micrographs that have picks or truths."""
        return mean_of_known(one.counts.f1 for one in self.per_micrograph)

    @property
    def duplicates(self) -> int:
        """False positives that lie on a particle which another pick has."""
        return sum(len(one.match.duplicates) for one in self.per_micrograph)

    @property
    def errors_px(self) -> NDArray[np.float64]:
        """Distance of every pair, pixels of its micrograph."""
        return np.concatenate([np.zeros(0), *(one.match.distances for one in self.per_micrograph)])

    @property
    def errors_angstrom(self) -> NDArray[np.float64] | None:
        """Distance of every pair in Å; None when the pixel size of a micrograph that has pairs is unknown."""
        lengths = [np.zeros(0)]
        for one in self.per_micrograph:
            if one.pixel_size is not None:
                lengths.append(one.match.distances * one.pixel_size)
            elif len(one.match.pairs):
                return None
        return np.concatenate(lengths)


def evaluate_picks(
    found: Sequence[Picks],
    truth: Sequence[Picks],
    *,
    diameter: float | None = None,
    tolerance: float = 0.5,
    border: float = 0.0,
    threshold: float | None = None,
) -> Evaluation:
    """Match the picks of every micrograph in `truth` one to one with its particles.

    A pair is closer than `tolerance` diameters. Micrographs are paired by name: on one without picks all particles are missed,
    and picks on one without truth are left out.

    Parameters
    ----------
    diameter : of the particles, in Å where the pixel size of either side is known, else in pixels. None takes the truth's own,
        or the picks'.
    border : particles less than this many pixels from the picture's edge do not count, nor do picks there. A pick near enough
        to a particle that counts always counts, and one near enough only to a particle that does not never does, so a pick
        across the line from its particle is neither wrongly false nor lost.
    threshold : picks with a lower score are left out (the curve has all of them).

    Raises
    ------
    SettingError : for a tolerance or diameter that is not positive, a negative border, a threshold without scores.
    CryopickError : where a diameter, or with a border the micrograph's shape, is unknown on both sides.
    NameMatchError : when names are ambiguous, or there are picks and none is on a micrograph of `truth`.
    """
    if not border >= 0:
        raise SettingError(f"a border of {border} pixels cannot be; give 0 or more")
    pairs, without_truth = pair_micrographs(found, truth)
    radii = [_radius_px(pair, diameter, tolerance) for pair in pairs]
    counted = [_counted(pair, radius, border) for pair, radius in zip(pairs, radii, strict=True)]
    evaluated = tuple(_evaluate(pair.above(threshold), radius) for pair, radius in zip(counted, radii, strict=True))
    return Evaluation(evaluated, without_truth, tolerance, border, threshold, *_of_scores(counted, radii))


def _radius_px(pair: MicrographPair, diameter: float | None, tolerance: float) -> float:
    if not (np.isfinite(tolerance) and tolerance > 0):
        raise SettingError(f"a tolerance of {tolerance} diameters cannot be; give a positive number")
    given = pair.to_px(diameter)
    if not (len(pair.found) and len(pair.truth)):
        return tolerance  # nothing to pair: any radius will do, known diameter or not
    return tolerance * first_known(pair, given, pair.truth.diameter_px, pair.found.diameter_px)


def _counted(pair: MicrographPair, radius_px: float, border: float) -> MicrographPair:
    """The picks and truths that count; both rules look at places only, so they are the same at every threshold."""
    if border == 0:
        return pair
    found, truth = pair.found, pair.truth
    counts = inside(truth.xy, pair.shape_hw, border=border)
    near = neighbours(found.xy, truth.xy, radius_px=radius_px)
    on_counted = np.isin(np.arange(len(found)), near.found[counts[near.truth]])
    on_ignored = np.isin(np.arange(len(found)), near.found[~counts[near.truth]])
    keep = on_counted | (inside(found.xy, pair.shape_hw, border=border) & ~on_ignored)
    return MicrographPair(found.where(keep), truth.where(counts))


def _evaluate(pair: MicrographPair, radius_px: float) -> MicrographEvaluation:
    match = match_points(pair.found.xy, pair.truth.xy, radius_px=radius_px)
    return MicrographEvaluation(pair.found, pair.truth, match, pair.pixel_size)


def _of_scores(pairs: Sequence[MicrographPair], radii: Sequence[float]) -> tuple[Curve | None, Reliability | None]:
    truth_count = sum(len(pair.truth) for pair in pairs)
    scores, true = [np.zeros(0)], [np.zeros(0, bool)]
    for pair, radius in zip(pairs, radii, strict=True):
        if len(pair.found) and pair.found.scores is None:
            return None, None
        if pair.found.scores is not None:
            scores.append(pair.found.scores.astype(np.float64))
            true.append(true_by_score(pair.found.xy, pair.truth.xy, pair.found.scores, radius_px=radius))
    pooled, is_true = np.concatenate(scores), np.concatenate(true)
    if not (len(pooled) and truth_count):
        return None, None
    return precision_recall(pooled, is_true, truth_count), reliability(pooled, is_true)
