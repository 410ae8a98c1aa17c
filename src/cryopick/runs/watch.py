"""Pick the micrographs of a folder as they arrive, while the microscope is running."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from cryopick.errors import CryopickError, FileError
from cryopick.files import remove_leftovers
from cryopick.io.micrographs.sources import MicrographSource, list_micrographs
from cryopick.io.picks.relion import coordinate_file
from cryopick.parallel import pool
from cryopick.parallel.background import BackgroundProcess, Schedule
from cryopick.runs.arrivals import Arrivals
from cryopick.runs.estimate import prepare_with_diameter, with_recorded_estimate
from cryopick.runs.folder import RunFolder
from cryopick.runs.local import pick_here
from cryopick.runs.outputs import assemble
from cryopick.runs.records import Outcome, free_stem, is_another, name_problem, read_outcome, recorded
from cryopick.runs.settings import RunSettings, build_picker
from cryopick.runs.task import Build, PickTask

logger = logging.getLogger(__name__)
RATE_SECONDS = 600.0
LATE_SECONDS = 120.0
"""Waiting time of a complete micrograph from which picking is behind."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Time constants of a watch [s].

    Attributes
    ----------
    settle : a file is complete if it has not changed for this time and has the length given in its header.
    poll : time between two listings of the folder.
    refresh : time between two updates of the joint files.
    until_idle : end if nothing has arrived or been picked for this time; None to watch until Ctrl-C.
    """

    settle: float = 10.0
    poll: float = 5.0
    refresh: float = 30.0
    until_idle: float | None = None


@dataclass(frozen=True, kw_only=True)
class WatchStatus:
    """The state of a watch.

    Attributes
    ----------
    done, failed : numbers of micrographs, including those of earlier runs.
    waiting : number of complete micrographs that wait for a worker.
    settling : number of files that are being written.
    longest_wait : waiting time of the micrograph that waits longest [s].
    arrived, picked : numbers of micrographs that arrived and that were picked in the last ten minutes.
    problem : reason why the folder cannot be listed or a file is excluded; "" if there is none.
    """

    done: int
    failed: int
    waiting: int
    settling: int
    longest_wait: float
    arrived: int
    picked: int
    problem: str

    @property
    def is_behind(self) -> bool:
        """Whether micrographs arrive faster than they are picked."""
        return self.longest_wait > LATE_SECONDS


def watch_folder(
    inputs: Sequence[str],
    out: Path,
    settings: RunSettings,
    *,
    workers: int = 1,
    pace: Pace | None = None,
    build: Build = build_picker,
    on_status: Callable[[WatchStatus], None] = lambda status: None,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
    background: Callable[[], None] | None = None,
) -> WatchStatus:
    """Pick every micrograph named by the inputs, now or later, as soon as it is completely written, until Ctrl-C.

    The content of `out` is that which `run_picking` writes for the same micrographs, and every file is complete at any time. A
    later watch, or `run_picking`, can resume the run. Micrographs are identified by name: a finished one is not picked again,
    and a failed one is tried again when its file changes.

    If no diameter is given or recorded by an earlier run, it is estimated from the first micrographs that arrive.

    Parameters
    ----------
    inputs : as for `find_micrographs`, listed repeatedly; they may be empty or missing at first.
    on_status : called at each listing of the folder.
    background : called in a separate process when the joint files have changed, one call at a time and for at most a tenth of
        the time; killed when the watch ends. It is pickled.

    Raises
    ------
    SettingError
        If `out` holds other files, a run with other settings, or a run in progress.
    FileError
        If `out` cannot be written.
    """
    folder = RunFolder(out)
    with folder.in_use():
        settings = with_recorded_estimate(folder, settings)
        folder.prepare(settings)
        watch = _Watch(folder, settings, inputs, pace or Pace(), on_status, background)
        try:
            settings = watch.with_diameter(settings, build)
            with closing(pick_here(watch.tasks(), folder, settings, build, workers=workers)) as results:
                for stem, outcome in results:
                    watch.receive(stem, outcome)
                    on_outcome(outcome)
                    watch.poll()
        except KeyboardInterrupt:
            watch.receive_unreported()
        finally:
            watch.stop_background()
        watch.write_files()
        return watch.status()


@dataclass
class _Entry:
    """A micrograph that has a record."""

    stem: str
    path: str
    failed: bool


class _Watch:
    """State of a watch: micrographs that are waiting, being picked or done, and the schedules of its repeated work."""

    def __init__(
        self,
        folder: RunFolder,
        settings: RunSettings,
        inputs: Sequence[str],
        pace: Pace,
        on_status: Callable[[WatchStatus], None],
        background: Callable[[], None] | None,
    ) -> None:
        self.folder = folder
        self.settings = settings
        self.inputs = inputs
        self.pace = pace
        self.on_status = on_status
        self.entries = _entries(folder, settings)
        usable = {name: entry for name, entry in self.entries.items() if not name_problem(name)}
        self.places = {str(coordinate_file(name)): entry.path for name, entry in usable.items()}
        self.stems = {entry.stem.casefold(): name for name, entry in self.entries.items()}
        taken = [name for name, entry in self.entries.items() if not entry.failed]
        self.arrivals = Arrivals(self.find, settle=pace.settle, taken=taken)
        self.queue: deque[tuple[MicrographSource, float]] = deque()
        self.in_progress: dict[str, MicrographSource] = {}
        self.arrived: deque[float] = deque()
        self.picked: deque[float] = deque()
        self.problem = ""
        self.changed = True
        self.active = time.monotonic()
        self.listing = Schedule(pace.poll)
        self.writing = Schedule(pace.refresh)
        self.background = None if background is None else BackgroundProcess(background, seconds=pace.refresh)
        self.is_background_wanted = False

    def with_diameter(self, settings: RunSettings, build: Build) -> RunSettings:
        """Add a diameter to the settings, estimated from the first micrographs that arrive if none is known.

        If no diameter can be estimated, it waits until there are more than twice as many micrographs; if no more arrive, the
        diameter is estimated for each micrograph when it is picked.
        """
        if settings.picked_diameter is not None or self.entries:
            return settings
        tried = 0
        while not self.is_idle():
            self.poll()
            if len(self.queue) <= 2 * tried:
                time.sleep(pool.PAUSE)
                continue
            tried = len(self.queue)
            try:
                return prepare_with_diameter(self.folder, settings, [source for source, _ in self.queue], build)
            except FileError:
                raise
            except CryopickError as error:
                logger.warning("%s; the diameter is estimated again when more micrographs have arrived", error)
        return settings

    def tasks(self) -> Iterator[PickTask | None]:
        """Yield the micrographs to pick; None if there is none at the moment."""
        while not self.is_over():
            self.poll()
            yield self.next_task()

    def is_over(self) -> bool:
        """Return whether the watch is to end, with nothing left to pick."""
        return not self.queue and not self.in_progress and self.is_idle()

    def is_idle(self) -> bool:
        """Return whether nothing has arrived or been picked for so long that the watch may end."""
        if self.pace.until_idle is None or self.arrivals.settling:
            return False
        return time.monotonic() - self.active >= self.pace.until_idle

    def poll(self) -> None:
        """List the folder, write the joint files and start the background process, each when it is due."""
        if self.listing.is_due():
            start = time.monotonic()
            complete = self.arrivals.poll()
            self.queue.extend((source, start) for source in complete)
            self.arrived.extend([start] * len(complete))
            self.active = start if complete else self.active
            self.listing.record(start)
            self.on_status(self.status())
        if self.changed and self.writing.is_due():
            start = time.monotonic()
            self.write_files()
            self.writing.record(start)
            self.is_background_wanted = True
        if self.background is not None and self.background.poll(wanted=self.is_background_wanted and bool(self.entries)):
            self.is_background_wanted = False

    def find(self) -> list[MicrographSource]:
        """List all current micrographs, except those whose results would overwrite those of another."""
        self.problem = ""
        found = []
        for given in self.inputs:
            try:
                found += list_micrographs(given, pixel_size=self.settings.pixel_size)
            except CryopickError as error:  # it does not exist yet, or its disk is temporarily unavailable
                self.problem = str(error)
        return [source for source in found if self.has_place(source)]

    def has_place(self, source: MicrographSource) -> bool:
        """Return whether results of this micrograph overwrite none of another; if not, the reason becomes the watch's `problem`.

        A micrograph whose name result files cannot have fails when it is its turn.
        """
        if name_problem(source.name):
            return True
        place = str(coordinate_file(source.name))
        path = self.places.setdefault(place, str(source.path))
        if is_another(Path(path), source.path):
            self.problem = f"{source.path} is excluded: its results would overwrite those of {path}"
            return False
        self.places[place] = str(source.path)
        return True

    def next_task(self) -> PickTask | None:
        """Return the micrograph that has waited longest, if any."""
        while self.queue:
            source, _ = self.queue.popleft()
            if not source.path.exists():
                self.arrivals.vanished(source.name)
                continue
            entry = self.entries.get(recorded(source.name))
            stem = entry.stem if entry else free_stem(source.name, self.stems)
            self.stems[stem.casefold()] = recorded(source.name)
            self.in_progress[stem] = source
            return PickTask(source, stem)
        return None

    def receive(self, stem: str, outcome: Outcome) -> None:
        """Record an outcome; a failure is forgotten if the file has been removed."""
        self.active = time.monotonic()
        self.picked.append(self.active)
        self.changed = True
        source = self.in_progress[stem]
        failed = outcome.status == "failed"
        if failed and not source.path.exists():
            self.folder.record(stem).unlink(missing_ok=True)
            self.entries.pop(recorded(source.name), None)
            self.arrivals.vanished(source.name)
        else:
            self.entries[recorded(source.name)] = _Entry(stem, outcome.path, failed)
            (self.arrivals.failed if failed else self.arrivals.done)(source.name)
        del self.in_progress[stem]  # last, so that it is received again after an interruption

    def receive_unreported(self) -> None:
        """Record the outcomes that were written but not reported when the watch was stopped."""
        for stem in list(self.in_progress):
            if outcome := read_outcome(self.folder.record(stem)):
                self.receive(stem, outcome)

    def write_files(self) -> None:
        """Write the joint files, ordered by path as in a listed folder."""
        stems = [entry.stem for entry in sorted(self.entries.values(), key=lambda entry: entry.path)]
        outcomes = ((stem, read_outcome(self.folder.record(stem))) for stem in stems)
        problems = []
        try:
            with self.folder.one_at_a_time():
                problems = assemble(self.folder, ((stem, outcome) for stem, outcome in outcomes if outcome), self.settings)
        except FileError as error:
            if error.path.parent != self.folder.records:  # a full disk, say
                raise
            logger.warning("%s. Until then the joint files are not updated", error)
        for problem in problems:
            logger.warning("format %s", problem)
        self.changed = False

    def stop_background(self) -> None:
        """Kill the background process, and remove its incomplete files."""
        if self.background is not None and self.background.stop():
            remove_leftovers(self.folder.path)

    def status(self) -> WatchStatus:
        """Return the current state."""
        now = time.monotonic()
        for times in (self.arrived, self.picked):
            while times and now - times[0] > RATE_SECONDS:
                times.popleft()
        failed = sum(entry.failed for entry in self.entries.values())
        return WatchStatus(
            done=len(self.entries) - failed,
            failed=failed,
            waiting=len(self.queue),
            settling=self.arrivals.settling,
            longest_wait=now - self.queue[0][1] if self.queue else 0.0,
            arrived=len(self.arrived),
            picked=len(self.picked),
            problem=self.problem,
        )


def _entries(folder: RunFolder, settings: RunSettings) -> dict[str, _Entry]:
    """Return the micrographs with records, by name; one with a missing file counts as failed, and is picked again."""
    entries = {}
    for record in folder.record_paths():
        if outcome := read_outcome(record):
            done = outcome.status == "done" and folder.holds(record.stem, outcome, previews=settings.previews)
            done = done and not name_problem(outcome.name)
            entries[outcome.name] = _Entry(record.stem, outcome.path, failed=not done)
    return entries
