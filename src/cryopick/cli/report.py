"""`cryopick report`: a run as a page in the browser."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="What `cryopick pick` wrote.")],
    truth: Annotated[
        Path | None, typer.Option(help="True particles, a file or folder of any format: draws precision against recall.")
    ] = None,
    diameter: Annotated[
        float | None, typer.Option(help="For --truth: Å, or pixels without a pixel size. Else the truth's, or the picks'.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes, where micrographs have to be read again.")] = None,
) -> None:
    """Write a page about a run, DIR/report.html.

    What was picked, where to look first, and where to set the threshold.

    The page needs no network and no server; open it with a browser.
    """
    from cryopick.parallel.process import available_cores, one_thread_for_children

    one_thread_for_children()  # before numpy is imported, so that its BLAS obeys
    from cryopick.report.backfill import make_glimpses, without_glimpse
    from cryopick.report.page import write_report
    from cryopick.report.summary import read_summaries
    from cryopick.report.truth import compare_with_truth
    from cryopick.runs.folder import RunFolder

    folder = RunFolder(run)
    comparison = None if truth is None else compare_with_truth(run, truth, diameter=diameter)
    missing = without_glimpse(folder, read_summaries(folder))
    if missing:
        crew = min(workers or available_cores(), len(missing))
        made = make_glimpses(folder, missing, workers=crew)
        with typer.progressbar(made, length=len(missing), label="reading micrographs") as stems:
            for _ in stems:
                pass
    typer.echo(write_report(run, comparison=comparison))
