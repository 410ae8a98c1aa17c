"""What a worker does with a micrograph: read it, pick it, and write what belongs to it alone."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cryopick.distributed.folder import RunFolder
from cryopick.distributed.records import Outcome, Record, done, write_record
from cryopick.distributed.settings import RunSettings
from cryopick.errors import CryopickError
from cryopick.io.glimpses import glimpse, write_glimpse
from cryopick.io.picks_relion import write_coordinates
from cryopick.io.previews import Marks, draw, write_png
from cryopick.io.sources import MicrographSource
from cryopick.pickers.base import Picker

logger = logging.getLogger(__name__)
Build = Callable[[RunSettings], Picker]


@dataclass(frozen=True)
class Task:
    """A micrograph to pick, and the stem of the files that it leaves."""

    source: MicrographSource
    stem: str


class PickOne:
    """Picks one micrograph after another, and writes what belongs to each alone: its record last."""

    def __init__(self, folder: RunFolder, settings: RunSettings, build: Build) -> None:
        self.folder = folder
        self.settings = settings
        self.picker = build(settings)

    def __call__(self, task: Task) -> tuple[str, Outcome]:
        start = time.perf_counter()
        with _warnings() as notes:
            try:
                micrograph = task.source.read(salvage=self.settings.salvage)
                picks = self.picker.pick(micrograph, diameter=self.settings.picked_diameter)
                preview = draw(micrograph, [Marks(picks)]) if self.settings.previews else None
                seen = glimpse(micrograph, picks) if self.settings.glimpses else None
            except Exception as error:
                logger.debug("%s failed", task.source.name, exc_info=True)
                message = str(error) if isinstance(error, CryopickError) else f"{type(error).__name__}: {error}"
                return _failed(task, message, self.folder, seconds=time.perf_counter() - start)
        with self.folder.writing():
            files = [write_coordinates(picks, self.folder.relion)]
            if preview is not None:
                files.append(self.folder.preview(task.stem))
                write_png(preview, files[-1])
            if seen is not None:
                files.append(self.folder.glimpse(task.stem))
                write_glimpse(seen, files[-1])
            names = [self.folder.relative(file) for file in files]
            record = done(picks, path=str(task.source.path), seconds=time.perf_counter() - start, files=names, notes=notes)
            write_record(record, self.folder.record(task.stem))
        return task.stem, record.outcome


def lost(folder: RunFolder, task: Task, reason: str) -> tuple[str, Outcome]:
    """Record a micrograph whose workers died."""
    return _failed(task, reason, folder, seconds=0.0)


def _failed(task: Task, error: str, folder: RunFolder, *, seconds: float) -> tuple[str, Outcome]:
    outcome = Outcome(name=task.source.name, path=str(task.source.path), status="failed", error=error, seconds=seconds)
    with folder.writing():
        write_record(Record(outcome), folder.record(task.stem))
    return task.stem, outcome


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """Collect what the package warns of, instead of showing it 20,000 times."""
    notes: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: notes.append(record.getMessage())  # type: ignore[method-assign]
    package = logging.getLogger("cryopick")
    propagate, package.propagate = package.propagate, False
    package.addHandler(handler)
    try:
        yield notes
    finally:
        package.removeHandler(handler)
        package.propagate = propagate
