"""`cryopick convert`: picks from one file format to another."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cryopick.cli.arguments import Box, Diameter, PixelSize, Threshold, finite
from cryopick.cli.console import say, warn
from cryopick.messages import counted

if TYPE_CHECKING:
    from cryopick.types import Picks


def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN", help="File of picks, folder with one file per micrograph, or folder of a run.", show_default=False
        ),
    ],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="File or folder to write; existing files are replaced.")],
    from_format: Annotated[
        str | None, typer.Option("--from", metavar="FORMAT", help="Format of IN; detected from the content if omitted.")
    ] = None,
    to_format: Annotated[
        str | None, typer.Option("--to", metavar="FORMAT", help="Format of OUT; taken from the suffix if omitted.")
    ] = None,
    micrographs: Annotated[
        list[str] | None,
        typer.Option(metavar="INPUT", help="Micrographs of the picks, for names, shapes and pixel sizes; repeatable."),
    ] = None,
    pixel_size: PixelSize = None,
    diameter: Diameter = None,
    box: Box = None,
    downsample: Annotated[
        float,
        typer.Option(
            metavar="FACTOR",
            min=1,
            callback=finite,
            help="Factor by which the images of the coordinates in IN are reduced or, if OUT is Topaz's table, of those in OUT.",
        ),
    ] = 1.0,
    threshold: Threshold = None,
) -> None:
    """Convert picks between file formats.

    Formats: relion (auto-pick job), star (flat), cryosparc-star, cs, box (EMAN1), eman2, cbox (crYOLO), topaz, xmipp, cryoppp,
    csv, coco.
    """
    from dataclasses import replace

    from cryopick.errors import CryopickError
    from cryopick.io.micrographs.sources import find_micrographs
    from cryopick.io.picks.formats import check_box, conversion_factors, detect_format, format_of_name, write_picks
    from cryopick.runs.results import is_run, read_picks_or_run

    to_format = to_format or format_of_name(target)
    from_format = from_format or (None if is_run(source) else detect_format(source))
    check_box(to_format, box, option="--box")
    reading, writing = conversion_factors(downsample, from_format, to_format)
    sources = find_micrographs(micrographs, pixel_size=pixel_size) if micrographs else None
    picks = read_picks_or_run(source, format=from_format, micrographs=sources, pixel_size=pixel_size, downsample=reading)
    about = f"{from_format or 'run of cryopick'}{_reduced(reading)}"
    say(f"read {_counted(len(picks), sum(map(len, picks)))} from {source} ({about})")
    if threshold is not None:
        picks = [_above(each, threshold) for each in picks]
    if diameter is not None:
        picks = [replace(each, diameter=diameter, diameters=None) for each in picks]
    try:
        write_picks(picks, target, format=to_format, box=box, downsample=writing)
        left_out = []
    except CryopickError as error:
        left_out = [each for each in picks if each.shape_hw is None] if sources else []
        if len(left_out) in {0, len(picks)}:
            raise
        warn(f"{error}; {counted(len(left_out), 'micrograph')} excluded because their files cannot be read")
        picks = [each for each in picks if each.shape_hw is not None]
        write_picks(picks, target, format=to_format, box=box, downsample=writing)
    say(f"wrote {_counted(len(picks), sum(map(len, picks)))} to {target} ({to_format}{_reduced(writing)})")
    if left_out:
        raise typer.Exit(1)


def _reduced(factor: float) -> str:
    return "" if factor == 1 else f", images reduced by a factor of {factor:g}"


def _above(picks: "Picks", threshold: float) -> "Picks":
    from cryopick.errors import SettingError

    if picks.scores is None:
        raise SettingError(f"{picks.micrograph}: --threshold needs scores, and these picks have none")
    return picks.where(picks.scores >= threshold)


def _counted(micrographs: int, picks: int) -> str:
    return f"{counted(picks, 'pick')} on {counted(micrographs, 'micrograph')}"
