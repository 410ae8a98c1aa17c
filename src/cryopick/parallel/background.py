"""Repeated work that takes at most a given share of the time, in this process or in a background process."""

import logging
import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.context import SpawnProcess

from cryopick.parallel.process import ctrl_c_ignored_by_children

logger = logging.getLogger(__name__)
SHARE = 10
"""Repeated work takes at most one part in `SHARE` of the time, however slow it is."""


class Schedule:
    """Schedule of work that is repeated every `seconds`, or less often if it is slow."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._next = time.monotonic()

    def is_due(self) -> bool:
        """Return whether it is time to repeat the work."""
        return time.monotonic() >= self._next

    def record(self, start: float) -> None:
        """Record that the work, started at `start` of the monotonic clock, is done."""
        now = time.monotonic()
        self._next = now + max(self.seconds, SHARE * (now - start))


class BackgroundProcess:
    """Work that is repeated in fresh processes, one at a time: nothing waits for it, and its memory is freed.

    The processes take at most one part in `SHARE` of the time, see `Schedule`. `work` is pickled, and must leave only complete
    files when it is killed.
    """

    def __init__(self, work: Callable[[], None], *, seconds: float) -> None:
        self._work = work
        self._schedule = Schedule(seconds)
        self._process: SpawnProcess | None = None
        self._start = 0.0

    def poll(self, *, wanted: bool) -> bool:
        """Start the work if it is `wanted`, due and not running. Return whether it was started."""
        if self._process is not None and self._process.exitcode is not None:
            if self._process.exitcode:
                logger.warning("a background process ended with exit code %d", self._process.exitcode)
            self._process = None
            self._schedule.record(self._start)
        if not wanted or self._process is not None or not self._schedule.is_due():
            return False
        self._start = time.monotonic()
        process = multiprocessing.get_context("spawn").Process(target=self._work, daemon=True)
        with ctrl_c_ignored_by_children():
            process.start()
            self._process = process
        return True

    def stop(self) -> bool:
        """Kill the process. Return whether one was running."""
        if self._process is None:
            return False
        killed = self._process.is_alive()
        self._process.kill()
        self._process.join()
        self._process = None
        return killed
