"""Precision, recall and F1 of picks matched one to one with ground truth, over all micrographs."""

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
from cryopick.types import Picks, each_picks


@dataclass(frozen=True, eq=False)
class MicrographEvaluation:
    """Picks and ground truth of one micrograph, and their match.

    Attributes
    ----------
    found, truth : without those excluded by the border, and without picks below the threshold; `match` indexes these.
    match : the pairs, missed particles and extra picks.
    pixel_size : Å per pixel, from either side; None when unknown.
    """

    found: Picks
    truth: Picks
    match: Match
    pixel_size: float | None

    @property
    def name(self) -> str:
        """The micrograph's name in the ground truth."""
        return self.truth.micrograph

    @property
    def counts(self) -> Counts:
        """Pairs, extra picks and missed particles."""
        return Counts(len(self.match.pairs), len(self.match.extra), len(self.match.missed))


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """Scores of picks on all micrographs with ground truth.

    Ratios are of the counts pooled over micrographs; `mean_…` are means over micrographs. Ratios of 0 / 0 are NaN.

    Attributes
    ----------
    per_micrograph : in the order of the ground truth.
    without_truth : names of micrographs that have picks but no ground truth; they are not counted.
    tolerance, border, threshold : as given to `evaluate_picks`.
    curve : precision and recall at all thresholds; None without picks, ground truth or scores.
    reliability : of the scores; None like `curve`, and when scores lie outside [0, 1].

    Examples
    --------
    >>> truth = Picks("m.mrc", [[10, 10], [50, 50], [90, 10]], diameter=20)
    >>> evaluate_picks(truth[:2], truth)
    <Evaluation of 1 micrograph: precision 1.000, recall 0.667, F1 0.800>
    """

    per_micrograph: tuple[MicrographEvaluation, ...]
    without_truth: tuple[str, ...]
    tolerance: float
    border: float
    threshold: float | None
    curve: Curve | None
    reliability: Reliability | None

    def __repr__(self) -> str:
        count = len(self.per_micrograph)
        ratios = f"precision {self.precision:.3f}, recall {self.recall:.3f}, F1 {self.f1:.3f}"
        return f"<Evaluation of {count} micrograph{'' if count == 1 else 's'}: {ratios}>"

    @cached_property
    def counts(self) -> Counts:
        """Pairs, extra picks and missed particles, pooled over micrographs."""
        return sum((one.counts for one in self.per_micrograph), Counts(0, 0, 0))

    @property
    def precision(self) -> float:
        """Fraction of the picks that are true."""
        return self.counts.precision

    @property
    def recall(self) -> float:
        """Fraction of the true particles that were found."""
        return self.counts.recall

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return self.counts.f1

    @property
    def mean_precision(self) -> float:
        """Mean precision over the micrographs that have picks."""
        return mean_of_known(one.counts.precision for one in self.per_micrograph)

    @property
    def mean_recall(self) -> float:
        """Mean recall over the micrographs that have true particles."""
        return mean_of_known(one.counts.recall for one in self.per_micrograph)

    @property
    def mean_f1(self) -> float:
        """Mean F1 over the micrographs that have picks or true particles."""
        return mean_of_known(one.counts.f1 for one in self.per_micrograph)

    @property
    def duplicates(self) -> int:
        """Number of false positives on a particle that another pick is paired with."""
        return sum(len(one.match.duplicates) for one in self.per_micrograph)

    @property
    def errors_px(self) -> NDArray[np.float64]:
        """Distances of all pairs, float64 (k,) in pixels of their micrographs."""
        return np.concatenate([np.zeros(0), *(one.match.distances for one in self.per_micrograph)])

    @property
    def errors_angstrom(self) -> NDArray[np.float64] | None:
        """Distances of all pairs, float64 (k,) in Å; None when the pixel size of a micrograph with pairs is unknown."""
        lengths = [np.zeros(0)]
        for one in self.per_micrograph:
            if one.pixel_size is not None:
                lengths.append(one.match.distances * one.pixel_size)
            elif len(one.match.pairs):
                return None
        return np.concatenate(lengths)


