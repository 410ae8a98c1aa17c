"""A run as the terminal shows it: a progress bar while it goes on, what there is and what failed when it has ended."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

    from cryopick.io.micrographs.sources import MicrographSource
    from cryopick.parallel.dask_cluster import DaskPool
    from cryopick.pickers.diameter import DiameterEstimate
    from cryopick.runs.pick import RunResult
    from cryopick.runs.records import Outcome
    from cryopick.runs.settings import RunSettings
    from cryopick.runs.shards import Shard

NAMED_FAILURES = 20
INTERRUPTED = 130
SMALL_PX = 12
"""Pixels across a particle below which pictures have to be enlarged a lot, and a diameter in nm is likely."""


def run_with_progress(
    sources: "list[MicrographSource]",
    out: Path,
    settings: "RunSettings",
    *,
    workers: int = 1,
    limit: str = "",
    crew: "DaskPool | None" = None,
    overwrite: bool = False,
    shard: "Shard | None" = None,
    relion_job: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> "RunResult":
    """The run under a progress bar; `limit` is what limits the number of workers, in words."""
    from cryopick.runs.pick import run_picking

    place = "GPU (CUDA)" if settings.device == "cuda" else "CPU"
    part = "" if shard is None else f", shard {shard.number} of {shard.count}"
    reason = f" ({limit})" if limit else ""
    many = (
        counted(workers, "worker") + reason if crew is None else f"up to {counted(crew.expected, 'worker')} of {crew.dashboard}"
    )
    typer.echo(f"{settings.picker} on the {place}, {many}, {counted(len(sources), 'micrograph')}{part}")
    if settings.diameter is not None and (doubt := told_small(settings.diameter, sources[0])):
        typer.echo(doubt, err=True)
    with _progress_bar() as bar, stop_on_sigterm():
        task = bar.add_task("picking", total=len(sources), pace="")
        start, total, counts = time.monotonic(), 0, []
        unsaid = settings.diameter is not None

        def advance(outcome: "Outcome") -> None:
            nonlocal total, unsaid
            total += 1
            if outcome.status == "done":
                counts.append(outcome.picks)
                if unsaid and outcome.pixel_size is None:
                    unsaid = False
                    bar.console.print(told_unit(outcome), highlight=False, markup=False, soft_wrap=True)
            each = f", {sum(counts) / len(counts):,.0f} picks each" if counts else ""
            bar.update(task, advance=1, pace=f"{total / (time.monotonic() - start):.2f}/s{each}")

        return run_picking(
            sources,
            out,
            settings,
            workers=workers,
            pool=crew,
            overwrite=overwrite,
            shard=shard,
            relion_job=relion_job,
            on_estimate=lambda estimate: bar.console.print(told_size(estimate), highlight=False, soft_wrap=True),
            on_start=lambda start: bar.update(task, completed=start.finished, total=start.total),
            on_outcome=advance,
            should_stop=should_stop,
        )


@contextmanager
def stop_on_sigterm() -> Iterator[None]:
    """Let SIGTERM, which clusters send some time before they kill, stop the run as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _progress_bar() -> "Progress":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )


def tell(result: "RunResult", out: Path) -> None:
    """Say what there is now, and name what failed."""
    finished = [outcome for outcome in result.outcomes if outcome.status == "done"]
    picks = sum(outcome.picks for outcome in finished)
    earlier = f", {result.finished_before} of them by an earlier run" if result.finished_before else ""
    place = out / "particles.star" if result.assembled else "the last shard writes the files about all micrographs"
    typer.echo(f"{counted(picks, 'particle')} on {counted(len(finished), 'micrograph')}{earlier}: {place}")
    waiting = sum(outcome.status == "pending" for outcome in result.outcomes)
    if waiting and not result.interrupted:
        typer.echo(f"{counted(waiting, 'micrograph')} not picked yet", err=True)
    if result.excluded:
        typer.echo(f"{counted(result.excluded, 'micrograph')} of earlier runs, not among these inputs, left out of the files")
    if finished and not picks:
        typer.echo("nothing was picked: look whether --diameter (Å), the pixel size and --threshold are right", err=True)
    noted = sum(bool(outcome.notes) for outcome in finished)
    if noted:
        typer.echo(f"warnings about {counted(noted, 'micrograph')}: column notes of {out / 'micrographs.csv'}")
    for problem in result.problems:
        typer.echo(f"format {problem}", err=True)
    if result.failed:
        typer.echo(f"{counted(len(result.failed), 'micrograph')} failed; the same command tries again:", err=True)
    for outcome in result.failed[:NAMED_FAILURES]:
        typer.echo(f"  {outcome.name}: {outcome.error.removeprefix(f'{outcome.path}: ')}", err=True)
    if len(result.failed) > NAMED_FAILURES:
        typer.echo(f"  and {len(result.failed) - NAMED_FAILURES} more: {out / 'micrographs.csv'}", err=True)
    if result.interrupted:
        typer.echo(f"stopped with {counted(waiting, 'micrograph')} left; the same command goes on from here", err=True)


def write_page(out: Path) -> None:
    """Write the report and say where it is; the run is what it is without one."""
    from cryopick.errors import CryopickError
    from cryopick.report.page import write_report

    try:
        typer.echo(f"to look at: {write_report(out)}")
    except CryopickError as error:
        typer.echo(f"no report: {error}", err=True)


def exit_code(result: "RunResult") -> int:
    """What the command ends with."""
    if result.interrupted:
        return INTERRUPTED
    finished = all(outcome.status == "done" for outcome in result.outcomes)
    return 0 if finished and not result.problems else 1


def told_size(estimate: "DiameterEstimate") -> str:
    """The line about a diameter that nobody gave."""
    return f"particles look {estimate}; give --diameter to override"


def told_small(diameter: float, source: "MicrographSource") -> str | None:
    """A line about a given diameter that is of few pixels, going by a micrograph's header; None where it is not."""
    from cryopick.errors import CryopickError
    from cryopick.io.micrographs.headers import read_shape

    try:
        pixel_size = source.pixel_size or read_shape(source.path)[1]
    except (OSError, CryopickError):  # the run will name it
        return None
    if pixel_size is None or diameter / pixel_size >= SMALL_PX:
        return None
    across = f"{diameter:g} Å are {diameter / pixel_size:.2g} pixels in {source.name}"
    return f"{across}: particles so small take long. Look whether --diameter is in Å and the pixel size is right"


def told_unit(outcome: "Outcome") -> str:
    """The line about a given diameter where a micrograph says nothing of its pixel size."""
    return f"{outcome.name} has no pixel size: its diameter of {outcome.diameter:g} is taken as pixels; --pixel-size makes it Å"


def counted(number: int, thing: str) -> str:
    """`1,234 micrographs`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
