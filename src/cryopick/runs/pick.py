"""Pick many micrographs into one output folder; an interrupted run can be resumed at any point."""

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cryopick.io.micrographs.sources import MicrographSource
from cryopick.parallel.dask_cluster import DaskPool
from cryopick.pickers.diameter import DiameterEstimate
from cryopick.runs.estimate import prepare_with_diameter, with_recorded_estimate
from cryopick.runs.folder import RunFolder
from cryopick.runs.local import pick_here
from cryopick.runs.outputs import assemble
from cryopick.runs.records import Outcome, file_stems, is_another, name_problem, read_outcome, recorded
from cryopick.runs.settings import RunSettings, build_picker
from cryopick.runs.shards import Shard
from cryopick.runs.task import Build, PickTask, lost, start_picking


@dataclass(frozen=True)
class RunStart:
    """The state of a run before it picks its first micrograph.

    Attributes
    ----------
    total : number of micrographs of this run, or of its shard.
    finished : number of micrographs that an earlier run has finished.
    picks : number of picks on the finished ones.
    """

    total: int
    finished: int
    picks: int


@dataclass(frozen=True)
class RunResult:
    """The outcome of a run.

    Attributes
    ----------
    outcomes : one for each micrograph, in the order of the input; "pending" if it was not reached.
    finished_before : number of micrographs that an earlier run had finished.
    excluded : number of further micrographs with records in the folder, which are excluded from the joint files.
    interrupted : whether the run was stopped, by Ctrl-C for example; its files are complete for the finished micrographs.
    problems : formats that could not be written, with the reason.
    assembled : whether the joint files were written; of several shards, the last one writes them.
    """

    outcomes: list[Outcome]
    finished_before: int
    excluded: int
    interrupted: bool
    problems: list[str]
    assembled: bool = True

    @property
    def failed(self) -> list[Outcome]:
        """Outcomes of the micrographs that failed."""
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
    pool: DaskPool | None = None,
    build: Build = build_picker,
    on_estimate: Callable[[DiameterEstimate], None] = lambda estimate: None,
    on_start: Callable[[RunStart], None] = lambda start: None,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> RunResult:
    """Pick every micrograph without a finished record in `out`, then write the joint files.

    If no diameter is given, it is estimated from a few of the sources or taken from the run that is resumed, see
    `prepare_with_diameter`. All files of picks depend only on the sources and the settings, not on `workers`, shards or
    interruptions. (On GPUs, they also depend on the rounding of sums, which differs between batches.) A micrograph that cannot
    be read or picked is recorded as failed, and tried again by the next run.

    Parameters
    ----------
    workers : number of processes; with 1, this process does the work.
    overwrite : first remove the results of an earlier run.
    shard : pick only this part of the sources while other runs pick the others; the last one writes the joint files.
    relion_job : whether `out` is the folder of a RELION job, which gets the layout of RELION's auto-picking jobs.
    pool : Dask workers to use instead of processes on this machine.
    build : builds the picker, once in each worker; pickled by reference.
    on_estimate : called with the estimated diameter if none was given.
    on_start : called before the first micrograph is picked.
    on_outcome : called with each outcome as it comes, except those of earlier runs.
    should_stop : called after each micrograph; if it returns True, the run stops as with Ctrl-C.

    Raises
    ------
    SettingError
        If `out` holds other files, a run with other settings, or a run in progress that is no shard of this one.
    FileError
        If `out` cannot be written.
    """
    folder, tasks = RunFolder(out, relion_job), _tasks(sources)
    with folder.in_use(shared=shard is not None):
        with folder.one_at_a_time():
            settings = prepare_with_diameter(folder, settings, sources, build, overwrite=overwrite, shared=shard is not None)
        if settings.estimate is not None:
            on_estimate(settings.estimate)
        mine = tasks if shard is None else shard.share(tasks)
        outcomes = {task.stem: _earlier(task, folder, settings) for task in mine}
        left = [task for task in mine if outcomes[task.stem].status != "done"]
        start = _start(outcomes.values())
        on_start(start)
        results = _results(left, folder, settings, build, workers=workers, pool=pool)
        interrupted = _receive(results, outcomes, on_outcome=on_outcome, should_stop=should_stop)
        if interrupted:  # some may be finished but not reported
            unreported = [task for task in left if outcomes[task.stem].status != "done"]
            outcomes |= {task.stem: _earlier(task, folder, settings) for task in unreported}
        last = shard is None or _all_recorded(tasks, folder)
        problems = _assemble(folder, tasks, settings, known=outcomes) if last else []
        excluded = _others(tasks, folder) if last else 0
        return RunResult(list(outcomes.values()), start.finished, excluded, interrupted, problems, assembled=last)


