"""New micrographs in a folder, each reported once it is completely written.

Folders are listed repeatedly, because network file systems do not notify of new files.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from cryopick.io.micrographs.headers import is_whole
from cryopick.io.micrographs.sources import MicrographSource

PATIENCE = 600.0
"""Seconds without change after which an incomplete file is reported nevertheless, so that its failure becomes known."""


class _State(NamedTuple):
    """The state of a file, which differs after every change. Its time is that of the file server."""

    size: int
    modified: int
    inode: int


class Arrivals:
    """New micrographs among those that `find` lists, each once, when complete and unchanged for `settle` seconds.

    Parameters
    ----------
    find : lists all micrographs that exist now.
    taken : names of micrographs not to report.
    clock : a monotonic clock [s].
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
        self._reported: dict[str, _State] = {}
        self._failed: dict[str, _State] = {}
        self._settling: dict[str, tuple[_State, float]] = {}

    @property
    def settling(self) -> int:
        """Number of files that are being written, or were until recently."""
        return len(self._settling)

    def poll(self) -> list[MicrographSource]:
        """Return the micrographs that have become complete since the last call, in the order of the listing."""
        now = self._clock()
        settling: dict[str, tuple[_State, float]] = {}
        complete = []
        for source in self._find():
            if source.name in self._taken or source.name in self._reported:
                continue
            state = _state(source.path)
            if state is None or self._failed.get(source.name) == state:
                continue
            before, since = self._settling.get(source.name, (state, now))
            since = since if before == state else now
            if now - since >= self._settle and (is_whole(source.path) or now - since >= PATIENCE):
                self._reported[source.name] = state
                complete.append(source)
            else:
                settling[source.name] = (state, since)
        self._settling = settling
        return complete

    def done(self, name: str) -> None:
        """Never report this micrograph again, even if its file changes."""
        self._reported.pop(name, None)
        self._failed.pop(name, None)
        self._taken[name] = None

    def failed(self, name: str) -> None:
        """Report this micrograph again when its file has changed."""
        if name in self._reported:
            self._failed[name] = self._reported.pop(name)

    def vanished(self, name: str) -> None:
        """Report a file of this name again, as a new one."""
        self._reported.pop(name, None)
        self._failed.pop(name, None)


def _state(path: Path) -> _State | None:
    """Return the state of a file; None if it is missing or inaccessible."""
    try:
        status = path.stat()
    except (OSError, ValueError):  # a path that no file can have
        return None
    return _State(status.st_size, status.st_mtime_ns, status.st_ino)
