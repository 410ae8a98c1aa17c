"""Pick many micrographs into one output folder, so that a run that was stopped at any moment goes on where it was."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cryopick.runs.outputs import assemble
from cryopick.parallel.dask_cluster import DaskCrew
from cryopick.runs.folder import RunFolder
from cryopick.runs.records import Outcome, file_stems, is_another, read_outcome
from cryopick.runs.settings import RunSettings, build_picker
from cryopick.runs.shards import Shard
from cryopick.runs.estimate import prepare_sized, recorded
from cryopick.runs.task import Build, Task, lost, start_picking
from cryopick.runs.local import pick_here
from cryopick.io.micrographs.sources import MicrographSource
from cryopick.pickers.diameter import DiameterEstimate


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    Attributes
    ----------
    outcomes : one for each micrograph, in the order of the input; those that were not reached are "pending".
    kept : how many of them an earlier run had finished.
    left_out : how many other micrographs have records in the folder; the files leave them out.
    interrupted : whether Ctrl-C or the like ended the run; its files are whole and hold what was finished.
    problems : formats that could not be written, and why.
    assembled : whether the files about all micrographs were written, which shards leave to the last of them.
    """

    outcomes: list[Outcome]
    kept: int
    left_out: int
    interrupted: bool
    problems: list[str]
    assembled: bool = True

    @property
    def failed(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.status == "failed"]


