"""The picks of a micrograph under review: originals, edits and the result."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property, partial
from threading import RLock

import numpy as np
from numpy.typing import NDArray

from cryopick.review.edits import Add, Edit, Erase, MarkBad, MarkReviewed, Move, Paint, Remove, SetThreshold
from cryopick.types import Picks

LARGEST_NUMBER = 2**53
"""Largest number of a pick or an area: a whole number in a page's script too."""
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
    margin = 1.001 * area.radius + 1.0
    near = np.flatnonzero(((xy >= line.min(axis=0) - margin) & (xy <= line.max(axis=0) + margin)).all(axis=1))
    close = xy[near]
    for start, step in zip(starts, steps, strict=True):
        length = float(step @ step)
        along = np.clip((close - start) @ step / length, 0, 1) if length > 0 else np.zeros(len(close))
        nearest = start + along[:, None] * step
        inside[near] |= ((close - nearest) ** 2).sum(axis=1) <= area.radius**2
    return inside


class _PickEditor:
    """Picks while edits are applied and taken back, the last one first; one list per column."""

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
        self._ways_back: list[Callable[[], None]] = []

    @property
    def count(self) -> int:
        """Number of edits that are applied."""
        return len(self._ways_back)

    def apply(self, edit: Edit) -> None:
        """Apply an edit. Raises `LookupError` or `ValueError`, and changes nothing, for one that does not fit the picks."""
        match edit:
            case Add():
                back = self._add(edit)
            case Move(pick=pick, x=x, y=y):
                row = self._row_of[pick]
                back = partial(self._place, row, self._xy[row], self._by_hand[row])
                self._place(row, (x, y), True)
            case Remove(picks=picks):
                back = self._set_removed([self._row_of[pick] for pick in picks], True)
            case Paint():
                back = self._paint(edit)
            case Erase(area=area):
                back = self._erase(area)
            case MarkBad(value=value):
                back = partial(setattr, self, "_bad", self._bad)
                self._bad = value
            case MarkReviewed(value=value, threshold=own):
                back = partial(self._mark, self._reviewed, self._threshold)
                self._mark(value, own if value else None)
            case SetThreshold(value=least):
                back = partial(self._mark, self._reviewed, self._threshold)
                self._threshold = least
        self._ways_back.append(back)

    def take_back(self) -> None:
        """Take back the last edit."""
        self._ways_back.pop()()

    def state(self) -> PickState:
        """Return the picks as they are now."""
        scores = np.full(len(self._xy), np.nan, np.float32)
        if self._original.scores is not None:
            scores[: len(self._original)] = self._original.scores
        return PickState(
            numbers=np.array(self._numbers, np.intp),
            xy=np.array(self._xy, np.float64).reshape(-1, 2),
            scores=scores,
            by_hand=np.array(self._by_hand, bool),
            present=~np.array(self._removed, bool),
            areas=dict(self._areas),
            bad=self._bad,
            reviewed=self._reviewed,
            threshold=self._threshold,
        )

    def _add(self, edit: Add) -> Callable[[], None]:
        if edit.pick in self._row_of or edit.pick > LARGEST_NUMBER:
            raise ValueError(f"there is a pick {edit.pick} already, or its number is too large")
        self._row_of[edit.pick] = len(self._xy)
        self._numbers.append(edit.pick)
        self._xy.append((edit.x, edit.y))
        self._by_hand.append(True)
        self._removed.append(False)
        return self._drop_last

    def _drop_last(self) -> None:
        del self._row_of[self._numbers.pop()]
        for column in (self._xy, self._by_hand, self._removed):
            column.pop()

    def _place(self, row: int, xy: tuple[float, float], by_hand: bool) -> None:
        self._xy[row], self._by_hand[row] = xy, by_hand

    def _mark(self, reviewed: bool, threshold: float | None) -> None:
        self._reviewed, self._threshold = reviewed, threshold

    def _paint(self, edit: Paint) -> Callable[[], None]:
        if edit.area in self._areas or edit.area > LARGEST_NUMBER:
            raise ValueError(f"there is an area {edit.area} already, or its number is too large")
        within = inside_area(np.array(self._xy).reshape(-1, 2), edit) & ~np.array(self._removed, bool)
        rows = np.flatnonzero(within).tolist()
        self._areas[edit.area], self._removed_by_area[edit.area] = edit, rows
        self._set_removed(rows, True)
        return partial(self._unpaint, edit.area)

    def _unpaint(self, area: int) -> None:
        self._erase(area)

    def _erase(self, area: int) -> Callable[[], None]:
        before = dict(self._areas)
        del self._areas[area]
        rows = self._removed_by_area.pop(area)
        shown_again = self._set_removed(rows, False)

        def back() -> None:
            shown_again()
            self._areas, self._removed_by_area[area] = before, rows

        return back

    def _set_removed(self, rows: list[int], value: bool) -> Callable[[], None]:
        before = [self._removed[row] for row in rows]
        for row in rows:
            self._removed[row] = value

        def back() -> None:
            for row, removed in zip(rows, before, strict=True):
                self._removed[row] = removed

        return back


@dataclass(eq=False)
class History:
    """Edits in their order, and those undone, each with the number of the journal entry that made or undid it.

    Attributes
    ----------
    done, undone : pairs of entry number and edit, the newest last.
    revision : grows with every change.
    unchanged : number of edits at the start of `done` that have stayed since someone last set it.
    """

    done: list[tuple[int, Edit]] = field(default_factory=list)
    undone: list[tuple[int, Edit]] = field(default_factory=list)
    revision: int = 0
    unchanged: int = 0

    def add(self, number: int, edit: Edit) -> None:
        """Add a new edit; undone edits can then no longer be redone."""
        self.done.append((number, edit))
        self.undone.clear()
        self.revision += 1

    def undo(self, number: int) -> None:
        """Undo the last edit."""
        self.undone.append((number, self.done.pop()[1]))
        self.unchanged = min(self.unchanged, len(self.done))
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
        self._editor = _PickEditor(original)
        self._state: tuple[int, PickState] | None = None
        self._lock = RLock()

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
        """Add an edit, made by the journal entry `number`; what it adds has its number already.

        Raises `LookupError` or `ValueError`, and adds nothing, where it does not fit the picks, as in a damaged journal.
        """
        with self._lock:
            self._apply_history()
            self._editor.apply(edit)
            self.history.add(number, edit)
            self.history.unchanged = len(self.history.done)
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
        with self._lock:
            revision = self.history.revision
            if self._state is None or self._state[0] != revision:
                self._apply_history()
                self._state = revision, self._editor.state()
            return self._state[1]

    def _apply_history(self) -> None:
        """Take back edits that were undone since the last time, and apply those that were redone."""
        while self._editor.count > self.history.unchanged:
            self._editor.take_back()
        for _, edit in self.history.done[self._editor.count :]:
            self._editor.apply(edit)
        self.history.unchanged = len(self.history.done)

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
