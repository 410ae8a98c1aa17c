"""`cryopick pick`: find the particles of many micrographs."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cryopick.cli.arguments import Inputs

if TYPE_CHECKING:
    from rich.progress import Progress

    from cryopick.distributed.records import Outcome
    from cryopick.distributed.run import RunResult
    from cryopick.distributed.settings import RunSettings
    from cryopick.io.sources import MicrographSource

NAMED_FAILURES = 20
INTERRUPTED = 130


def pick(
    inputs: Inputs,
    out: Annotated[Path, typer.Option(help="Folder for the results; one with an unfinished run is gone on with.")],
    picker: Annotated[str | None, typer.Option(help="How to pick: log, template or segnet.  [default: log]")] = None,
    preset: Annotated[str | None, typer.Option(help="Named settings of the picker.")] = None,
    words: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One setting of the picker; repeat.")
    ] = None,
    weights: Annotated[str | None, typer.Option(help="File or name of the network's weights.")] = None,
    sam: Annotated[str | None, typer.Option(help="Segment Anything's weights: a folder, a file, or a Hugging Face id.")] = None,
    denoised: Annotated[
        bool, typer.Option("--denoised", help="The micrographs have been through `cryopick denoise` or the like.")
    ] = False,
    maps: Annotated[Path | None, typer.Option(help="Folder for what the network saw and made of it, as MRC and PNG.")] = None,
    diameter: Annotated[
        float | None, typer.Option(help="Particle diameter in Å (pixels without a pixel size); estimated when not given.")
    ] = None,
    pixel_size: Annotated[float | None, typer.Option(help="Å per pixel; wins over what the files say.")] = None,
    salvage: Annotated[bool, typer.Option("--salvage", help="Pick what there is of truncated MRC files.")] = False,
    threshold: Annotated[
        float | None, typer.Option(help="Least score of a pick, from 0 to 1; the picker's own by default.")
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format", metavar="NAME", help="A further format beside RELION's (`cryopick convert -h` lists them); repeat."
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes, of one thread each.  [default: the cores; 1 on a GPU]")
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="Where to compute; auto takes CUDA where the picker can use it.")
    ] = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start afresh: remove what cryopick wrote in the folder.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of all random numbers.")] = 0,
    previews: Annotated[bool, typer.Option(help="Draw a PNG with circles for each micrograph.")] = True,
) -> None:
    """Find the particles of micrographs and write them for RELION and other programs.

    Run the same command again to go on where a run was stopped.
    """
    from cryopick.distributed.threads import available_cores, one_thread_for_children

    one_thread_for_children()  # before numpy is imported, so that its BLAS obeys
    from cryopick.config import parse_words
    from cryopick.distributed.settings import DEFAULT_PICKER, run_settings
    from cryopick.io.sources import find_micrographs

    named = {"weights": weights, "sam": sam, "denoised": denoised or None, "maps": None if maps is None else str(maps)}
    settings = run_settings(
        picker or DEFAULT_PICKER,
        preset=preset,
        settings={**parse_words(words or []), **{key: value for key, value in named.items() if value is not None}},
        threshold=threshold,
        device=device,
        seed=seed,
        diameter=diameter,
        pixel_size=pixel_size,
        salvage=salvage,
        formats=formats,
        previews=previews,
    )
    sources = find_micrographs(inputs, pixel_size=pixel_size)
    crew = workers or (1 if settings.device == "cuda" else available_cores())
    result = run_with_progress(sources, out, settings, workers=min(crew, len(sources)), overwrite=overwrite)
    _tell(result, out)
    if result.interrupted:
        raise typer.Exit(INTERRUPTED)
    if result.failed or result.problems:
        raise typer.Exit(1)


def run_with_progress(
    sources: "list[MicrographSource]", out: Path, settings: "RunSettings", *, workers: int, overwrite: bool
) -> "RunResult":
    """The run under a progress bar."""
    from cryopick.distributed.run import run_picking

    place = "GPU (CUDA)" if settings.device == "cuda" else "CPU"
    typer.echo(f"{settings.picker} on the {place}, {_count(workers, 'worker')}, {_count(len(sources), 'micrograph')}")
    with _progress_bar() as bar, _stop_on_sigterm():
        task = bar.add_task("picking", total=len(sources), pace="")
        start, counts = time.monotonic(), []

        def advance(outcome: "Outcome") -> None:
            counts.append(outcome.picks)
            pace = f"{len(counts) / (time.monotonic() - start):.2f}/s, {sum(counts) / len(counts):,.0f} picks each"
            bar.update(task, advance=1, pace=pace)

        return run_picking(
            sources,
            out,
            settings,
            workers=workers,
            overwrite=overwrite,
            on_start=lambda kept, total: bar.update(task, completed=kept),
            on_outcome=advance,
        )


@contextmanager
def _stop_on_sigterm() -> Iterator[None]:
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


def _tell(result: "RunResult", out: Path) -> None:
    """Say what there is now, and name what failed."""
    finished = [outcome for outcome in result.outcomes if outcome.status == "done"]
    picks = sum(outcome.picks for outcome in finished)
    earlier = f", {result.kept} of them by an earlier run" if result.kept else ""
    typer.echo(f"{_count(picks, 'particle')} on {_count(len(finished), 'micrograph')}{earlier}: {out / 'particles.star'}")
    if result.left_out:
        typer.echo(f"{_count(result.left_out, 'micrograph')} of earlier runs, not among these inputs, left out of the files")
    noted = sum(bool(outcome.notes) for outcome in finished)
    if noted:
        typer.echo(f"warnings about {_count(noted, 'micrograph')}: column notes of {out / 'micrographs.csv'}")
    for problem in result.problems:
        typer.echo(f"format {problem}", err=True)
    if result.failed:
        typer.echo(f"{_count(len(result.failed), 'micrograph')} failed; the same command tries again:", err=True)
    for outcome in result.failed[:NAMED_FAILURES]:
        typer.echo(f"  {outcome.name}: {outcome.error}", err=True)
    if len(result.failed) > NAMED_FAILURES:
        typer.echo(f"  and {len(result.failed) - NAMED_FAILURES} more: {out / 'micrographs.csv'}", err=True)
    if result.interrupted:
        typer.echo("stopped; the same command goes on from here", err=True)


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
