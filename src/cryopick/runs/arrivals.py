"""Micrographs that come into a folder, each told of once it is completely written.

Folders are listed again and again, because network file systems tell nobody of new files.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from cryopick.io.micrographs.headers import is_whole
from cryopick.io.micrographs.sources import MicrographSource

PATIENCE = 600.0
"""Seconds without change after which a file that is not whole is handed out all the same, so that somebody learns of it."""


class _State(NamedTuple):
    """What tells that a file has changed. Times of the file's machine are only compared with each other."""

    size: int
    modified: int
    inode: int


class Arrivals:
    """The micrographs that `find` lists, each once, when it has not changed for `settle` seconds and has all its bytes.

    Parameters
    ----------
    find : lists all there are at the moment.
    taken : names of those that are not to be told of.
    clock : seconds that only go forward.
    """

    def __init__(
        self,
        find: Callable[[], Iterable[MicrographSource]],
        *,
        settle: float,
        taken: Iterable[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find = find
        self._settle = settle
        self._clock = clock
        self._taken = dict.fromkeys(taken, None)
        self._handed: dict[str, _State] = {}
        self._failed: dict[str, _State] = {}
        self._settling: dict[str, tuple[_State, float]] = {}

    @property
    def settling(self) -> int:
        """How many files are being written, or were a moment ago."""
        return len(self._settling)

    def look(self) -> list[MicrographSource]:
        """Those that have become ready since the last look, in the order of the listing. Files that vanished are forgotten."""
        now = self._clock()
        settling: dict[str, tuple[_State, float]] = {}
        ready = []
        for source in self._find():
            if source.name in self._taken or source.name in self._handed:
                continue
            state = _state(source.path)
            if state is None or self._failed.get(source.name) == state:
                continue
            before, since = self._settling.get(source.name, (state, now))
            since = since if before == state else now
            if now - since >= self._settle and (is_whole(source.path) or now - since >= PATIENCE):
                self._handed[source.name] = state
                ready.append(source)
            else:
                settling[source.name] = (state, since)
        self._settling = settling
        return ready

    def done(self, name: str) -> None:
        """Never tell of this one again, whatever becomes of its file."""
        self._handed.pop(name, None)
        self._failed.pop(name, None)
        self._taken[name] = None

    def failed(self, name: str) -> None:
        """Tell of this one again when its file has changed."""
        if name in self._handed:
            self._failed[name] = self._handed.pop(name)

    def vanished(self, name: str) -> None:
        """Take a file of this name for a new one."""
        self._handed.pop(name, None)
        self._failed.pop(name, None)


def _state(path: Path) -> _State | None:
    """None for a file that is gone or cannot be seen at the moment."""
    try:
        status = path.stat()
    except OSError:
        return None
    return _State(status.st_size, status.st_mtime_ns, status.st_ino)
