"""Output of a picking run on the terminal: progress, results and failures."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cryopick.cli.console import Progress, print_errors, say, warn
from cryopick.cli.grammar import INTERRUPTED
from cryopick.messages import counted

if TYPE_CHECKING:
    from cryopick.io.micrographs.sources import MicrographSource
    from cryopick.parallel.dask_cluster import DaskPool
    from cryopick.pickers.diameter import DiameterEstimate
    from cryopick.runs.pick import RunResult, RunStart
    from cryopick.runs.records import Outcome
    from cryopick.runs.settings import RunSettings
    from cryopick.runs.shards import Shard

NAMED_FAILURES = 20
SMALL_PX = 12
"""Diameter in pixels below which micrographs are enlarged a lot, and the diameter was probably given in nm."""


def run_with_progress(
    sources: "list[MicrographSource]",
    out: Path,
    settings: "RunSettings",
    *,
    workers: int = 1,
    limit: str = "",
    pool: "DaskPool | None" = None,
    overwrite: bool = False,
    shard: "Shard | None" = None,
    relion_job: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> "RunResult":
    """Pick with a progress bar; `limit` describes what limits the number of workers."""
    from cryopick.runs.pick import run_picking

    place = "GPU (CUDA)" if settings.device == "cuda" else "CPU"
    part = "" if shard is None else f", shard {shard.number} of {shard.count}"
    reason = f" ({limit})" if limit else ""
    many = (
        counted(workers, "worker") + reason if pool is None else f"up to {counted(pool.expected, 'worker')} of {pool.dashboard}"
    )
    say(f"{settings.picker} on the {place}, {many}, {counted(len(sources), 'micrograph')}{part}")
    if settings.diameter is not None and (doubt := small_diameter(settings.diameter, sources[0])):
        warn(doubt)
    with Progress("picking", len(sources)) as progress, stop_on_sigterm():
        tally = _Tally(progress, diameter_given=settings.diameter is not None)
        return run_picking(
            sources,
            out,
            settings,
            workers=workers,
            pool=pool,
            overwrite=overwrite,
            shard=shard,
            relion_job=relion_job,
            on_estimate=lambda estimate: progress.say(estimated_diameter(estimate)),
            on_start=tally.start,
            on_outcome=tally.add,
            should_stop=should_stop,
        )


class _Tally:
    """Number of picks of a run so far, including those of earlier runs."""

    def __init__(self, progress: Progress, *, diameter_given: bool) -> None:
        self._progress = progress
        self._micrographs = self._picks = 0
        self._unit_unknown = diameter_given

    def start(self, start: "RunStart") -> None:
        done = start.finished
        if done:
            self._progress.say(f"{done:,} of {counted(start.total, 'micrograph')} {_were(done)} picked by an earlier run")
        self._micrographs, self._picks = done, start.picks
        self._progress.start(total=start.total, done=done)

    def add(self, outcome: "Outcome") -> None:
        if outcome.status == "done":
            self._micrographs += 1
            self._picks += outcome.picks
            if self._unit_unknown and outcome.pixel_size is None:
                self._unit_unknown = False
                self._progress.say(diameter_in_pixels(outcome))
        average = f"{self._picks / self._micrographs:,.0f} picks each" if self._micrographs else ""
        self._progress.advance(average)


@contextmanager
def stop_on_sigterm() -> Iterator[None]:
    """Let SIGTERM, which clusters send some time before they kill a job, stop the run like Ctrl-C."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def report_result(result: "RunResult", out: Path) -> None:
    """Print the results, and name the failed micrographs."""
    finished = [outcome for outcome in result.outcomes if outcome.status == "done"]
    picks = sum(outcome.picks for outcome in finished)
    earlier = f", {result.finished_before:,} of them from an earlier run" if result.finished_before else ""
    place = out / "particles.star" if result.assembled else "the last shard writes the joint files"
    say(f"{counted(picks, 'particle')} on {counted(len(finished), 'micrograph')}{earlier}: {place}")
    waiting = sum(outcome.status == "pending" for outcome in result.outcomes)
    if waiting and not result.interrupted:
        warn(f"{counted(waiting, 'micrograph')} not picked yet")
    if result.excluded:
        say(f"{counted(result.excluded, 'micrograph')} of earlier runs excluded from the files, because not among these inputs")
    if finished and not picks:
        warn("no particles found: check --diameter (in Å), --pixel-size and --threshold")
    noted = sum(bool(outcome.notes) for outcome in finished)
    if noted:
        say(f"{counted(noted, 'micrograph')} with warnings: see the column notes of {out / 'micrographs.csv'}")
    for problem in result.problems:
        warn(f"format {problem}")
    if result.failed:
        _name_failures(result.failed, out)
    if result.interrupted:
        warn(f"stopped with {counted(waiting, 'micrograph')} left; run the same command again to resume")


def _name_failures(failed: "list[Outcome]", out: Path) -> None:
    warn(f"{counted(len(failed), 'micrograph')} failed; run the same command to try again:")
    lines = [f"  {outcome.name}: {outcome.error.removeprefix(f'{outcome.path}: ')}" for outcome in failed[:NAMED_FAILURES]]
    if len(failed) > NAMED_FAILURES:
        lines.append(f"  and {len(failed) - NAMED_FAILURES:,} more: {out / 'micrographs.csv'}")
    print_errors(lines)


def write_page(out: Path) -> None:
    """Write the report and print its path; the run does not fail if the report cannot be written."""
    from cryopick.errors import CryopickError
    from cryopick.report.page import write_report

    try:
        say(f"report: {write_report(out)}")
    except CryopickError as error:
        warn(f"no report: {error}")


def exit_code(result: "RunResult") -> int:
    """Return the exit code of the command."""
    if result.interrupted:
        return INTERRUPTED
    finished = all(outcome.status == "done" for outcome in result.outcomes)
    return 0 if finished and not result.problems else 1


def estimated_diameter(estimate: "DiameterEstimate") -> str:
    """Return the line about an estimated diameter."""
    return f"particle diameter: {estimate}; --diameter overrides it"


def small_diameter(diameter: float, source: "MicrographSource") -> str | None:
    """Return a warning if a given diameter is only few pixels, by the header of a micrograph; otherwise None."""
    from cryopick.coordinates import length_to_px
    from cryopick.errors import CryopickError
    from cryopick.io.micrographs.headers import read_shape

    try:
        pixel_size = source.pixel_size or read_shape(source.path)[1]
    except (OSError, CryopickError):  # the run will report it
        return None
    if pixel_size is None:
        return None
    diameter_px = length_to_px(diameter, pixel_size)
    if diameter_px >= SMALL_PX:
        return None
    across = f"{diameter:g} Å are only {diameter_px:.2g} pixels in {source.name}"
    return f"{across}, and picking is slow for such small particles; check --diameter (in Å) and --pixel-size"


def diameter_in_pixels(outcome: "Outcome") -> str:
    """Return the line about a given diameter if the pixel size of a micrograph is unknown."""
    return f"{outcome.name} has no pixel size: --diameter {outcome.diameter:g} is in pixels; with --pixel-size it is in Å"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"
