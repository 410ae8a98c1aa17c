"""A review session: the picks of many micrographs with their edits and one journal, shared by all open pages."""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryopick.errors import CryopickError, SettingError
from cryopick.files import LockedError, locked, remove_leftovers
from cryopick.io.micrographs.headers import read_shape
from cryopick.io.micrographs.sources import MicrographSource
from cryopick.review.edits import (
    Edit,
    EditEntry,
    EditRequest,
    JournalEntry,
    Limits,
    MarkReviewed,
    OriginalEntry,
    RedoEntry,
    SetThreshold,
    UndoEntry,
    check_edit,
)
from cryopick.review.journal import Journal
from cryopick.review.micrograph import EditedPicks, History
from cryopick.runs.records import recorded
from cryopick.types import Picks

KEYS_REMEMBERED = 1000
LEAST_MARGIN_PX = 20.0
"""Distance from the edges of a micrograph at which a pick may lie outside where the diameter is unknown or smaller."""
ALL_MICROGRAPHS = ""
"""Used instead of the name of a micrograph for edits of all of them."""


class ConflictError(CryopickError):
    """An edit of something that another page changed in the meantime."""


@dataclass(frozen=True, eq=False)
class ReviewMicrograph:
    """A micrograph to review and its original picks."""

    source: MicrographSource
    picks: Picks

    @cached_property
    def shape_hw(self) -> tuple[int, int] | None:
        """Rows and columns; None where neither the file nor the picks say."""
        try:
            return read_shape(self.source.path)[0]
        except (CryopickError, OSError):
            return self.picks.shape_hw


