"""A review: many micrographs with their sheets, one journal, and one authority over both that all open pages ask."""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryopick.errors import CryopickError, SettingError
from cryopick.files import LockedError, locked
from cryopick.io.micrographs.sources import MicrographSource
from cryopick.review.edits import Edit, Entry, MarkReviewed, Original, Redo, Request, SetThreshold, Step, Undo, fault
from cryopick.review.journal import Journal
from cryopick.review.micrograph import History, Sheet
from cryopick.types import Picks

KEYS_REMEMBERED = 1000
EVERYWHERE = ""
"""In place of a micrograph's name: all of them."""


class ConflictError(CryopickError):
    """An edit of something that another page has changed in the meantime."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A micrograph to review and the picks that were found on it."""

    source: MicrographSource
    picks: Picks


class Review:
    """The review in a folder; every method may be called from any thread.

    `number` counts the entries of the journal; `changed_since` tells pages that have seen fewer what to ask for again.
    """

    def __init__(self, subjects: Sequence[Subject], folder: Path) -> None:
        """Open or begin the review; raises `SettingError` when another process has it open."""
        self.subjects = list(subjects)
        self.folder = folder
        self._lock = threading.RLock()
        self._index = {subject.source.name: index for index, subject in enumerate(self.subjects)}
        self._sheets = [Sheet(subject.picks) for subject in self.subjects]
        self._everywhere = History()
        self._strangers: set[str] = set()
        self._keys: OrderedDict[str, None] = OrderedDict()
        self._changes: list[int | None] = []
        self._scores = np.sort(all_scores(subject.picks for subject in self.subjects))
        with ExitStack() as held:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                held.enter_context(locked(folder / ".lock"))
            except LockedError:
                raise SettingError(f"{folder} is open in another `cryopick review`; use its page, or stop it first") from None
            self._journal = Journal(folder / "journal.jsonl")
            held.callback(self._journal.close)
            self._in_journal = self._replay()
            self._held = held.pop_all()

    def close(self) -> None:
        """Give the folder free."""
        self._held.close()

    def __enter__(self) -> "Review":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def number(self) -> int:
        return len(self._changes)

    @property
    def scores(self) -> NDArray[np.float32]:
        """The scores of all original picks, sorted."""
        return self._scores

    @property
    def threshold(self) -> float | None:
        """Of all micrographs that have none of their own; None where nobody has set one."""
        done = self._everywhere.done
        edit = done[-1][1] if done else None
        return edit.value if isinstance(edit, SetThreshold) else None

    @property
    def not_here(self) -> list[str]:
        """Micrographs that have edits in the journal and are not among those of this review; nothing of theirs is lost."""
        return sorted(self._strangers)

    def can_undo(self, index: int) -> bool:
        """Whether there is an edit of this micrograph or of all to take back."""
        return bool(self._sheets[index].history.done or self._everywhere.done)

    def can_redo(self, index: int) -> bool:
        """Whether there is an edit of this micrograph or of all that was taken back and can be made again."""
        return bool(self._sheets[index].history.undone or self._everywhere.undone)

    def sheet(self, index: int) -> Sheet:
        """The sheet of a micrograph; its state never changes, a new edit makes a new one."""
        return self._sheets[index]

    def result(self, index: int) -> Picks:
        """The picks that are left on a micrograph."""
        with self._lock:
            return self._sheets[index].result(self.threshold)

    def submit(self, index: int, request: Request) -> None:
        """Do what a page asks, on the disk when this returns; a request that was sent twice is done once.

        Raises `ConflictError` when all that the edit names is gone, or an undo or redo was asked for on an older state than the
        present one, and `SettingError` for a request that cannot be.
        """
        with self._lock:
            if request.key in self._keys:
                return
            if request.undo or request.redo:
                self._step_back(index, request)
            elif request.edit is not None and fault(request.edit) is None:
                self._edit(index, request.edit, request.key)
            else:
                raise SettingError(fault(request.edit) if request.edit else "a request that asks for nothing")

    def changed_since(self, number: int) -> tuple[set[int], bool]:
        """Micrographs that entries from the `number`-th on have changed, and whether one of these changed all."""
        with self._lock:
            since = self._changes[max(0, number) :]
            return {index for index in since if index is not None}, None in since

    def revision(self, index: int) -> int:
        """Grows whenever something changes that the micrograph's page shows."""
        return self._sheets[index].history.revision + self._everywhere.revision

    def _edit(self, index: int, edit: Edit, key: str) -> None:
        sheet = self._sheets[index]
        meant = sheet.still_means(edit)
        if meant is None:
            raise ConflictError("what this edit is about is gone: it was changed on another page")
        if isinstance(meant, MarkReviewed):
            meant = MarkReviewed(meant.value, self._shown_threshold(sheet) if meant.value else None)
        general = isinstance(meant, SetThreshold) and not sheet.state.reviewed
        name = EVERYWHERE if general else self.subjects[index].source.name
        self._write(Step(name, sheet.numbered(meant), key, time.time()))

    def _shown_threshold(self, sheet: Sheet) -> float | None:
        """The threshold that a micrograph is seen with now; its lowest score where nobody has set one."""
        scores = sheet.original.scores
        lowest = None if scores is None or len(scores) == 0 else float(scores.min())
        return next((value for value in (sheet.state.threshold, self.threshold, lowest) if value is not None), None)

    def _step_back(self, index: int, request: Request) -> None:
        """Undo or redo what is newest: the micrograph's own last edit, or the last one of all."""
        if request.revision != self.revision(index):
            raise ConflictError("another page has changed this micrograph; look at it and try again")
        own, general = self._sheets[index].history, self._everywhere
        kind = Undo if request.undo else Redo
        own_last, general_last = (own.last_done, general.last_done) if request.undo else (own.last_undone, general.last_undone)
        if max(own_last, general_last) < 0:
            return
        name = self.subjects[index].source.name if own_last > general_last else EVERYWHERE
        self._write(kind(name, request.key, time.time()))

    def _write(self, entry: Step | Undo | Redo) -> None:
        """Put an entry on the disk, then into the state; the first of a micrograph goes with its original picks."""
        before: list[Entry] = []
        if entry.micrograph != EVERYWHERE and entry.micrograph not in self._in_journal:
            picks = self._sheets[self._index[entry.micrograph]].original
            scores = None if picks.scores is None else picks.scores.tolist()
            before.append(Original(entry.micrograph, [(x, y) for x, y in picks.xy.tolist()], scores))
        self._journal.append(*before, entry)
        self._in_journal.add(entry.micrograph)
        self._apply(entry)

    def _replay(self) -> set[str]:
        """Bring the sheets to where the journal ends; the names that it holds."""
        names = set()
        for entry in self._journal.entries:
            names.add(entry.micrograph)
            if entry.micrograph != EVERYWHERE and entry.micrograph not in self._index:
                self._strangers.add(entry.micrograph)
            elif isinstance(entry, Original):
                sheet = self._sheets[self._index[entry.micrograph]]
                scores = None if entry.scores is None else np.array(entry.scores, np.float32)
                xy = np.array(entry.xy, np.float64).reshape(-1, 2)
                self._sheets[self._index[entry.micrograph]] = Sheet(sheet.original.with_points(xy, scores))
            else:
                self._apply(entry)
        return names

    def _apply(self, entry: Step | Undo | Redo) -> None:
        index = None if entry.micrograph == EVERYWHERE else self._index[entry.micrograph]
        target: Any = self._everywhere if index is None else self._sheets[index]
        history = self._everywhere if index is None else self._sheets[index].history
        if isinstance(entry, Step):
            target.make(self.number, entry.edit)
        elif isinstance(entry, Undo):
            history.undo(self.number)
        else:
            history.redo(self.number)
        self._changes.append(index)
        if entry.key:
            self._keys[entry.key] = None
            while len(self._keys) > KEYS_REMEMBERED:
                self._keys.popitem(last=False)


def all_scores(sets: Iterable[Picks]) -> NDArray[np.float32]:
    """The scores of all picks that have any."""
    known = [picks.scores for picks in sets if picks.scores is not None]
    return np.concatenate(known) if known else np.zeros(0, np.float32)
