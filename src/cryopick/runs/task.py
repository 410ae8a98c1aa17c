"""What a worker does with micrographs: read them, pick them, and write what belongs to each alone."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryopick.runs.folder import RunFolder
from cryopick.runs.notices import warnings_kept
from cryopick.runs.records import Outcome, Record, done, write_record
from cryopick.runs.settings import RunSettings
from cryopick.errors import CryopickError
from cryopick.display.thumbnails import Glimpse, glimpse, write_glimpse
from cryopick.io.picks.relion import write_coordinates
from cryopick.display.overlays import Marks, Picture, draw, write_png
from cryopick.io.micrographs.sources import MicrographSource
from cryopick.pickers.base import BatchPicker, Picker
from cryopick.types import Micrograph, Picks

logger = logging.getLogger(__name__)
Build = Callable[[RunSettings], Picker]


@dataclass(frozen=True)
class Task:
    """A micrograph to pick, and the stem of the files that it leaves."""

    source: MicrographSource
    stem: str


@dataclass
class Case:
    """A micrograph on its way through the stages, with what is known of it so far, or why it failed.

    `micrograph` is forgotten once nothing will look at it again; `ready` and `seen` are those of a `BatchPicker`.
    """

    task: Task
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    error: str = ""
    micrograph: Micrograph = field(init=False)
    ready: Any = None
    seen: Any = None
    picks: Picks = field(init=False)
    preview: Picture | None = None
    glimpse: Glimpse | None = None

    def attempt(self, step: Callable[["Case"], None]) -> None:
        """Do a step, unless one has failed: the time that it takes, its warnings and its error are the micrograph's."""
        if self.error:
            return
        start = time.perf_counter()
        with warnings_kept(self.notes):
            try:
                step(self)
            except Exception as error:
                logger.debug("%s failed", self.task.source.name, exc_info=True)
                self.error = str(error) if isinstance(error, CryopickError) else f"{type(error).__name__}: {error}"
        self.seconds += time.perf_counter() - start


def start_picking(folder: RunFolder, settings: RunSettings, build: Build, *, together: int | None = None) -> "PickOne":
    """Make the picker and what works with it: on several micrographs `together` where that is said and the picker can."""
    picker = build(settings)
    if together is not None and isinstance(picker, BatchPicker):
        return PickTogether(folder, settings, picker, ahead=together)
    return PickOne(folder, settings, picker)


class PickOne:
    """Picks one micrograph after another, and writes what belongs to each alone: its record last.

    `Staged` work: while one is picked, the next is read and the files of the last one are written.
    """

    ahead = 1

    def __init__(self, folder: RunFolder, settings: RunSettings, picker: Picker) -> None:
        self.folder = folder
        self.settings = settings
        self.picker = picker

    def __call__(self, task: Task) -> tuple[str, Outcome]:
        """All stages of one micrograph: the stem of its files and what came of it."""
        (case,) = self.compute([self.read(task)])
        return self.write(case)

    def read(self, task: Task) -> Case:
        case = Case(task)
        case.attempt(self._read)
        return case

    def compute(self, cases: Sequence[Case]) -> Sequence[Case]:
        for case in cases:
            case.attempt(self._pick)
        return cases

    def write(self, case: Case) -> tuple[str, Outcome]:
        """Raises `FileError` where the output folder cannot be written, which is not the micrograph's fault."""
        start = time.perf_counter()
        if case.error:
            return _failed(case.task, case.error, self.folder, seconds=case.seconds)
        with self.folder.writing():
            files = [write_coordinates(case.picks, self.folder.relion)]
            if case.preview is not None:
                files.append(self.folder.preview(case.task.stem))
                write_png(case.preview, files[-1])
            if case.glimpse is not None:
                files.append(self.folder.glimpse(case.task.stem))
                write_glimpse(case.glimpse, files[-1])
            names = [self.folder.relative(file) for file in files]
            seconds, path = case.seconds + time.perf_counter() - start, str(case.task.source.path)
            record = done(case.picks, path=path, seconds=seconds, files=names, notes=case.notes)
            write_record(record, self.folder.record(case.task.stem))
        return case.task.stem, record.outcome

    def _read(self, case: Case) -> None:
        case.micrograph = case.task.source.read(salvage=self.settings.salvage)

    def _pick(self, case: Case) -> None:
        self._depict(case, self.picker.pick(case.micrograph, diameter=self.settings.picked_diameter))

    def _depict(self, case: Case, picks: Picks) -> None:
        case.picks = picks
        case.preview = draw(case.micrograph, [Marks(picks)]) if self.settings.previews else None
        case.glimpse = glimpse(case.micrograph, picks) if self.settings.glimpses else None
        del case.micrograph


class PickTogether(PickOne):
    """Picks several micrographs at once, for a GPU: threads make ready and finish them, one thread looks with the network.

    `ahead` micrographs, at most, are made ready, looked at and finished at a time.
    """

    def __init__(self, folder: RunFolder, settings: RunSettings, picker: BatchPicker[Any, Any], *, ahead: int) -> None:
        super().__init__(folder, settings, picker)
        self.parts = picker
        self.ahead = ahead

    def read(self, task: Task) -> Case:
        case = super().read(task)
        case.attempt(self._prepare)
        return case

    def compute(self, cases: Sequence[Case]) -> Sequence[Case]:
        whole = [case for case in cases if not case.error]
        start = time.perf_counter()
        try:
            seen = self.parts.predict([case.ready for case in whole])
        except Exception:  # memory of the GPU, say: one by one, they fit or are named
            logger.debug("%d micrographs together failed", len(whole), exc_info=True)
            seen = None
        if seen is None:  # only here: until its handler ends, an exception holds what filled the memory
            for case in whole:
                case.attempt(self._look)
            return cases
        for case, one in zip(whole, seen, strict=True):
            case.seen = one
            case.seconds += (time.perf_counter() - start) / len(whole)
        return cases

    def write(self, case: Case) -> tuple[str, Outcome]:
        case.attempt(self._finish)
        return super().write(case)

    def _prepare(self, case: Case) -> None:
        case.ready = self.parts.prepare(case.micrograph, diameter=self.settings.picked_diameter)

    def _look(self, case: Case) -> None:
        (case.seen,) = self.parts.predict([case.ready])

    def _finish(self, case: Case) -> None:
        self._depict(case, self.parts.finish(case.ready, case.seen))
        case.ready = case.seen = None


def lost(folder: RunFolder, task: Task, reason: str) -> tuple[str, Outcome]:
    """Record a micrograph whose workers died."""
    return _failed(task, reason, folder, seconds=0.0)


def _failed(task: Task, error: str, folder: RunFolder, *, seconds: float) -> tuple[str, Outcome]:
    outcome = Outcome(name=task.source.name, path=str(task.source.path), status="failed", error=error, seconds=seconds)
    with folder.writing():
        write_record(Record(outcome), folder.record(task.stem))
    return task.stem, outcome
