"""Ctrl-C, which a terminal sends to every process that it has started."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker


@contextmanager
def ctrl_c_left_to_this_process() -> Iterator[None]:
    """Processes that are started meanwhile do not hear Ctrl-C: they inherit a mask."""
    resource_tracker.ensure_running()  # else the first process brings it along, and that takes the mask off
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
