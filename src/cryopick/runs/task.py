"""Work on single micrographs: read, pick, and write the files of each micrograph."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from cryopick.display.overlays import Marks, RgbImage, draw, write_png
from cryopick.display.thumbnails import Thumbnail, make_thumbnail, write_thumbnail
from cryopick.errors import CryopickError
from cryopick.io.micrographs.sources import MicrographSource
from cryopick.io.picks.relion import write_coordinates
from cryopick.pickers.base import BatchPicker, Picker
from cryopick.preprocess.resample import check_fit
from cryopick.runs.folder import RunFolder
from cryopick.runs.notices import collect_warnings
from cryopick.runs.records import Outcome, Record, check_name, done, recorded, write_record
from cryopick.runs.settings import RunSettings
from cryopick.types import Micrograph, Picks

logger = logging.getLogger(__name__)
Build = Callable[[RunSettings], Picker]
FAILED_BATCHES = 2
"""Number of successive failed batches on the GPU that causes a warning; a single one may be due to one micrograph."""


@dataclass(frozen=True)
class PickTask:
    """A micrograph to pick, and the stem of its files."""

    source: MicrographSource
    stem: str


@dataclass
class TaskState:
    """State of a task between the stages: results so far, or the reason of its failure.

    `micrograph` is deleted once it is no longer needed; `prepared` and `output` belong to a `BatchPicker`.
    """

    task: PickTask
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    error: str = ""
    micrograph: Micrograph = field(init=False)
    prepared: Any = None
    output: Any = None
    picks: Picks = field(init=False)
    preview: RgbImage | None = None
    thumbnail: Thumbnail | None = None

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record the time, the warnings and the error of a step."""
        start = time.perf_counter()
        with collect_warnings(self.notes):
            try:
                yield
            except Exception as error:
                logger.debug("%s failed", self.task.source.name, exc_info=True)
                self.error = str(error) if isinstance(error, CryopickError) else f"{type(error).__name__}: {error}"
        self.seconds += time.perf_counter() - start


def start_picking(folder: RunFolder, settings: RunSettings, build: Build, *, batch_size: int | None = None) -> "PickStages":
    """Build the picker and the stages around it: for batches of micrographs if `batch_size` is given and the picker can."""
    picker = build(settings)
    if batch_size is not None and isinstance(picker, BatchPicker):
        return BatchPickStages(folder, settings, picker, ahead=batch_size)
    return PickStages(folder, settings, picker)


class PickStages:
    """Picks one micrograph after another, and writes the files of each, its record last.

    `Staged` work: while one micrograph is picked, the next is read and the files of the last one are written.
    """

    ahead = 1

    def __init__(self, folder: RunFolder, settings: RunSettings, picker: Picker) -> None:
        self.folder = folder
        self.settings = settings
        self.picker = picker

    def __call__(self, task: PickTask) -> tuple[str, Outcome]:
        """Perform all stages for a micrograph; return the stem of its files and its outcome."""
        (state,) = self.compute([self.read(task)])
        return self.write(state)

    def read(self, task: PickTask) -> TaskState:
        """Read the micrograph. See `Staged.read`."""
        state = TaskState(task)
        with state.recording():
            check_name(task.source.name)
            state.micrograph = task.source.read(salvage=self.settings.salvage)
            check_fit(state.micrograph, self.settings.diameter)
        return state

    def compute(self, states: Sequence[TaskState]) -> Sequence[TaskState]:
        """Pick the micrographs and draw them. See `Staged.compute`."""
        for state in states:
            if not state.error:
                with state.recording():
                    self._draw(state, self.picker.pick(state.micrograph, diameter=self.settings.picked_diameter))
        return states

    def write(self, state: TaskState) -> tuple[str, Outcome]:
        """Write the files of a micrograph. See `Staged.write`.

        Raises `FileError` if the output folder cannot be written, which is not a failure of the micrograph.
        """
        start = time.perf_counter()
        if state.error:
            return _failed(state.task, state.error, self.folder, seconds=state.seconds, notes=state.notes)
        with self.folder.writing():
            files = [write_coordinates(state.picks, self.folder.relion)]
            if state.preview is not None:
                files.append(self.folder.preview(state.task.stem))
                write_png(state.preview, files[-1])
            if state.thumbnail is not None:
                files.append(self.folder.thumbnail(state.task.stem))
                write_thumbnail(state.thumbnail, files[-1])
            names = [self.folder.relative(file) for file in files]
            seconds, path = state.seconds + time.perf_counter() - start, recorded(str(state.task.source.path))
            record = done(state.picks, path=path, seconds=seconds, files=names, notes=list(map(recorded, state.notes)))
            write_record(record, self.folder.record(state.task.stem))
        return state.task.stem, record.outcome

    def _draw(self, state: TaskState, picks: Picks) -> None:
        if self.settings.diameter is None and not len(picks):
            check_fit(state.micrograph, picks.diameter)  # the diameter of references, or an estimate from other micrographs
        state.picks = picks
        state.preview = draw(state.micrograph, [Marks(picks)]) if self.settings.previews else None
        state.thumbnail = make_thumbnail(state.micrograph, picks) if self.settings.thumbnails else None
        del state.micrograph


