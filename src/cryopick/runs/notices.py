"""Collection of the package's warnings by micrograph, instead of showing them 20,000 times."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident


class _WarningCollector(logging.Handler):
    """Log handler that collects the package's warnings in some threads, and passes on all other records."""

    def __init__(self) -> None:
        super().__init__()
        self.package = logging.getLogger("cryopick")
        self.notes_of_thread: dict[int, list[str]] = {}
        self.propagated = True

    def begin(self, notes: list[str]) -> None:
        """Collect the warnings of this thread in `notes` from now on."""
        self.acquire()
        try:
            if not self.notes_of_thread:
                self.package.addHandler(self)
                self.propagated, self.package.propagate = self.package.propagate, False
            self.notes_of_thread[get_ident()] = notes
        finally:
            self.release()

    def end(self) -> None:
        """Stop collecting the warnings of this thread."""
        self.acquire()
        try:
            del self.notes_of_thread[get_ident()]
            if not self.notes_of_thread:
                self.package.removeHandler(self)
                self.package.propagate = self.propagated
        finally:
            self.release()

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        notes = None if record.thread is None else self.notes_of_thread.get(record.thread)
        if notes is None or record.levelno < logging.WARNING:
            logging.getLogger().handle(record)
        else:
            notes.append(record.getMessage())


_collector = _WarningCollector()


@contextmanager
def collect_warnings(notes: list[str]) -> Iterator[None]:
    """Append the package's warnings in this thread to `notes` instead of showing them."""
    _collector.begin(notes)
    try:
        yield
    finally:
        _collector.end()
