"""The picks of a micrograph under review: originals, edits and the result."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cryopick.review.edits import Add, Edit, Erase, MarkBad, MarkReviewed, Move, Paint, Remove, SetThreshold
from cryopick.types import Picks

HAND_SCORE = 1.0
"""Score of a pick added by hand, or the highest score of the micrograph if that is higher."""


@dataclass(frozen=True, eq=False)
class PickState:
    """The picks of a micrograph after its edits.

    Attributes
    ----------
    numbers : int (n,), identify the picks; removed ones are included.
    xy : float64 (n, 2), image frame.
    scores : float32 (n,), NaN if there is none.
    by_hand : bool (n,), added or moved by hand; thresholds do not apply to them.
    present : bool (n,), not removed, neither one by one nor with a bad area.
    areas : bad areas by their numbers.
    bad : whether the whole micrograph is marked as bad.
    reviewed : whether it is marked as reviewed.
    threshold : of this micrograph; None if the shared threshold applies.
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
        """Return which picks (n,) are kept; `threshold` is the shared one, used if this micrograph has none of its own."""
        least = threshold if self.threshold is None else self.threshold
        if least is None:
            return self.present
        passing = np.isnan(self.scores) | (self.scores >= np.float32(least)) | self.by_hand
        return self.present & passing

    @cached_property
    def row_of(self) -> dict[int, int]:
        """Row of each present pick in the arrays, by its number."""
        return {int(self.numbers[row]): int(row) for row in np.flatnonzero(self.present)}


def apply_edits(original: Picks, edits: Iterable[Edit]) -> PickState:
    """Apply edits to original picks in their order."""
    editor = _PickEditor(original)
    for edit in edits:
        editor.apply(edit)
    return editor.state()


def inside_area(xy: NDArray[np.float64], area: Paint) -> NDArray[np.bool_]:
    """Return which points (n, 2) lie inside a bad area: within its radius of its line, which may be a single point."""
    line = np.array(area.points, np.float64)
    starts, steps = (line[:-1], np.diff(line, axis=0)) if len(line) > 1 else (line, np.zeros((1, 2)))
    inside = np.zeros(len(xy), bool)
    for start, step in zip(starts, steps, strict=True):
        length = float(step @ step)
        along = np.clip((xy - start) @ step / length, 0, 1) if length > 0 else np.zeros(len(xy))
        nearest = start + along[:, None] * step
        inside |= ((xy - nearest) ** 2).sum(axis=1) <= area.radius**2
    return inside


