"""`cryopick watch`: pick micrographs as they come from the microscope."""

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cryopick.cli.arguments import PickOptions, with_groups

if TYPE_CHECKING:
    from cryopick.runs.records import Outcome
    from cryopick.runs.watch import WatchStatus

TELL_SECONDS = 60.0


@with_groups
def watch(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="The folder that micrographs come into, or a pattern in quotes ('raw/**/*.mrc'), or a list that grows.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results; one of an earlier watch or run is gone on with.")],
    how: PickOptions,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes.  [default: as many as cores, or as the GPUs have room for]")
    ] = None,
    settle: Annotated[float, typer.Option(min=0, help="A file is whole that has not changed for so many seconds.")] = 10.0,
    poll: Annotated[float, typer.Option(min=0.1, help="Seconds between two listings of the folder.")] = 5.0,
    refresh: Annotated[float, typer.Option(min=0, help="Seconds between two writings of particles.star and the like.")] = 30.0,
    until_idle: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="End when nothing new has come for so long.  [default: never]")
    ] = None,
    report: Annotated[bool, typer.Option(help="Keep report.html, a page about all that is picked, up to date.")] = True,
) -> None:
    """Pick each micrograph as soon as it is written.

    Ctrl-C or SIGTERM ends it.

    Run the same command again to go on: nothing is lost, and nothing is picked twice.
    """
    from cryopick.parallel.process import available_cores, one_thread_for_children

    one_thread_for_children()  # before numpy is imported, so that its BLAS obeys
    from cryopick.cli.progress import counted, stop_on_sigterm, write_page
    from cryopick.runs.local import gpu_workers
    from cryopick.runs.watch import Pace, watch_folder

    settings = how.run_settings(thumbnails=report)
    crew = workers or (gpu_workers() if settings.device == "cuda" else available_cores())
    typer.echo(f"{settings.picker} with {counted(crew, 'worker')} watches {', '.join(inputs)}; end with Ctrl-C")
    journal = _Journal()
    with stop_on_sigterm():
        status = watch_folder(
            inputs,
            out,
            settings,
            workers=crew,
            pace=Pace(settle=settle, poll=poll, refresh=refresh, until_idle=until_idle),
            on_status=journal.status,
            on_outcome=journal.outcome,
            background=partial(_refresh_page, out) if report else None,
        )
    typer.echo(f"ended: {_counts(status)}: {out / 'particles.star'}")
    if report and status.done + status.failed:
        write_page(out)
    raise typer.Exit(1 if status.failed else 0)


def _refresh_page(out: Path) -> None:
    """Write the report of a run that goes on; what fails today is tried again at the next turn."""
    from cryopick.errors import CryopickError
    from cryopick.report.page import write_report

    try:
        write_report(out)
    except (CryopickError, FileNotFoundError) as error:  # a micrograph that is gone takes its record along
        _say(f"report.html stays as it was: {error}", err=True)


class _Journal:
    """Lines with the time: where it stands now and then, failures and troubles at once and once."""

    def __init__(self) -> None:
        self.trouble = ""
        self.behind = False
        self.counts = ""
        self.when = 0.0

    def status(self, status: "WatchStatus") -> None:
        if status.problem and status.problem != self.trouble:
            _say(status.problem, err=True)
        self.trouble = status.problem
        counts = _counts(status)
        is_time = counts != self.counts and time.monotonic() - self.when >= TELL_SECONDS
        if is_time or status.is_behind != self.behind:
            _say(counts + (_lateness(status) if status.is_behind else ""), err=status.is_behind)
            self.counts, self.behind, self.when = counts, status.is_behind, time.monotonic()

    def outcome(self, outcome: "Outcome") -> None:
        if outcome.status == "failed":
            _say(f"{outcome.name} failed: {outcome.error}", err=True)


def _counts(status: "WatchStatus") -> str:
    parts = {"failed": status.failed, "waiting": status.waiting, "being written": status.settling}
    return ", ".join([f"{status.done:,} picked", *(f"{number:,} {name}" for name, number in parts.items() if number)])


def _lateness(status: "WatchStatus") -> str:
    pace = f"{status.arrived} came and {status.picked} were picked in the last ten minutes"
    wait = f"the oldest has waited for {status.longest_wait / 60:.0f} minutes"
    return f". BEHIND: {wait}; {pace}. Give more --workers or another picker"


def _say(text: str, *, err: bool) -> None:
    typer.echo(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}", err=err)
