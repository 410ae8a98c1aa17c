"""What edits make of a micrograph's original picks."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cryopick.review.edits import Add, Edit, Erase, MarkBad, MarkReviewed, Move, Paint, Remove, SetThreshold
from cryopick.types import Picks


@dataclass(frozen=True, eq=False)
class State:
    """What edits have made of a micrograph's picks.

    Attributes
    ----------
    numbers : int (n,), of all picks, those that were taken away included.
    xy : float64 (n, 2), image frame.
    scores : float32 (n,), NaN where there is none.
    by_hand : bool (n,), set or moved by a person; no threshold hides them.
    present : bool (n,), not taken away, neither one by one nor with an area.
    areas : the bad ones, by their numbers.
    threshold : the micrograph's own, None where that of all counts.
    """

    numbers: NDArray[np.intp]
    xy: NDArray[np.float64]
    scores: NDArray[np.float32]
    by_hand: NDArray[np.bool_]
    present: NDArray[np.bool_]
    areas: dict[int, Paint]
    bad: bool = False
    reviewed: bool = False
    threshold: float | None = None

    def kept(self, threshold: float | None) -> NDArray[np.bool_]:
        """Which picks (n,) are left, with the threshold of all micrographs where this one has none of its own."""
        least = threshold if self.threshold is None else self.threshold
        if least is None:
            return self.present
        passing = np.isnan(self.scores) | (self.scores >= np.float32(least)) | self.by_hand
        return self.present & passing

    @cached_property
    def row_of(self) -> dict[int, int]:
        """Where each pick that is present stands in the arrays."""
        return {int(self.numbers[row]): int(row) for row in np.flatnonzero(self.present)}


def fold(original: Picks, edits: Iterable[Edit]) -> State:
    """The state that edits, in their order, make of original picks."""
    growing = _Growing(original)
    for edit in edits:
        growing.take(edit)
    return growing.state()


def painted(xy: NDArray[np.float64], area: Paint) -> NDArray[np.bool_]:
    """Which points (n, 2) lie within a bad area: no further than its radius from its line, which may be a single point."""
    line = np.array(area.points, np.float64)
    starts, steps = (line[:-1], np.diff(line, axis=0)) if len(line) > 1 else (line, np.zeros((1, 2)))
    inside = np.zeros(len(xy), bool)
    for start, step in zip(starts, steps, strict=True):
        length = float(step @ step)
        along = np.clip((xy - start) @ step / length, 0, 1) if length > 0 else np.zeros(len(xy))
        nearest = start + along[:, None] * step
        inside |= ((xy - nearest) ** 2).sum(axis=1) <= area.radius**2
    return inside


class _Growing:
    """Picks while edits are made to them, one list a column."""

    def __init__(self, original: Picks) -> None:
        count = len(original)
        self._original = original
        self._xy: list[tuple[float, float]] = [(x, y) for x, y in original.xy.tolist()]
        self._numbers, self._by_hand, self._taken = list(range(count)), [False] * count, [False] * count
        self._row_of = {number: number for number in self._numbers}
        self._areas: dict[int, Paint] = {}
        self._gone_with: dict[int, list[int]] = {}
        self._bad, self._reviewed = False, False
        self._threshold: float | None = None

    def take(self, edit: Edit) -> None:
        match edit:
            case Add():
                self._add(edit)
            case Move(pick=pick, x=x, y=y):
                row = self._row_of[pick]
                self._xy[row], self._by_hand[row] = (x, y), True
            case Remove(picks=picks):
                self._set_taken([self._row_of[pick] for pick in picks], True)
            case Paint(area=area):
                within = painted(np.array(self._xy).reshape(-1, 2), edit) & ~np.array(self._taken, bool)
                self._areas[area], self._gone_with[area] = edit, np.flatnonzero(within).tolist()
                self._set_taken(self._gone_with[area], True)
            case Erase(area=area):
                del self._areas[area]
                self._set_taken(self._gone_with.pop(area), False)
            case MarkBad(value=value):
                self._bad = value
            case MarkReviewed(value=value, threshold=own):
                self._reviewed, self._threshold = value, own if value else None
            case SetThreshold(value=least):
                self._threshold = least

    def state(self) -> State:
        scores = np.full(len(self._xy), np.nan, np.float32)
        if self._original.scores is not None:
            scores[: len(self._original)] = self._original.scores
        return State(
            numbers=np.array(self._numbers, np.intp),
            xy=np.array(self._xy, np.float64).reshape(-1, 2),
            scores=scores,
            by_hand=np.array(self._by_hand, bool),
            present=~np.array(self._taken, bool),
            areas=self._areas,
            bad=self._bad,
            reviewed=self._reviewed,
            threshold=self._threshold,
        )

    def _add(self, edit: Add) -> None:
        self._row_of[edit.pick] = len(self._xy)
        self._numbers.append(edit.pick)
        self._xy.append((edit.x, edit.y))
        self._by_hand.append(True)
        self._taken.append(False)

    def _set_taken(self, rows: list[int], value: bool) -> None:
        for row in rows:
            self._taken[row] = value