def assemble_run(sources: Sequence[MicrographSource], out: Path, settings: RunSettings) -> RunResult:
    """Write the joint files from the results of shards, without picking. Raises the errors of `run_picking`."""
    folder, tasks = RunFolder(out), _tasks(sources)
    with folder.in_use():
        settings = with_recorded_estimate(folder, settings)
        folder.prepare(settings)
        outcomes = {task.stem: _earlier(task, folder, settings) for task in tasks}
        problems = _assemble(folder, tasks, settings, known=outcomes)
        finished = _start(outcomes.values()).finished
        return RunResult(list(outcomes.values()), finished, _others(tasks, folder), False, problems)


def _start(outcomes: Collection[Outcome]) -> RunStart:
    finished = [outcome for outcome in outcomes if outcome.status == "done"]
    return RunStart(len(outcomes), len(finished), sum(outcome.picks for outcome in finished))


def _results(
    tasks: list[PickTask], folder: RunFolder, settings: RunSettings, build: Build, *, workers: int, pool: DaskPool | None
) -> Generator[tuple[str, Outcome]]:
    """Yield stems and outcomes of the tasks, from Dask workers or from workers on this machine."""
    if pool is None:
        return pick_here(tasks, folder, settings, build, workers=workers)
    start = partial(start_picking, folder, settings, build)
    return pool.run(tasks, start, lost=partial(lost, folder), failed=_has_failed)


def _receive(
    results: Generator[tuple[str, Outcome]],
    outcomes: dict[str, Outcome],
    *,
    on_outcome: Callable[[Outcome], None],
    should_stop: Callable[[], bool],
) -> bool:
    """Add results to `outcomes` as they come; return whether that was interrupted."""
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


def _tasks(sources: Sequence[MicrographSource]) -> list[PickTask]:
    stems = file_stems([source.name for source in sources])
    return [PickTask(source, stem) for source, stem in zip(sources, stems, strict=True)]


def _assemble(folder: RunFolder, tasks: list[PickTask], settings: RunSettings, *, known: Mapping[str, Outcome]) -> list[str]:
    """Write the joint files; outcomes that are not `known` are read from their records."""
    outcomes = ((task.stem, known.get(task.stem) or _earlier(task, folder, settings)) for task in tasks)
    with folder.one_at_a_time():
        return assemble(folder, outcomes, settings)


def _all_recorded(tasks: list[PickTask], folder: RunFolder) -> bool:
    """Return whether each micrograph has been picked or has failed, in any shard."""
    return {f"{task.stem}.json" for task in tasks} <= {path.name for path in folder.record_paths()}


def _others(tasks: list[PickTask], folder: RunFolder) -> int:
    """Return the number of further micrographs with records."""
    stems = {task.stem for task in tasks}
    return sum(record.stem not in stems for record in folder.record_paths())


def _earlier(task: PickTask, folder: RunFolder, settings: RunSettings) -> Outcome:
    """Return the outcome of a micrograph in an earlier run: "done" only if all its files exist."""
    name = recorded(task.source.name)
    pending = Outcome(name=name, path=recorded(str(task.source.path)))
    outcome = read_outcome(folder.record(task.stem))
    if outcome is None or outcome.name != name or is_another(Path(outcome.path), task.source.path):
        return pending
    if outcome.status == "done" and name_problem(name):  # picked by an earlier version
        return pending
    whole = outcome.status == "failed" or folder.holds(task.stem, outcome, previews=settings.previews)
    return outcome if whole else pending