class BatchPickStages(PickStages):
    """Picks batches of micrographs on a GPU: threads prepare and finish micrographs, one thread runs the network.

    At most `ahead` micrographs each are being prepared, in the batch, and being finished.
    """

    def __init__(self, folder: RunFolder, settings: RunSettings, picker: BatchPicker[Any, Any], *, ahead: int) -> None:
        super().__init__(folder, settings, picker)
        self.parts = picker
        self.ahead = ahead
        self._failed_batches = 0
        self._has_warned = False

    def read(self, task: PickTask) -> TaskState:
        """Read and prepare the micrograph. See `Staged.read`."""
        state = super().read(task)
        if not state.error:
            with state.recording():
                state.prepared = self.parts.prepare(state.micrograph, diameter=self.settings.picked_diameter)
        return state

    def compute(self, states: Sequence[TaskState]) -> Sequence[TaskState]:
        """Run the network on the batch or, if that fails, on one micrograph after another. See `Staged.compute`."""
        whole = [state for state in states if not state.error]
        start = time.perf_counter()
        try:
            outputs = self.parts.predict([state.prepared for state in whole])
        except Exception as error:  # for example out of memory: single micrographs may fit, or the failing one is identified
            logger.debug("a batch of %d micrographs failed", len(whole), exc_info=True)
            self._note_failed_batch(whole, error)
            outputs = None
        if outputs is None:  # outside the handler, which holds the exception and with it the memory
            for state in whole:
                with state.recording():
                    (state.output,) = self.parts.predict([state.prepared])
            return states
        self._failed_batches = 0
        for state, output in zip(whole, outputs, strict=True):
            state.output = output
            state.seconds += (time.perf_counter() - start) / len(whole)
        return states

    def write(self, state: TaskState) -> tuple[str, Outcome]:
        """Finish the picks and write the files of a micrograph. See `PickStages.write`."""
        if not state.error:
            with state.recording():
                self._draw(state, self.parts.finish(state.prepared, state.output))
        state.prepared = state.output = None
        return super().write(state)

    def _note_failed_batch(self, batch: Sequence[TaskState], error: Exception) -> None:
        """Warn once, on the terminal and in the notes of one micrograph, when batches keep failing."""
        if len(batch) < 2:
            return
        self._failed_batches += 1
        if self._has_warned or self._failed_batches < FAILED_BATCHES:
            return
        self._has_warned = True
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        warning = (
            f"{self._failed_batches} batches of micrographs in a row failed on the GPU ({reason}). Micrographs of failed batches "
            "are picked one by one, which takes longer; if memory runs out, use fewer --workers"
        )
        batch[0].notes.append(warning)
        logger.warning("%s", warning)


def lost(folder: RunFolder, task: PickTask, reason: str) -> tuple[str, Outcome]:
    """Record a micrograph whose workers died as failed."""
    return _failed(task, reason, folder, seconds=0.0)


def _failed(task: PickTask, error: str, folder: RunFolder, *, seconds: float, notes: Sequence[str] = ()) -> tuple[str, Outcome]:
    name, path = recorded(task.source.name), recorded(str(task.source.path))
    all_notes = list(map(recorded, notes))
    outcome = Outcome(name=name, path=path, status="failed", error=recorded(error), seconds=seconds, notes=all_notes)
    with folder.writing():
        write_record(Record(outcome), folder.record(task.stem))
    return task.stem, outcome
