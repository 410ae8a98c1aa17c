"""What edits make of a micrograph's original picks."""

from collections.abc import Iterable
from dataclasses import dataclass, field
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


BY_HAND = 1.0
"""Score of a pick that a person has set; more where other picks of the micrograph have more."""


@dataclass(eq=False)
class History:
    """Edits in their order, and those taken back; each with the number of the entry that made or took it back."""

    done: list[tuple[int, Edit]] = field(default_factory=list)
    undone: list[tuple[int, Edit]] = field(default_factory=list)
    revision: int = 0

    def make(self, number: int, edit: Edit) -> None:
        """A new edit; what was taken back before cannot come back."""
        self.done.append((number, edit))
        self.undone.clear()
        self.revision += 1

    def undo(self, number: int) -> None:
        """Take the last edit back."""
        self.undone.append((number, self.done.pop()[1]))
        self.revision += 1

    def redo(self, number: int) -> None:
        """Make again what was taken back last."""
        self.done.append((number, self.undone.pop()[1]))
        self.revision += 1

    @property
    def last_done(self) -> int:
        return self.done[-1][0] if self.done else -1

    @property
    def last_undone(self) -> int:
        return self.undone[-1][0] if self.undone else -1


class Sheet:
    """A micrograph's original picks and its history."""

    def __init__(self, original: Picks) -> None:
        self.original = original
        self.history = History()
        self._next = len(original)
        self._state: tuple[int, State] | None = None

    @property
    def touched(self) -> bool:
        """Whether anything was ever done to it."""
        return self.history.revision > 0

    def numbered(self, edit: Edit) -> Edit:
        """The edit with a number for what it adds."""
        if isinstance(edit, Add):
            return Add(edit.x, edit.y, self._next)
        if isinstance(edit, Paint):
            return Paint(edit.radius, edit.points, self._next)
        return edit

    def make(self, number: int, edit: Edit) -> None:
        """Enter a numbered edit."""
        self.history.make(number, edit)
        if isinstance(edit, Add):
            self._next = max(self._next, edit.pick + 1)
        elif isinstance(edit, Paint):
            self._next = max(self._next, edit.area + 1)

    def still_means(self, edit: Edit) -> Edit | None:
        """What is left of an edit that was made on an older state: None when all that it names is gone."""
        present = self.state.row_of
        match edit:
            case Move(pick=pick):
                return edit if pick in present else None
            case Remove(picks=picks):
                left = [pick for pick in dict.fromkeys(picks) if pick in present]
                return Remove(left) if left else None
            case Erase(area=area):
                return edit if area in self.state.areas else None
            case _:
                return edit

    @property
    def state(self) -> State:
        """What original and edits give now."""
        if self._state is None or self._state[0] != self.history.revision:
            self._state = self.history.revision, fold(self.original, (edit for _, edit in self.history.done))
        return self._state[1]

    def result(self, threshold: float | None) -> Picks:
        """The picks that are left, those set by hand with the score `BY_HAND`; without scores where the originals have none."""
        state = self.state
        keep = state.kept(threshold)
        scores = None
        if self.original.scores is not None:
            top = max(BY_HAND, float(self.original.scores.max(initial=0.0)))
            scores = np.where(np.isnan(state.scores), np.float32(top), state.scores)[keep]
        return self.original.with_points(state.xy[keep], scores)

    def rejected(self) -> Picks:
        """Original picks that a person has taken away: places that look like particles and are none."""
        gone = ~self.state.present[: len(self.original)]
        return self.original.where(gone)