def evaluate_picks(
    found: Picks | Sequence[Picks],
    truth: Picks | Sequence[Picks],
    *,
    diameter: float | None = None,
    tolerance: float = 0.5,
    border: float = 0.0,
    threshold: float | None = None,
) -> Evaluation:
    """Score picks against ground truth: match them one to one with the particles of every micrograph in `truth`.

    Micrographs are paired by name; names may differ in folders, extension and CryoSPARC's UID. On a micrograph without picks
    all particles are missed; picks on a micrograph without ground truth are not counted.

    Parameters
    ----------
    found : picks of one or several micrographs.
    truth : the true particles of one or several micrographs.
    diameter : particle diameter, in Å if the pixel size of either side is known, else in pixels; the ground truth's own, or
        the picks', if omitted.
    tolerance : largest distance of a pair in diameters.
    border : width in pixels of a margin in which neither particles nor picks are counted. Picks within the tolerance of a
        counted particle are always counted; picks only within the tolerance of uncounted particles never are.
    threshold : lowest score of the picks that count; the curve is of all picks.

    Returns
    -------
    Evaluation
        Precision, recall, F1, localisation errors and curves, pooled and per micrograph.

    Raises
    ------
    SettingError
        For a tolerance or diameter that is not positive, a negative border, a threshold on picks without scores, and anything
        but picks.
    CryopickError
        When a diameter is needed and unknown on both sides; with a border, likewise the micrograph's shape.
    NameMatchError
        When names are ambiguous, or no picks are on a micrograph of `truth`.

    Examples
    --------
    >>> truth = Picks("m.mrc", [[10, 10], [50, 50], [90, 10]], diameter=20)
    >>> found = Picks("m.mrc", [[12, 11], [51, 49], [30, 80]], [0.9, 0.8, 0.3])
    >>> result = evaluate_picks(found, truth)
    >>> result
    <Evaluation of 1 micrograph: precision 0.667, recall 0.667, F1 0.667>
    >>> result.per_micrograph[0].match.missed.tolist()
    [2]
    """
    if not border >= 0:
        raise SettingError(f"the border must be 0 or more, got {border} pixels")
    found, truth = ([*each_picks(side, "evaluate_picks(found, truth)")] for side in (found, truth))
    pairs, without_truth = pair_micrographs(found, truth)
    radii = [_radius_px(pair, diameter, tolerance) for pair in pairs]
    counted = [_counted(pair, radius, border) for pair, radius in zip(pairs, radii, strict=True)]
    evaluated = tuple(_evaluate(pair.above(threshold), radius) for pair, radius in zip(counted, radii, strict=True))
    return Evaluation(evaluated, without_truth, tolerance, border, threshold, *_of_scores(counted, radii))


def _radius_px(pair: MicrographPair, diameter: float | None, tolerance: float) -> float:
    if not (np.isfinite(tolerance) and tolerance > 0):
        raise SettingError(f"the tolerance must be positive, got {tolerance} diameters")
    given = pair.to_px(diameter)
    if not (len(pair.found) and len(pair.truth)):
        return tolerance  # nothing to pair: any radius is fine
    return tolerance * first_known(pair, given, pair.truth.diameter_px, pair.found.diameter_px)


def _counted(pair: MicrographPair, radius_px: float, border: float) -> MicrographPair:
    """Select the picks and true particles that count, by coordinates only: the same at every threshold."""
    if border == 0:
        return pair
    found, truth = pair.found, pair.truth
    counts = inside(truth.xy, pair.shape_hw, border=border)
    near = neighbours(found.xy, truth.xy, radius_px=radius_px)
    on_counted = np.isin(np.arange(len(found)), near.found[counts[near.truth]])
    on_ignored = np.isin(np.arange(len(found)), near.found[~counts[near.truth]])
    keep = on_counted | (inside(found.xy, pair.shape_hw, border=border) & ~on_ignored)
    return MicrographPair(found[keep], truth[counts])


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