class Review:
    """A review in a folder; every method may be called from any thread.

    Attributes
    ----------
    micrographs : the micrographs under review, in their order.
    folder : folder of the journal and the results.
    """

    def __init__(self, micrographs: Sequence[ReviewMicrograph], folder: Path) -> None:
        """Open or start the review in `folder`. Raises `SettingError` if another process has it open."""
        self.micrographs = list(micrographs)
        self.folder = folder
        self._lock = threading.RLock()
        self._index = {recorded(each.source.name): index for index, each in enumerate(self.micrographs)}
        self._edited = [EditedPicks(each.picks) for each in self.micrographs]
        self._shared = History()
        self._missing: set[str] = set()
        self._keys: OrderedDict[str, None] = OrderedDict()
        self._changes: list[int | None] = []
        self._scores = np.sort(all_scores(each.picks for each in self.micrographs))
        with ExitStack() as held:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                held.enter_context(locked(folder / ".lock"))
            except LockedError:
                raise SettingError(f"{folder} is open in another `cryopick review`; use its page or stop it first") from None
            remove_leftovers(folder, owned=True)
            self._journal = Journal(folder / "journal.jsonl")
            held.callback(self._journal.close)
            self._in_journal = self._replay()
            self._held = held.pop_all()

    def close(self) -> None:
        """Close the journal and release the folder."""
        self._held.close()

    def __enter__(self) -> "Review":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def entry_count(self) -> int:
        """Number of edits, undos and redos in the journal."""
        return len(self._changes)

    @property
    def scores(self) -> NDArray[np.float32]:
        """Scores of all original picks, sorted, float32."""
        return self._scores

    @property
    def threshold(self) -> float | None:
        """The shared threshold, of micrographs without one of their own; None if it is not set."""
        done = self._shared.done
        edit = done[-1][1] if done else None
        return edit.value if isinstance(edit, SetThreshold) else None

    @property
    def missing_micrographs(self) -> list[str]:
        """Names of micrographs with edits in the journal that are not part of this review; their edits are kept."""
        return sorted(self._missing)

    def can_undo(self, index: int) -> bool:
        """Return whether an edit of this micrograph, or of all, can be undone."""
        return bool(self._edited[index].history.done or self._shared.done)

    def can_redo(self, index: int) -> bool:
        """Return whether an edit of this micrograph, or of all, can be redone."""
        return bool(self._edited[index].history.undone or self._shared.undone)

    def edited_picks(self, index: int) -> EditedPicks:
        """Return the picks of a micrograph with their edits."""
        return self._edited[index]

    def result(self, index: int) -> Picks:
        """Return the kept picks of a micrograph."""
        with self._lock:
            return self._edited[index].result(self.threshold)

    def submit(self, index: int, request: EditRequest) -> None:
        """Carry out a request of a page; it is on disk when this returns. A request that is sent twice is carried out once.

        Raises `ConflictError` if everything the edit refers to is gone, or for an undo or redo of an older state than the present
        one; `SettingError` for an invalid request.
        """
        with self._lock:
            if request.key in self._keys:
                return
            if request.undo or request.redo:
                self._undo_or_redo(index, request)
            elif request.edit is None:
                raise SettingError("the request contains no edit")
            elif problem := check_edit(request.edit, self._limits(index)):
                raise SettingError(problem)
            else:
                self._edit(index, request.edit, request.key)

    def changed_since(self, number: int) -> tuple[set[int], bool]:
        """Return the micrographs that changed since the journal had `number` entries, and whether all of them changed."""
        with self._lock:
            since = self._changes[max(0, number) :]
            return {index for index in since if index is not None}, None in since

    def revision(self, index: int) -> int:
        """Return a number that grows with every change of what the page shows of a micrograph."""
        return self._edited[index].history.revision + self._shared.revision

    def _limits(self, index: int) -> Limits:
        """Return where edits of a micrograph may be: picks at most a diameter outside, as other programs place some there."""
        micrograph = self.micrographs[index]
        return Limits(micrograph.shape_hw, max(LEAST_MARGIN_PX, micrograph.picks.diameter_px or 0.0))

    def _edit(self, index: int, edit: Edit, key: str) -> None:
        edited = self._edited[index]
        remaining = edited.applicable(edit)
        if remaining is None:
            raise ConflictError("this was already changed or removed on another page")
        if isinstance(remaining, MarkReviewed):
            remaining = MarkReviewed(remaining.value, self._shown_threshold(edited) if remaining.value else None)
        is_shared = isinstance(remaining, SetThreshold) and not edited.state.reviewed
        name = ALL_MICROGRAPHS if is_shared else recorded(self.micrographs[index].source.name)
        self._write(EditEntry(name, edited.with_number(remaining), key, time.time()))

    def _shown_threshold(self, edited: EditedPicks) -> float | None:
        """Return the threshold that applies to a micrograph; its lowest score if none is set."""
        scores = edited.original.scores
        lowest = None if scores is None or len(scores) == 0 else float(scores.min())
        return next((value for value in (edited.state.threshold, self.threshold, lowest) if value is not None), None)

    def _undo_or_redo(self, index: int, request: EditRequest) -> None:
        """Undo or redo the newest edit, of this micrograph or of all."""
        if request.revision != self.revision(index):
            raise ConflictError("another page has changed this micrograph; check it and try again")
        own, shared = self._edited[index].history, self._shared
        kind = UndoEntry if request.undo else RedoEntry
        own_last, shared_last = (own.last_done, shared.last_done) if request.undo else (own.last_undone, shared.last_undone)
        if max(own_last, shared_last) < 0:
            return
        name = recorded(self.micrographs[index].source.name) if own_last > shared_last else ALL_MICROGRAPHS
        self._write(kind(name, request.key, time.time()))

    def _write(self, entry: EditEntry | UndoEntry | RedoEntry) -> None:
        """Write an entry to disk, then apply it; the first entry of a micrograph is preceded by its original picks."""
        before: list[JournalEntry] = []
        if entry.micrograph != ALL_MICROGRAPHS and entry.micrograph not in self._in_journal:
            picks = self._edited[self._index[entry.micrograph]].original
            scores = None if picks.scores is None else picks.scores.tolist()
            before.append(OriginalEntry(entry.micrograph, [(x, y) for x, y in picks.xy.tolist()], scores))
        self._journal.append(*before, entry)
        self._in_journal.add(entry.micrograph)
        self._apply(entry)

    def _replay(self) -> set[str]:
        """Apply the entries of the journal and return the names in it."""
        names = set()
        for number, entry in enumerate(self._journal.entries, 1):
            names.add(entry.micrograph)
            if entry.micrograph != ALL_MICROGRAPHS and entry.micrograph not in self._index:
                self._missing.add(entry.micrograph)
                continue
            try:
                self._replay_one(entry)
            except LookupError:
                raise self._journal.damaged(number, "it is about something that is not there") from None
            except (CryopickError, ValueError) as error:
                raise self._journal.damaged(number, str(error)) from None
        return names

    def _replay_one(self, entry: JournalEntry) -> None:
        """Apply an entry of the journal. Raises an error where it does not fit those before it."""
        if not isinstance(entry, OriginalEntry):
            if isinstance(entry, EditEntry) and (problem := check_edit(entry.edit)):
                raise SettingError(problem)
            self._apply(entry)
            return
        edited = self._edited[self._index[entry.micrograph]]
        scores = None if entry.scores is None else np.array(entry.scores, np.float32)
        xy = np.array(entry.xy, np.float64).reshape(-1, 2)
        self._edited[self._index[entry.micrograph]] = EditedPicks(edited.original.with_points(xy, scores))

    def _apply(self, entry: EditEntry | UndoEntry | RedoEntry) -> None:
        index = None if entry.micrograph == ALL_MICROGRAPHS else self._index[entry.micrograph]
        target: Any = self._shared if index is None else self._edited[index]
        history = self._shared if index is None else self._edited[index].history
        if index is None and isinstance(entry, EditEntry) and not isinstance(entry.edit, SetThreshold):
            raise ValueError("it is of no micrograph")
        if isinstance(entry, EditEntry):
            target.add(self.entry_count, entry.edit)
        elif isinstance(entry, UndoEntry):
            history.undo(self.entry_count)
        else:
            history.redo(self.entry_count)
        self._changes.append(index)
        if entry.key:
            self._keys[entry.key] = None
            while len(self._keys) > KEYS_REMEMBERED:
                self._keys.popitem(last=False)


def all_scores(sets: Iterable[Picks]) -> NDArray[np.float32]:
    """Return the scores of all picks that have some, float32."""
    known = [picks.scores for picks in sets if picks.scores is not None]
    return np.concatenate(known) if known else np.zeros(0, np.float32)
