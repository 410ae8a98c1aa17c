"""Comparison of two sets of picks on the same micrographs: agreement and, on reviewed micrographs, scores."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cryopick.evaluate.counts import Counts
from cryopick.evaluate.matching import Match, match_points
from cryopick.review.export import labelled_names
from cryopick.review.session import Review
from cryopick.types import Picks

DEFAULT_RADIUS_PX = 20.0
"""Largest distance of matching picks if the diameter is unknown."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """The original picks of a review before, other picks after; the picks of reviewed micrographs are ground truth.

    Attributes
    ----------
    review : the review with the micrographs and the ground truth.
    before, after : picks of its micrographs, in their order.
    title : name of the set after.
    trained_on : names of micrographs that the picker of the set after was trained on; scores on them are not a fair test.
    """

    review: Review
    before: Sequence[Picks]
    after: Sequence[Picks]
    title: str
    trained_on: frozenset[str]

    @staticmethod
    def of(review: Review, found: Sequence[Picks], *, title: str, trained_on: Collection[str] = ()) -> "Comparison":
        """Compare with picks of the review's micrographs; a micrograph without any counts as picked and empty.

        `trained_on` names the micrographs that the picker was trained on. If it is empty, the micrographs in the labels that were
        written last are assumed.
        """
        by_name = {each.micrograph: each for each in found}
        names = [micrograph.source.name for micrograph in review.micrographs]
        after = [by_name.get(name, Picks(name)) for name in names]
        known = {name for name in names if Path(name).name in trained_on} or labelled_names(review)
        return Comparison(review, [micrograph.picks for micrograph in review.micrographs], after, title, frozenset(known))

    def above(self, before: float | None, after: float | None) -> "Comparison":
        """Return the comparison of the picks with at least these scores; None keeps all, as do picks without scores."""
        return replace(
            self, before=[_at_least(each, before) for each in self.before], after=[_at_least(each, after) for each in self.after]
        )

    def row(self, index: int) -> dict[str, Any]:
        """Return the row of a micrograph: number of picks in each set and in both, and scores against ground truth or None."""
        before, after = self.before[index], self.after[index]
        agreed = len(self._match(before, after, index).pairs)
        truth = self._truth(index)
        return {
            "name": before.micrograph,
            "trainedOn": before.micrograph in self.trained_on,
            "before": len(before),
            "after": len(after),
            "agreed": agreed,
            "truth": None if truth is None else len(truth),
            "beforeScore": None if truth is None else _ratios(self._counts(before, truth, index)),
            "afterScore": None if truth is None else _ratios(self._counts(after, truth, index)),
        }

    def totals(self) -> list[dict[str, Any]]:
        """Return pooled scores of reviewed micrographs: those that were not used for training, then those that were."""
        groups = []
        for trained_on in (False, True):
            members = [
                index
                for index, micrograph in enumerate(self.review.micrographs)
                if (micrograph.source.name in self.trained_on) is trained_on and self._truth(index) is not None
            ]
            before, after = Counts(0, 0, 0), Counts(0, 0, 0)
            for index in members:
                truth = self._truth(index)
                if truth is not None:
                    before += self._counts(self.before[index], truth, index)
                    after += self._counts(self.after[index], truth, index)
            ratios = {"before": _ratios(before), "after": _ratios(after)}
            groups.append({"trainedOn": trained_on, "micrographs": len(members), **ratios})
        return groups

    def detail(self, index: int) -> dict[str, Any]:
        """Return both sets of a micrograph; picks are `agreed` or `only` in one set; with ground truth, `correct` or `false`."""
        before, after, truth = self.before[index], self.after[index], self._truth(index)
        pairs = self._match(before, after, index).pairs
        sides = [
            self._side(before, truth, set(pairs[:, 0].tolist()), index),
            self._side(after, truth, set(pairs[:, 1].tolist()), index),
        ]
        return {"before": sides[0], "after": sides[1], "hasTruth": truth is not None}

    def _side(self, picks: Picks, truth: Picks | None, agreed: set[int], index: int) -> dict[str, Any]:
        missed = []
        if truth is None:
            kinds = ["agreed" if row in agreed else "only" for row in range(len(picks))]
        else:
            match = self._match(picks, truth, index)
            correct = set(match.pairs[:, 0].tolist())
            kinds = ["correct" if row in correct else "false" for row in range(len(picks))]
            missed = truth.xy[match.missed].round(2).tolist()
        scores = None if picks.scores is None else [round(score, 4) for score in picks.scores.tolist()]
        return {"xy": picks.xy.round(2).tolist(), "scores": scores, "kinds": kinds, "missed": missed}

    def _truth(self, index: int) -> Picks | None:
        state = self.review.edited_picks(index).state
        return self.review.result(index) if state.reviewed and not state.bad else None

    def _counts(self, picks: Picks, truth: Picks, index: int) -> Counts:
        match = self._match(picks, truth, index)
        return Counts(len(match.pairs), len(match.extra), len(match.missed))

    def _match(self, one: Picks, other: Picks, index: int) -> Match:
        diameter_px = self.before[index].diameter_px or self.after[index].diameter_px
        return match_points(one.xy, other.xy, radius_px=diameter_px / 2 if diameter_px else DEFAULT_RADIUS_PX)


def _at_least(picks: Picks, least: float | None) -> Picks:
    return picks if least is None or picks.scores is None else picks.where(picks.scores >= np.float32(least))


def _ratios(counts: Counts) -> dict[str, float | None]:
    values = {"precision": counts.precision, "recall": counts.recall, "f1": counts.f1}
    return {name: None if value != value else round(value, 3) for name, value in values.items()}
