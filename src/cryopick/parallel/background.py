"""What is to be done every so often and never for more than its share of the time, here or in a process beside."""

import logging
import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.context import SpawnProcess

from cryopick.parallel.process import ctrl_c_left_to_this_process

logger = logging.getLogger(__name__)
SHARE = 10
"""What is due takes at most one part in so many of the time, however long it takes."""


class Due:
    """When something is to be done again: `seconds` after it was done last, or later where it took long."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._next = time.monotonic()

    def take(self) -> bool:
        """Whether it is time."""
        return time.monotonic() >= self._next

    def took(self, start: float) -> None:
        """It has been done, begun at `start` of the monotonic clock."""
        now = time.monotonic()
        self._next = now + max(self.seconds, SHARE * (now - start))


class Beside:
    """Work that is done again and again, each time in a fresh process, so that nothing waits for it and its memory goes with it.

    One process is at work at a time, and none in more than its share of the time. `work` is pickled; it must leave whole files
    whenever it is killed.
    """

    def __init__(self, work: Callable[[], None], *, seconds: float) -> None:
        self._work = work
        self._due = Due(seconds)
        self._process: SpawnProcess | None = None
        self._start = 0.0

    def look_after(self, *, wanted: bool) -> bool:
        """Start the work where it is `wanted`, due, and not being done; whether it has been started."""
        if self._process is not None and self._process.exitcode is not None:
            if self._process.exitcode:
                logger.warning("a process beside ended with exit code %d", self._process.exitcode)
            self._process = None
            self._due.took(self._start)
        if not wanted or self._process is not None or not self._due.take():
            return False
        self._start = time.monotonic()
        process = multiprocessing.get_context("spawn").Process(target=self._work, daemon=True)
        with ctrl_c_left_to_this_process():
            process.start()
            self._process = process
        return True

    def stop(self) -> bool:
        """Kill what is at work; whether anything was."""
        if self._process is None:
            return False
        killed = self._process.is_alive()
        self._process.kill()
        self._process.join()
        self._process = None
        return killed
