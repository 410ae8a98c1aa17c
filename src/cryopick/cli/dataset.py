"""`cryopick dataset`: labelled micrographs in the form that other programs' training wants."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cryopick.types import Picks

app = typer.Typer(help="Make data sets of labelled micrographs for training.", no_args_is_help=True)
NAMED = 20


@app.callback()
def _group() -> None:
    """A group also while it has one command."""


@app.command("coco", no_args_is_help=True)
def coco(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Micrographs, a folder of CryoPPP's shape, or a file of picks near them.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for train.json, val.json and test.json.")],
    picks: Annotated[
        Path | None, typer.Option(help="The particles, a file or folder of any format, where DATA does not hold them.")
    ] = None,
    from_format: Annotated[str | None, typer.Option("--from", metavar="FORMAT", help="Format of the picks.")] = None,
    diameter: Annotated[
        float | None, typer.Option(help="Particle diameter in Å (pixels without a pixel size); the picks' own by default.")
    ] = None,
    pixel_size: Annotated[float | None, typer.Option(help="Å per pixel; wins over what the files say.")] = None,
    box: Annotated[int | None, typer.Option(min=1, help="Side of boxes in pixels; the diameter's by default.")] = None,
    upside_down: Annotated[
        bool,
        typer.Option("--upside-down", help="The pictures are upside down against the picks, as CryoPPP's JPEGs against MRC."),
    ] = False,
    split: Annotated[
        tuple[float, float, float], typer.Option(help="Shares of the micrographs to train, validate and test on.")
    ] = (0.8, 0.1, 0.1),
    seed: Annotated[int, typer.Option(help="Of the split.")] = 0,
) -> None:
    """Write labelled micrographs as COCO JSON: one category, a box as wide as the particle around each."""
    from cryopick.io.datasets.coco import write_coco_sets
    from cryopick.train.data.labelled import find_labelled

    found = find_labelled(data, picks, diameter=diameter, pixel_size=pixel_size, format=from_format)
    written = write_coco_sets(found.micrographs, out, shares=split, seed=seed, upside_down=upside_down, box=box)
    for part, sets in written.items():
        typer.echo(f"{out / part}.json: {_counted(sets)}")
    for skipped in found.skipped[:NAMED]:
        typer.echo(f"left out: {skipped}", err=True)
    if len(found.skipped) > NAMED:
        typer.echo(f"left out: {len(found.skipped) - NAMED} more", err=True)
    if found.skipped:
        raise typer.Exit(1)


def _counted(sets: "list[Picks]") -> str:
    particles = sum(map(len, sets))
    return f"{len(sets):,} micrograph{'s' * (len(sets) != 1)}, {particles:,} particle{'s' * (particles != 1)}"
