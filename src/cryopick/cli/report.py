"""`cryopick report`: a page about a run."""

from pathlib import Path
from typing import Annotated

import typer

from cryopick.cli.arguments import finite
from cryopick.cli.console import Progress, say


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run (--out of `cryopick pick`).")],
    truth: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Ground truth, a file or folder of picks; adds precision and recall.")
    ] = None,
    from_format: Annotated[
        str | None,
        typer.Option("--from", metavar="FORMAT", help="Format of the ground truth; detected from the content if omitted."),
    ] = None,
    diameter: Annotated[
        float | None,
        typer.Option(
            metavar="ANGSTROM",
            help="Particle diameter for --truth [Å; pixels if the pixel size is unknown]; the picks' own if omitted.",
        ),
    ] = None,
    downsample: Annotated[
        float,
        typer.Option(
            metavar="FACTOR",
            min=1,
            callback=finite,
            help="Factor by which the images of the coordinates in --truth are reduced.",
        ),
    ] = 1.0,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Number of processes for reading micrographs again.  [default: all cores]"),
    ] = None,
) -> None:
    """Write a page about a run.

    RUN/report.html shows the picks, the micrographs to inspect first and the effect of a threshold. It opens in any browser and
    needs no network.
    """
    from cryopick.errors import SettingError
    from cryopick.parallel.process import available_cores, one_thread_for_children

    one_thread_for_children()  # before numpy is imported, for its BLAS
    from cryopick.report.backfill import make_thumbnails, without_thumbnail
    from cryopick.report.page import write_report
    from cryopick.report.summary import read_summaries
    from cryopick.report.truth import compare_with_truth
    from cryopick.runs.folder import RunFolder

    if truth is None and downsample != 1:
        raise SettingError("--downsample is for the ground truth; give it with --truth")
    folder = RunFolder(run)
    comparison = (
        None if truth is None else compare_with_truth(run, truth, format=from_format, diameter=diameter, downsample=downsample)
    )
    missing = without_thumbnail(folder, read_summaries(folder))
    if missing:
        processes = min(workers or available_cores(), len(missing))
        made = make_thumbnails(folder, missing, workers=processes)
        with Progress("reading micrographs", len(missing)) as progress:
            for _ in progress.track(made):
                pass
    say(write_report(run, comparison=comparison))