def run_picking(
    sources: Sequence[MicrographSource],
    out: Path,
    settings: RunSettings,
    *,
    workers: int = 1,
    overwrite: bool = False,
    shard: Shard | None = None,
    relion_job: bool = False,
    crew: DaskCrew | None = None,
    build: Build = build_picker,
    on_estimate: Callable[[DiameterEstimate], None] = lambda estimate: None,
    on_start: Callable[[int, int], None] = lambda kept, total: None,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> RunResult:
    """Pick every micrograph that has no finished record in `out`, then write the files about all of them.

    Where no diameter is given it is estimated over a few of the sources, or taken from the earlier run, see `prepare_sized`.
    The bytes of all files of picks depend on the sources and the settings alone: not on `workers` or shards, nor on how often
    the run was stopped. (On GPUs, but for the rounding of sums, which depends on the micrographs that are looked at together.)
    A micrograph that cannot be read or picked is recorded as failed and tried again by the next run.

    Parameters
    ----------
    workers : processes; one is this process itself.
    overwrite : remove first what an earlier run wrote.
    shard : pick this part of the sources only, beside runs of the other parts; the last one writes the files about all.
    relion_job : `out` is the folder of a RELION job, which gets the layout of its auto-picking jobs.
    crew : picks in place of worker processes here.
    build : makes the picker, once in each worker; pickled by reference.
    on_estimate : told the diameter, where none was given.
    on_start, on_outcome : told how many micrographs are finished already and how many there are, then each outcome as it comes.
    should_stop : asked after each micrograph whether to end as after Ctrl-C.

    Raises
    ------
    SettingError
        When `out` holds something else, a run with other settings, or one that is at work and is no other shard.
    FileError
        When `out` cannot be written.
    """
    folder, tasks = RunFolder(out, relion_job), _tasks(sources)
    with folder.in_use(shared=shard is not None):
        with folder.one_at_a_time():
            settings = prepare_sized(folder, settings, sources, build, overwrite=overwrite, shared=shard is not None)
        if settings.estimate is not None:
            on_estimate(settings.estimate)
        mine = tasks if shard is None else shard.share(tasks)
        outcomes = {task.stem: _earlier(task, folder, settings) for task in mine}
        left = [task for task in mine if outcomes[task.stem].status != "done"]
        on_start(len(mine) - len(left), len(mine))
        results = _results(left, folder, settings, build, workers=workers, crew=crew)
        interrupted = _hear_out(results, outcomes, on_outcome=on_outcome, should_stop=should_stop)
        if interrupted:  # some may have been finished and not told
            untold = [task for task in left if outcomes[task.stem].status != "done"]
            outcomes |= {task.stem: _earlier(task, folder, settings) for task in untold}
        last = shard is None or _all_recorded(tasks, folder)
        problems = _assemble(folder, tasks, settings, known=outcomes) if last else []
        left_out = _others(tasks, folder) if last else 0
        return RunResult(list(outcomes.values()), len(mine) - len(left), left_out, interrupted, problems, assembled=last)


def assemble_run(sources: Sequence[MicrographSource], out: Path, settings: RunSettings) -> RunResult:
    """Write the files about all micrographs from what shards have picked, without picking; raises as `run_picking` does."""
    folder, tasks = RunFolder(out), _tasks(sources)
    with folder.in_use():
        settings = recorded(folder, settings)
        folder.prepare(settings)
        outcomes = {task.stem: _earlier(task, folder, settings) for task in tasks}
        problems = _assemble(folder, tasks, settings, known=outcomes)
        kept = sum(outcome.status == "done" for outcome in outcomes.values())
        return RunResult(list(outcomes.values()), kept, _others(tasks, folder), False, problems)


def _results(
    tasks: list[Task], folder: RunFolder, settings: RunSettings, build: Build, *, workers: int, crew: DaskCrew | None
) -> Generator[tuple[str, Outcome]]:
    """What comes of the tasks, by their stems: from a crew, or from workers of this machine."""
    if crew is None:
        return pick_here(tasks, folder, settings, build, workers=workers)
    start = partial(start_picking, folder, settings, build)
    return crew.run(tasks, start, lost=partial(lost, folder), failed=_has_failed)


def _hear_out(
    results: Generator[tuple[str, Outcome]],
    outcomes: dict[str, Outcome],
    *,
    on_outcome: Callable[[Outcome], None],
    should_stop: Callable[[], bool],
) -> bool:
    """Put results into `outcomes` as they come; whether that was interrupted before the last one."""
    try:
        with closing(results):
            for stem, outcome in results:
                outcomes[stem] = outcome
                on_outcome(outcome)
                if should_stop():
                    return True
    except KeyboardInterrupt:
        return True
    return False


def _has_failed(result: tuple[str, Outcome]) -> bool:
    return result[1].status == "failed"


def _tasks(sources: Sequence[MicrographSource]) -> list[Task]:
    stems = file_stems([source.name for source in sources])
    return [Task(source, stem) for source, stem in zip(sources, stems, strict=True)]


def _assemble(folder: RunFolder, tasks: list[Task], settings: RunSettings, *, known: Mapping[str, Outcome]) -> list[str]:
    """The files about all micrographs; outcomes that are not `known` are read from their records."""
    outcomes = ((task.stem, known.get(task.stem) or _earlier(task, folder, settings)) for task in tasks)
    with folder.one_at_a_time():
        return assemble(folder, outcomes, settings)


def _all_recorded(tasks: list[Task], folder: RunFolder) -> bool:
    """Whether each micrograph has been picked or has failed, by whichever shard."""
    return {f"{task.stem}.json" for task in tasks} <= {path.name for path in folder.records.glob("*.json")}


def _others(tasks: list[Task], folder: RunFolder) -> int:
    """How many micrographs beside these have records."""
    stems = {task.stem for task in tasks}
    return sum(record.stem not in stems for record in folder.records.glob("*.json"))


def _earlier(task: Task, folder: RunFolder, settings: RunSettings) -> Outcome:
    """What an earlier run left for a micrograph: "done" only when all its files are there."""
    pending = Outcome(name=task.source.name, path=str(task.source.path))
    outcome = read_outcome(folder.record(task.stem))
    if outcome is None or outcome.name != task.source.name or is_another(Path(outcome.path), task.source.path):
        return pending
    whole = outcome.status == "failed" or folder.holds(task.stem, outcome, previews=settings.previews)
    return outcome if whole else pending
