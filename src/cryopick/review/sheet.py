"""One micrograph under review: its original picks, the edits made to them, and what the two give."""

from dataclasses import dataclass, field, replace

import numpy as np

from cryopick.review.edits import Add, Edit, Erase, Move, Paint, Remove
from cryopick.review.state import State, fold
from cryopick.types import Picks

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
        return replace(self.original, xy=state.xy[keep], scores=scores)

    def rejected(self) -> Picks:
        """Original picks that a person has taken away: places that look like particles and are none."""
        gone = ~self.state.present[: len(self.original)]
        return self.original.where(gone)
