"""Warnings of the package, kept with the micrograph that they are about instead of being shown 20,000 times."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident


class _Notebook(logging.Handler):
    """Takes what the package logs while some threads collect warnings, and passes on all that is not theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.package = logging.getLogger("cryopick")
        self.pages: dict[int, list[str]] = {}
        self.propagated = True

    def open(self, notes: list[str]) -> None:
        self.acquire()
        try:
            if not self.pages:
                self.package.addHandler(self)
                self.propagated, self.package.propagate = self.package.propagate, False
            self.pages[get_ident()] = notes
        finally:
            self.release()

    def shut(self) -> None:
        self.acquire()
        try:
            del self.pages[get_ident()]
            if not self.pages:
                self.package.removeHandler(self)
                self.package.propagate = self.propagated
        finally:
            self.release()

    def emit(self, record: logging.LogRecord) -> None:
        notes = None if record.thread is None else self.pages.get(record.thread)
        if notes is None or record.levelno < logging.WARNING:
            logging.getLogger().handle(record)
        else:
            notes.append(record.getMessage())


_notebook = _Notebook()


@contextmanager
def warnings_kept(notes: list[str]) -> Iterator[None]:
    """Append to `notes` what the package warns of in this thread, which is not shown then."""
    _notebook.open(notes)
    try:
        yield
    finally:
        _notebook.shut()
