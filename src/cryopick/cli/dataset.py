"""`cryopick dataset`: labelled micrographs in the formats that other programs train on."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cryopick.cli.arguments import Box, Diameter, Downsample, PicksOfData, PixelSize, ReadFormat
from cryopick.cli.console import say, warn_skipped
from cryopick.cli.grammar import Command, Commands
from cryopick.messages import counted

if TYPE_CHECKING:
    from cryopick.types import Picks

app = typer.Typer(cls=Commands, help="Write data sets of labelled micrographs for training.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Make `dataset` a group although it has only one command."""


@app.command("coco", cls=Command, no_args_is_help=True)
def coco(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Micrographs, a folder laid out like CryoPPP, or a file of picks beside them.")
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for train.json, val.json and test.json.")],
    picks: PicksOfData = None,
    from_format: ReadFormat = None,
    downsample: Downsample = 1.0,
    diameter: Diameter = None,
    pixel_size: PixelSize = None,
    box: Box = None,
    upside_down: Annotated[
        bool,
        typer.Option("--upside-down", help="Flip the picks, for images that are upside down, such as CryoPPP's JPEGs."),
    ] = False,
    split: Annotated[
        tuple[float, float, float],
        typer.Option(metavar="SHARE...", help="Shares of the micrographs for training, validation and testing."),
    ] = (0.8, 0.1, 0.1),
    seed: Annotated[int, typer.Option(metavar="N", help="Random seed of the split.")] = 0,
) -> None:
    """Write labelled micrographs as COCO JSON.

    There is one category, with a box around each particle.
    """
    from cryopick.io.datasets.coco import write_coco_sets
    from cryopick.train.data.labelled import find_labelled

    found = find_labelled(data, picks, diameter=diameter, pixel_size=pixel_size, format=from_format, downsample=downsample)
    written = write_coco_sets(found.micrographs, out, shares=split, seed=seed, upside_down=upside_down, box=box)
    for part, sets in written.items():
        say(f"{out / part}.json: {_counted(sets)}")
    warn_skipped(found.skipped)
    if found.skipped:
        raise typer.Exit(1)


def _counted(sets: "list[Picks]") -> str:
    particles = sum(map(len, sets))
    return f"{counted(len(sets), 'micrograph')}, {counted(particles, 'particle')}"
