"""`cryopick watch`: pick micrographs as they arrive from the microscope."""

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cryopick.cli.arguments import PickOptions, with_groups
from cryopick.cli.console import say
from cryopick.messages import counted

if TYPE_CHECKING:
    from cryopick.runs.records import Outcome
    from cryopick.runs.watch import WatchStatus

STATUS_SECONDS = 60.0


@with_groups
def watch(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help="Folder to watch, quoted pattern ('raw/**/*.mrc') or growing list of micrographs.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the results; an earlier run there is resumed.")],
    how: PickOptions,
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Number of processes.  [default: as cores or GPUs allow]")
    ] = None,
    settle: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="Time without change after which a file is complete [s].")
    ] = 10.0,
    poll: Annotated[float, typer.Option(metavar="SECONDS", min=0.1, help="Time between two listings of the folder [s].")] = 5.0,
    refresh: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="Time between two updates of the joint files [s].")
    ] = 30.0,
    until_idle: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Time without new files after which to end [s].  [default: never]")
    ] = None,
    report: Annotated[bool, typer.Option(help="Keep report.html, a page about the run, up to date.")] = True,
) -> None:
    """Pick each micrograph as soon as it is written.

    End with Ctrl-C or SIGTERM. Run the same command again to resume.
    """
    from cryopick.parallel.process import available_cores, one_thread_for_children

    one_thread_for_children()  # before numpy is imported, for its BLAS
    from cryopick.cli.picking import stop_on_sigterm, write_page
    from cryopick.runs.local import gpu_workers
    from cryopick.runs.watch import Pace, watch_folder

    settings = how.run_settings(thumbnails=report)
    processes = workers or (gpu_workers() if settings.device == "cuda" else available_cores())
    say(f"{settings.picker}, {counted(processes, 'worker')}, watching {', '.join(inputs)}; end with Ctrl-C")
    log = _StatusLog()
    with stop_on_sigterm():
        status = watch_folder(
            inputs,
            out,
            settings,
            workers=processes,
            pace=Pace(settle=settle, poll=poll, refresh=refresh, until_idle=until_idle),
            on_status=log.status,
            on_outcome=log.outcome,
            background=partial(_refresh_page, out) if report else None,
        )
    say(f"ended: {_counts(status)}: {out / 'particles.star'}")
    if report and status.done + status.failed:
        write_page(out)
    raise typer.Exit(1 if status.failed else 0)


def _refresh_page(out: Path) -> None:
    """Update the report of a running watch; after a failure, the next call tries again."""
    from cryopick.errors import CryopickError
    from cryopick.report.page import write_report

    try:
        write_report(out)
    except (CryopickError, FileNotFoundError) as error:  # a removed micrograph also removes its record
        _log(f"report.html could not be updated: {error}", err=True)


class _StatusLog:
    """Log of dated lines: the state at intervals, failures and other problems at once."""

    def __init__(self) -> None:
        self.problem = ""
        self.behind = False
        self.counts = ""
        self.when = 0.0

    def status(self, status: "WatchStatus") -> None:
        if status.problem and status.problem != self.problem:
            _log(status.problem, err=True)
        self.problem = status.problem
        counts = _counts(status)
        is_time = counts != self.counts and time.monotonic() - self.when >= STATUS_SECONDS
        if is_time or status.is_behind != self.behind:
            _log(counts + (_lateness(status) if status.is_behind else ""), err=status.is_behind)
            self.counts, self.behind, self.when = counts, status.is_behind, time.monotonic()

    def outcome(self, outcome: "Outcome") -> None:
        if outcome.status == "failed":
            _log(f"{outcome.name} failed: {outcome.error}", err=True)


def _counts(status: "WatchStatus") -> str:
    parts = {"failed": status.failed, "waiting": status.waiting, "being written": status.settling}
    return ", ".join([f"{status.done:,} picked", *(f"{number:,} {name}" for name, number in parts.items() if number)])


def _lateness(status: "WatchStatus") -> str:
    pace = f"{status.arrived} arrived and {status.picked} were picked in the last ten minutes"
    waited = counted(round(status.longest_wait / 60), "minute")
    return f". BEHIND: the oldest has waited {waited}; {pace}. Give more --workers or choose a faster --picker"


def _log(text: str, *, err: bool) -> None:
    typer.echo(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}", err=err)
