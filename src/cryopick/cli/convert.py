"""`cryopick convert`: picks from one program's files to another's."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cryopick.cli.arguments import Threshold

if TYPE_CHECKING:
    from cryopick.types import Picks


def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN", help="A file of picks, a folder with a file for each micrograph, or what `cryopick pick` wrote."
        ),
    ],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="A file or folder; files that are there are replaced.")],
    from_format: Annotated[
        str | None, typer.Option("--from", metavar="FORMAT", help="Format of IN, when it cannot be told from the content.")
    ] = None,
    to_format: Annotated[
        str | None, typer.Option("--to", metavar="FORMAT", help="Format of OUT, when its suffix does not tell.")
    ] = None,
    micrographs: Annotated[
        list[str] | None,
        typer.Option(metavar="INPUT", help="The micrographs, a folder or a pattern: gives names, shapes and pixel sizes."),
    ] = None,
    pixel_size: Annotated[float | None, typer.Option(help="Å per pixel; wins over what the files say.")] = None,
    diameter: Annotated[float | None, typer.Option(help="Particle diameter: Å, or pixels without a pixel size.")] = None,
    box: Annotated[int | None, typer.Option(min=1, help="Side of boxes in pixels; the diameter's by default.")] = None,
    downsample: Annotated[
        float, typer.Option(min=1, help="How many times smaller the pictures are that Topaz's coordinates refer to.")
    ] = 1.0,
    threshold: Threshold = None,
) -> None:
    """Convert picks from one program's files to another's.

    Formats: relion (auto-pick job), star (flat), cryosparc-star, cs, box (EMAN1), eman2, cbox (crYOLO), topaz, xmipp, cryoppp,
    csv, coco.
    """
    from dataclasses import replace

    from cryopick.io.micrographs.sources import find_micrographs
    from cryopick.io.picks.formats import detect_format, format_of_name, write_picks
    from cryopick.runs.results import is_run, read_picks_or_run

    to_format = to_format or format_of_name(target)
    from_format = from_format or (None if is_run(source) else detect_format(source))
    sources = find_micrographs(micrographs, pixel_size=pixel_size) if micrographs else None
    picks = read_picks_or_run(source, format=from_format, micrographs=sources, pixel_size=pixel_size, downsample=downsample)
    typer.echo(f"read {_counted(len(picks), sum(map(len, picks)))} from {source} ({from_format or 'a run of cryopick'})")
    if threshold is not None:
        picks = [_above(each, threshold) for each in picks]
    if diameter is not None:
        picks = [replace(each, diameter=diameter, diameters=None) for each in picks]
    write_picks(picks, target, format=to_format, box=box, downsample=downsample)
    typer.echo(f"wrote {_counted(len(picks), sum(map(len, picks)))} to {target} ({to_format})")


def _above(picks: "Picks", threshold: float) -> "Picks":
    from cryopick.errors import SettingError

    if picks.scores is None:
        raise SettingError(f"{picks.micrograph}: its picks have no scores to hold against --threshold")
    return picks.where(picks.scores >= threshold)


def _counted(micrographs: int, picks: int) -> str:
    return f"{picks:,} pick{'s' * (picks != 1)} on {micrographs:,} micrograph{'s' * (micrographs != 1)}"
