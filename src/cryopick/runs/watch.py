"""Pick the micrographs of a folder as they come, for as long as the microscope runs."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from cryopick.parallel import pool
from cryopick.runs.arrivals import Arrivals
from cryopick.runs.outputs import assemble
from cryopick.parallel.background import Beside, Due
from cryopick.runs.folder import RunFolder
from cryopick.runs.records import Outcome, check_name, free_stem, is_another, read_outcome
from cryopick.runs.settings import RunSettings, build_picker
from cryopick.runs.estimate import prepare_sized, recorded
from cryopick.runs.task import Build, Task
from cryopick.runs.local import pick_here
from cryopick.errors import CryopickError, FileError, SettingError
from cryopick.files import leftovers
from cryopick.io.picks.relion import coordinate_file
from cryopick.io.micrographs.sources import MicrographSource, list_micrographs

logger = logging.getLogger(__name__)
RATE_SECONDS = 600.0
LATE_SECONDS = 120.0
"""A micrograph that has been whole for so long and is in no worker's hands shows that picking falls behind."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How often a watch does what; all in seconds.

    Attributes
    ----------
    settle : a file is whole when it has not changed for so long, and has the length that its header says.
    poll : between two listings of the folder.
    refresh : between two writings of the files about all micrographs.
    until_idle : end when nothing has come and nothing was to do for so long; None to go on for ever.
    """

    settle: float = 10.0
    poll: float = 5.0
    refresh: float = 30.0
    until_idle: float | None = None


@dataclass(frozen=True, kw_only=True)
class Status:
    """Where a watch stands.

    Attributes
    ----------
    done, failed : micrographs, those of earlier watches among them.
    waiting : micrographs that are whole and in no worker's hands yet.
    settling : files that are being written.
    late : seconds that the oldest of those waiting has waited.
    came, went : how many came and were picked within the last ten minutes.
    trouble : why the folder cannot be listed or one of its files has to be left out; "" when all is well.
    """

    done: int
    failed: int
    waiting: int
    settling: int
    late: float
    came: int
    went: int
    trouble: str

    @property
    def behind(self) -> bool:
        return self.late > LATE_SECONDS


def watch_folder(
    inputs: Sequence[str],
    out: Path,
    settings: RunSettings,
    *,
    workers: int = 1,
    pace: Pace | None = None,
    build: Build = build_picker,
    on_status: Callable[[Status], None] = lambda status: None,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
    beside: Callable[[], None] | None = None,
) -> Status:
    """Pick every micrograph that the inputs name, now or later, once it is completely written, until Ctrl-C.

    What is in `out` is what `run_picking` leaves for the same micrographs, and a reader finds each file whole at any time. A
    later watch, or `run_picking`, goes on from there. One name is one micrograph: a file that is done is not picked again. One
    that failed is tried again when it changes. Memory holds some names for each micrograph, nothing else.

    Where no diameter is given or known from before, it is estimated on the first micrographs that come.

    Parameters
    ----------
    inputs : as for `find_micrographs`, listed again and again; nothing need be there yet.
    on_status : told at each listing of the folder.
    beside : called in a process of its own, one at a time and for no more than a tenth of the time, when the files about all
        micrographs have changed; killed when the watch ends. It is pickled.

    Raises
    ------
    SettingError
        When `out` holds something else, a run with other settings, or one that is at work.
    FileError
        When `out` cannot be written.
    """
    folder = RunFolder(out)
    with folder.in_use():
        settings = recorded(folder, settings)
        folder.prepare(settings)
        watch = _Watch(folder, settings, inputs, pace or Pace(), on_status, beside)
        try:
            sized = watch.sized(settings, build)
            with closing(pick_here(watch.tasks(), folder, sized, build, workers=workers)) as results:
                for stem, outcome in results:
                    watch.take(stem, outcome)
                    on_outcome(outcome)
                    watch.look_after()
        except KeyboardInterrupt:
            watch.take_untold()
        finally:
            watch.stop_beside()
        watch.write_files()
        return watch.status()


@dataclass
class _Entry:
    """What is remembered of a micrograph that has a record."""

    stem: str
    path: str
    failed: bool


class _Watch:
    def __init__(
        self,
        folder: RunFolder,
        settings: RunSettings,
        inputs: Sequence[str],
        pace: Pace,
        on_status: Callable[[Status], None],
        beside: Callable[[], None] | None,
    ) -> None:
        self.folder = folder
        self.settings = settings
        self.inputs = inputs
        self.pace = pace
        self.on_status = on_status
        self.entries = _entries(folder, settings)
        self.places = {str(coordinate_file(name)): entry.path for name, entry in self.entries.items()}
        self.stems = {entry.stem.casefold(): name for name, entry in self.entries.items()}
        taken = [name for name, entry in self.entries.items() if not entry.failed]
        self.arrivals = Arrivals(self.find, settle=pace.settle, taken=taken)
        self.queue: deque[tuple[MicrographSource, float]] = deque()
        self.in_hand: dict[str, MicrographSource] = {}
        self.came: deque[float] = deque()
        self.went: deque[float] = deque()
        self.trouble = ""
        self.changed = True
        self.active = time.monotonic()
        self.listing = Due(pace.poll)
        self.writing = Due(pace.refresh)
        self.beside = None if beside is None else Beside(beside, seconds=pace.refresh)
        self.is_news = False

    def sized(self, settings: RunSettings, build: Build) -> RunSettings:
        """The settings with a diameter, estimated on the first micrographs that come where none is known.

        Where particles of no size stand out on these, it waits until there are more than twice as many; where no more come, each
        is picked at a size of its own.
        """
        if settings.picked_diameter is not None or self.entries:
            return settings
        tried = 0
        while not self.is_idle():
            self.look_after()
            if len(self.queue) <= 2 * tried:
                time.sleep(pool.PAUSE)
                continue
            tried = len(self.queue)
            try:
                return prepare_sized(self.folder, settings, [source for source, _ in self.queue], build)
            except FileError:
                raise
            except CryopickError as error:
                logger.warning("%s; it is estimated again when more micrographs have come", error)
        return settings

    def tasks(self) -> Iterator[Task | None]:
        """The next micrograph to pick, None when there is none at the moment."""
        while not self.is_over():
            self.look_after()
            yield self.next_task()

    def is_over(self) -> bool:
        return not self.queue and not self.in_hand and self.is_idle()

    def is_idle(self) -> bool:
        """Whether nothing has come, and nothing was picked, for so long that the watch may end."""
        if self.pace.until_idle is None or self.arrivals.settling:
            return False
        return time.monotonic() - self.active >= self.pace.until_idle

    def look_after(self) -> None:
        """List the folder, write the joint files, and have done beside what follows from them, when it is time."""
        if self.listing.take():
            start = time.monotonic()
            ready = self.arrivals.look()
            self.queue.extend((source, start) for source in ready)
            self.came.extend([start] * len(ready))
            self.active = start if ready else self.active
            self.listing.took(start)
            self.on_status(self.status())
        if self.changed and self.writing.take():
            start = time.monotonic()
            self.write_files()
            self.writing.took(start)
            self.is_news = True
        if self.beside is not None and self.beside.look_after(wanted=self.is_news and bool(self.entries)):
            self.is_news = False

    def find(self) -> list[MicrographSource]:
        """All there are at the moment, without those whose results would be another's."""
        self.trouble = ""
        found = []
        for given in self.inputs:
            try:
                found += list_micrographs(given, pixel_size=self.settings.pixel_size)
            except CryopickError as error:  # not there yet, or its disk is away for a while
                self.trouble = str(error)
        return [source for source in found if self.has_place(source)]

    def has_place(self, source: MicrographSource) -> bool:
        """Whether results of this micrograph can be written; otherwise it is the watch's `trouble`."""
        try:
            check_name(source.name)
        except SettingError as error:
            self.trouble = str(error)
            return False
        place = str(coordinate_file(source.name))
        path = self.places.setdefault(place, str(source.path))
        if is_another(Path(path), source.path):
            self.trouble = f"{source.path} is left out: its results would overwrite those of {path}"
            return False
        self.places[place] = str(source.path)
        return True

    def next_task(self) -> Task | None:
        while self.queue:
            source, _ = self.queue.popleft()
            if not source.path.exists():
                self.arrivals.vanished(source.name)
                continue
            entry = self.entries.get(source.name)
            stem = entry.stem if entry else free_stem(source.name, self.stems)
            self.stems[stem.casefold()] = source.name
            self.in_hand[stem] = source
            return Task(source, stem)
        return None

    def take(self, stem: str, outcome: Outcome) -> None:
        """Remember a result, and forget one that is about a file that is gone."""
        self.active = time.monotonic()
        self.went.append(self.active)
        self.changed = True
        source = self.in_hand[stem]
        failed = outcome.status == "failed"
        if failed and not source.path.exists():
            self.folder.record(stem).unlink(missing_ok=True)
            self.entries.pop(source.name, None)
            self.arrivals.vanished(source.name)
        else:
            self.entries[source.name] = _Entry(stem, outcome.path, failed)
            (self.arrivals.failed if failed else self.arrivals.done)(source.name)
        del self.in_hand[stem]  # last, for one who is interrupted before takes it again

    def take_untold(self) -> None:
        """What was finished and not told when the watch was ended."""
        for stem in list(self.in_hand):
            if outcome := read_outcome(self.folder.record(stem)):
                self.take(stem, outcome)

    def write_files(self) -> None:
        """The joint files, in the order of the paths, as a folder is listed."""
        stems = [entry.stem for entry in sorted(self.entries.values(), key=lambda entry: entry.path)]
        outcomes = ((stem, read_outcome(self.folder.record(stem))) for stem in stems)
        with self.folder.one_at_a_time():
            problems = assemble(self.folder, ((stem, outcome) for stem, outcome in outcomes if outcome), self.settings)
        for problem in problems:
            logger.warning("format %s", problem)
        self.changed = False

    def stop_beside(self) -> None:
        """End the process beside, and remove what it has half written."""
        if self.beside is not None and self.beside.stop():
            for path in leftovers(self.folder.path):
                path.unlink(missing_ok=True)

    def status(self) -> Status:
        now = time.monotonic()
        for times in (self.came, self.went):
            while times and now - times[0] > RATE_SECONDS:
                times.popleft()
        failed = sum(entry.failed for entry in self.entries.values())
        return Status(
            done=len(self.entries) - failed,
            failed=failed,
            waiting=len(self.queue),
            settling=self.arrivals.settling,
            late=now - self.queue[0][1] if self.queue else 0.0,
            came=len(self.came),
            went=len(self.went),
            trouble=self.trouble,
        )


def _entries(folder: RunFolder, settings: RunSettings) -> dict[str, _Entry]:
    """What earlier runs have left, by name; what lost one of its files counts as failed, and is picked again."""
    entries = {}
    for record in folder.records.glob("*.json"):
        if outcome := read_outcome(record):
            done = outcome.status == "done" and folder.holds(record.stem, outcome, previews=settings.previews)
            entries[outcome.name] = _Entry(record.stem, outcome.path, failed=not done)
    return entries