class _PickEditor:
    """Picks while edits are applied, one list per column."""

    def __init__(self, original: Picks) -> None:
        count = len(original)
        self._original = original
        self._xy: list[tuple[float, float]] = [(x, y) for x, y in original.xy.tolist()]
        self._numbers, self._by_hand, self._removed = list(range(count)), [False] * count, [False] * count
        self._row_of = {number: number for number in self._numbers}
        self._areas: dict[int, Paint] = {}
        self._removed_by_area: dict[int, list[int]] = {}
        self._bad, self._reviewed = False, False
        self._threshold: float | None = None

    def apply(self, edit: Edit) -> None:
        match edit:
            case Add():
                self._add(edit)
            case Move(pick=pick, x=x, y=y):
                row = self._row_of[pick]
                self._xy[row], self._by_hand[row] = (x, y), True
            case Remove(picks=picks):
                self._set_removed([self._row_of[pick] for pick in picks], True)
            case Paint(area=area):
                within = inside_area(np.array(self._xy).reshape(-1, 2), edit) & ~np.array(self._removed, bool)
                self._areas[area], self._removed_by_area[area] = edit, np.flatnonzero(within).tolist()
                self._set_removed(self._removed_by_area[area], True)
            case Erase(area=area):
                del self._areas[area]
                self._set_removed(self._removed_by_area.pop(area), False)
            case MarkBad(value=value):
                self._bad = value
            case MarkReviewed(value=value, threshold=own):
                self._reviewed, self._threshold = value, own if value else None
            case SetThreshold(value=least):
                self._threshold = least

    def state(self) -> PickState:
        scores = np.full(len(self._xy), np.nan, np.float32)
        if self._original.scores is not None:
            scores[: len(self._original)] = self._original.scores
        return PickState(
            numbers=np.array(self._numbers, np.intp),
            xy=np.array(self._xy, np.float64).reshape(-1, 2),
            scores=scores,
            by_hand=np.array(self._by_hand, bool),
            present=~np.array(self._removed, bool),
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
        self._removed.append(False)

    def _set_removed(self, rows: list[int], value: bool) -> None:
        for row in rows:
            self._removed[row] = value


@dataclass(eq=False)
class History:
    """Edits in their order, and those undone, each with the number of the journal entry that made or undid it.

    Attributes
    ----------
    done, undone : pairs of entry number and edit, the newest last.
    revision : grows with every change.
    """

    done: list[tuple[int, Edit]] = field(default_factory=list)
    undone: list[tuple[int, Edit]] = field(default_factory=list)
    revision: int = 0

    def add(self, number: int, edit: Edit) -> None:
        """Add a new edit; undone edits can then no longer be redone."""
        self.done.append((number, edit))
        self.undone.clear()
        self.revision += 1

    def undo(self, number: int) -> None:
        """Undo the last edit."""
        self.undone.append((number, self.done.pop()[1]))
        self.revision += 1

    def redo(self, number: int) -> None:
        """Redo the edit that was undone last."""
        self.done.append((number, self.undone.pop()[1]))
        self.revision += 1

    @property
    def last_done(self) -> int:
        """Entry number of the last edit; -1 without any."""
        return self.done[-1][0] if self.done else -1

    @property
    def last_undone(self) -> int:
        """Entry number of the last undo; -1 without any."""
        return self.undone[-1][0] if self.undone else -1


class EditedPicks:
    """The original picks of a micrograph and the history of their edits.

    Attributes
    ----------
    original : the picks before any edit.
    history : the edits.
    """

    def __init__(self, original: Picks) -> None:
        self.original = original
        self.history = History()
        self._next = len(original)
        self._state: tuple[int, PickState] | None = None

    @property
    def was_edited(self) -> bool:
        """Whether the picks were ever edited, even if all edits were undone."""
        return self.history.revision > 0

    def with_number(self, edit: Edit) -> Edit:
        """Return the edit with a new number for the pick or area that it adds."""
        if isinstance(edit, Add):
            return Add(edit.x, edit.y, self._next)
        if isinstance(edit, Paint):
            return Paint(edit.radius, edit.points, self._next)
        return edit

    def add(self, number: int, edit: Edit) -> None:
        """Add an edit, made by the journal entry `number`; what it adds has its number already."""
        self.history.add(number, edit)
        if isinstance(edit, Add):
            self._next = max(self._next, edit.pick + 1)
        elif isinstance(edit, Paint):
            self._next = max(self._next, edit.area + 1)

    def applicable(self, edit: Edit) -> Edit | None:
        """Return what remains of an edit that was made on an older state; None if everything it refers to is gone."""
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
    def state(self) -> PickState:
        """The present state of the picks."""
        if self._state is None or self._state[0] != self.history.revision:
            self._state = self.history.revision, apply_edits(self.original, (edit for _, edit in self.history.done))
        return self._state[1]

    def result(self, threshold: float | None) -> Picks:
        """Return the kept picks, those added by hand with `HAND_SCORE`; without scores if the originals have none."""
        state = self.state
        keep = state.kept(threshold)
        scores = None
        if self.original.scores is not None:
            top = max(HAND_SCORE, float(self.original.scores.max(initial=0.0)))
            scores = np.where(np.isnan(state.scores), np.float32(top), state.scores)[keep]
        return self.original.with_points(state.xy[keep], scores)

    def rejected(self) -> Picks:
        """Return the original picks that were removed by hand: positions that resemble particles but are not."""
        removed = ~self.state.present[: len(self.original)]
        return self.original.where(removed)
