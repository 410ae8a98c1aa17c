"""Two sets of picks of the same micrographs, before and after: where they agree, and how good each is where truth is known."""

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

UNKNOWN_RADIUS = 20.0
"""Pixels, where nobody knows the diameter."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """The review's original picks before, other ones after; reviewed micrographs are the truth.

    Attributes
    ----------
    before, after : of the review's micrographs, in their order.
    title : of the set after.
    learnt : names of micrographs that the picks after have learnt from; numbers on them prove little.
    """

    review: Review
    before: Sequence[Picks]
    after: Sequence[Picks]
    title: str
    learnt: frozenset[str]

    @staticmethod
    def of(review: Review, found: Sequence[Picks], *, title: str, seen: Collection[str] = ()) -> "Comparison":
        """The comparison with picks that bear the names of the review's micrographs; without picks where none were found.

        `seen` names the micrographs that they have learnt from; unless it is known, those in the labels that were written last.
        """
        by_name = {each.micrograph: each for each in found}
        names = [subject.source.name for subject in review.subjects]
        after = [by_name.get(name, Picks(name)) for name in names]
        learnt = {name for name in names if Path(name).name in seen} or labelled_names(review)
        return Comparison(review, [subject.picks for subject in review.subjects], after, title, frozenset(learnt))

    def above(self, before: float | None, after: float | None) -> "Comparison":
        """The same of picks that have these scores at least; None, and picks without scores, leave all."""
        return replace(
            self, before=[_above(each, before) for each in self.before], after=[_above(each, after) for each in self.after]
        )

    def row(self, index: int) -> dict[str, Any]:
        """One micrograph's line: counts, how many agree, and the counts against the truth or None."""
        before, after = self.before[index], self.after[index]
        agreed = len(self._match(before, after, index).pairs)
        truth = self._truth(index)
        return {
            "name": before.micrograph,
            "learnt": before.micrograph in self.learnt,
            "before": len(before),
            "after": len(after),
            "agreed": agreed,
            "truth": None if truth is None else len(truth),
            "beforeScore": None if truth is None else _score(self._counts(before, truth, index)),
            "afterScore": None if truth is None else _score(self._counts(after, truth, index)),
        }

    def totals(self) -> list[dict[str, Any]]:
        """Pooled numbers of reviewed micrographs: those that nothing was learnt from, then the others."""
        groups = []
        for learnt in (False, True):
            members = [
                index
                for index, subject in enumerate(self.review.subjects)
                if (subject.source.name in self.learnt) is learnt and self._truth(index) is not None
            ]
            before, after = Counts(0, 0, 0), Counts(0, 0, 0)
            for index in members:
                truth = self._truth(index)
                if truth is not None:
                    before += self._counts(self.before[index], truth, index)
                    after += self._counts(self.after[index], truth, index)
            groups.append({"learnt": learnt, "micrographs": len(members), "before": _score(before), "after": _score(after)})
        return groups

    def detail(self, index: int) -> dict[str, Any]:
        """Both sets of a micrograph, each pick with its kind: `agreed` or `only` here; with truth `right`, `false`, `missed`."""
        before, after, truth = self.before[index], self.after[index], self._truth(index)
        pairs = self._match(before, after, index).pairs
        sides = [
            self._side(before, truth, set(pairs[:, 0].tolist()), index),
            self._side(after, truth, set(pairs[:, 1].tolist()), index),
        ]
        return {"before": sides[0], "after": sides[1], "judged": truth is not None}

    def _side(self, picks: Picks, truth: Picks | None, agreed: set[int], index: int) -> dict[str, Any]:
        missed = []
        if truth is None:
            kinds = ["agreed" if row in agreed else "only" for row in range(len(picks))]
        else:
            match = self._match(picks, truth, index)
            right = set(match.pairs[:, 0].tolist())
            kinds = ["right" if row in right else "false" for row in range(len(picks))]
            missed = truth.xy[match.missed].round(2).tolist()
        scores = None if picks.scores is None else [round(score, 4) for score in picks.scores.tolist()]
        return {"xy": picks.xy.round(2).tolist(), "scores": scores, "kinds": kinds, "missed": missed}

    def _truth(self, index: int) -> Picks | None:
        state = self.review.sheet(index).state
        return self.review.result(index) if state.reviewed and not state.bad else None

    def _counts(self, picks: Picks, truth: Picks, index: int) -> Counts:
        match = self._match(picks, truth, index)
        return Counts(len(match.pairs), len(match.extra), len(match.missed))

    def _match(self, one: Picks, other: Picks, index: int) -> Match:
        diameter_px = self.before[index].diameter_px or self.after[index].diameter_px
        return match_points(one.xy, other.xy, radius_px=diameter_px / 2 if diameter_px else UNKNOWN_RADIUS)


def _above(picks: Picks, least: float | None) -> Picks:
    return picks if least is None or picks.scores is None else picks.where(picks.scores >= np.float32(least))


def _score(counts: Counts) -> dict[str, float | None]:
    ratios = {"precision": counts.precision, "recall": counts.recall, "f1": counts.f1}
    return {name: None if value != value else round(value, 3) for name, value in ratios.items()}
