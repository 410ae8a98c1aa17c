"""Read and write picks in any format. To add one, write a module in this folder and list it in `FORMATS`."""

from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import cast

import numpy as np

from cryopick.checks import checked_path, checked_positive, short
from cryopick.coordinates import inside
from cryopick.errors import FileError, SettingError
from cryopick.files import check_regular
from cryopick.io.micrographs.sources import MicrographInputs, find_micrographs
from cryopick.io.picks.base import Peek, PickFormat, Writing
from cryopick.io.picks.reading import KnownMicrographs, Reading, Source, checked_size
from cryopick.io.tables.cryosparc import refuse_group
from cryopick.registry import Registry
from cryopick.types import Picks, each_picks

FORMATS: Registry[type[PickFormat]] = Registry(
    "pick format",
    {
        "relion": "cryopick.io.picks.relion:RelionJob",
        "star": "cryopick.io.picks.star:FlatStar",
        "cryosparc-star": "cryopick.io.picks.star:CryosparcStar",
        "cs": "cryopick.io.picks.cs:Cs",
        "box": "cryopick.io.picks.box:EmanBox",
        "eman2": "cryopick.io.picks.eman2:Eman2Json",
        "cbox": "cryopick.io.picks.cbox:Cbox",
        "topaz": "cryopick.io.picks.topaz:Topaz",
        "xmipp": "cryopick.io.picks.xmipp:XmippPos",
        "cryoppp": "cryopick.io.picks.cryoppp:CryopppCsv",
        "csv": "cryopick.io.picks.csv:Csv",
        "coco": "cryopick.io.picks.coco:Coco",
    },
    group="cryopick.pick_formats",
)

BOXED = {"box", "cbox", "coco"}
"""Formats that have a box around each pick."""
REDUCED = {"topaz"}
"""Formats whose coordinates belong to reduced images."""
COMPRESSED = {"\x1f": "gzip", "BZh": "bzip2", "PK\x03\x04": "zip", "\ufffd7zXZ": "xz"}
"""First bytes of compressed files."""
FEWEST_TO_JUDGE = 20
"""Number of picks below which all may lie in one corner by chance."""
LARGEST_REDUCED = 0.55
"""Share of width and height within which all picks probably belong to images that were reduced by 2 or more."""


def read_picks(
    path: Path | str,
    *,
    format: str | None = None,  # noqa: A002
    micrographs: MicrographInputs | Source | Sequence[Source] | None = None,
    unknown: set[str] | None = None,
    pixel_size: float | None = None,
    downsample: float = 1.0,
) -> list[Picks]:
    """Read picks from any program's file, or from a folder with a file for each micrograph.

    Parameters
    ----------
    path : the file or folder.
    format : a name in `list_formats`; recognised from the content if omitted.
    micrographs : the micrographs that the picks belong to: as `find_micrographs` takes or returns them, or `Micrograph` objects.
        Names are then matched with theirs and replaced by theirs, and shapes and pixel sizes that the file lacks are taken from
        them.
    unknown : where given, names that match none of the micrographs are added to it, and their picks are skipped.
    pixel_size : Å per pixel; overrides the file's and the micrographs'.
    downsample : the factor by which the images of the file's coordinates and sizes were reduced, as in Topaz's tables.

    Returns
    -------
    list of Picks
        The picks of each micrograph, in the order of the file.

    Raises
    ------
    FileError
        For a file that does not exist, is in no known format or has an invalid row, for picks in tomograms, and for a factor
        if the coordinates are fractions of the image.
    NameMatchError
        For a name that matches several of the micrographs, or none of them unless `unknown` is given.
    CryopickError
        When shapes or pixel sizes are needed to convert the coordinates and neither the file nor the micrographs have them.

    Examples
    --------
    >>> xy, scores = [[10, 20], [30, 40]], [0.9, 0.5]
    >>> write_picks(Picks("a.mrc", xy, scores, data={"class": [1, 2]}), "picks.csv")
    >>> (picks,) = read_picks("picks.csv")
    >>> picks.micrograph, picks.xy.tolist(), picks.data["class"].tolist()
    ('a.mrc', [[10.0, 20.0], [30.0, 40.0]], [1, 2])
    """
    path = checked_path(path, "read_picks(path)")
    check_regular(path)
    chosen = FORMATS.get(detect_format(path) if format is None else format)()
    if not path.exists():
        raise FileError(path, "does not exist", "Check the path")
    checked_factor(downsample)
    known = KnownMicrographs(_sources(micrographs), unknown=unknown, file=path)
    pixel_size = None if pixel_size is None else checked_size(path, "the picks", pixel_size)
    found = chosen.read(path, Reading(known, pixel_size, downsample))
    return found if unknown is None else [picks for picks in found if picks.micrograph not in unknown]


def write_picks(
    picks: Picks | Iterable[Picks],
    path: Path | str,
    *,
    format: str | None = None,  # noqa: A002
    box: int | None = None,
    downsample: float = 1.0,
) -> None:
    """Write picks to a file, or to a folder for formats with a file for each micrograph.

    Existing files are replaced. Files are written atomically, and equal picks give equal bytes.

    Parameters
    ----------
    picks : the picks of one micrograph, or of many; an iterator is consumed one micrograph at a time.
    path : the file or folder.
    format : a name in `list_formats`; chosen by the path's suffix if omitted.
    box : box size in pixels for formats with boxes; the picks' diameter if omitted.
    downsample : for Topaz, the factor by which the images of its coordinates are reduced.

    Raises
    ------
    SettingError
        For arguments in the wrong order, an unknown format, a `box` or `downsample` that is invalid or does not apply to the
        format, and boxes without `box` or a diameter.
    FileError
        When the suffix belongs to no format, or the path is a folder where a file is needed.
    NameMatchError
        When two micrographs would share a name in the file.
    CryopickError
        When the format needs a shape or pixel size that the picks lack.

    Examples
    --------
    >>> write_picks(Picks("a.mrc", [[10, 20]], [0.9]), "one.star")
    >>> both = [Picks("a.mrc", [[10, 20]]), Picks("b.mrc", [[30, 40]])]
    >>> write_picks(both, "boxes", format="box", box=64)
    >>> read_picks("boxes", format="box")[1].xy.tolist()
    [[30.0, 40.0]]
    """
    if not isinstance(path, str | PathLike):
        raise SettingError("write_picks(picks, path): the second argument must be a path; give the picks first")
    every = each_picks(picks, "write_picks(picks, path)")
    path = Path(path)
    name = format or format_of_name(path)
    check_box(name, box)
    if checked_factor(downsample) != 1 and name in FORMATS.own and name not in REDUCED:
        raise SettingError(f"downsample applies to {', '.join(sorted(REDUCED))} only; the format {name} has full coordinates")
    chosen = FORMATS.get(name)
    if chosen.single and path.is_dir():
        raise FileError(path, "is a folder", f"Name a file in it, such as {path / f'particles{chosen.suffix}'}")
    chosen().write(every, path, Writing(box, downsample))


def list_formats() -> list[str]:
    """Return the names of formats that `read_picks`, `write_picks` and `convert` take.

    Examples
    --------
    >>> "star" in list_formats()
    True
    """
    return FORMATS.names


def check_box(format: str, box: int | None, *, option: str = "box") -> None:  # noqa: A002
    """Raise `SettingError`, which names the option, if a box size is given for a format without boxes."""
    if box is not None and format in FORMATS.own and format not in BOXED:
        raise SettingError(f"{option} applies only to {', '.join(sorted(BOXED))}; the format {format} has no boxes")


def conversion_factors(downsample: float, from_format: str | None, to_format: str) -> tuple[float, float]:
    """Return the factors for reading and writing in a conversion: Topaz's tables are written with reduced coordinates.

    Otherwise the factor applies to reading.
    """
    if to_format not in REDUCED:
        return downsample, 1.0
    return (downsample if from_format in REDUCED else 1.0), downsample


def checked_factor(downsample: float) -> float:
    """Return the factor. Raises `SettingError` unless it is positive and finite."""
    return checked_positive(downsample, "downsample", error=SettingError)


def reduced_doubt(every: Sequence[Picks]) -> str | None:
    """Return a sentence about picks that all lie in the upper left corners, like those of reduced images; None otherwise."""
    shares = [(picks.xy / picks.shape_hw[::-1]).max(axis=0) for picks in every if len(picks) and picks.shape_hw is not None]
    share = float(np.max(shares, initial=0.0))
    if sum(map(len, every)) < FEWEST_TO_JUDGE or not 0 < share < LARGEST_REDUCED:
        return None
    return f"all picks lie in the first 1/{1 / share:.0f} of width and height; those of reduced images need --downsample"


def outside_of(every: Sequence[Picks]) -> str | None:
    """Return a sentence about picks that lie outside their micrographs by more than rounding; None if there are none."""
    counts = {
        each.micrograph: int(np.count_nonzero(~inside(each.xy, each.shape_hw, border=-1.0)))
        for each in every
        if each.shape_hw is not None
    }
    outside = sum(counts.values())
    if not outside:
        return None
    first = next(name for name, count in counts.items() if count)
    return f"{outside:,} of {sum(map(len, every)):,} picks lie outside their micrographs, such as {counts[first]:,} on {first}"


def _sources(micrographs: MicrographInputs | Source | Sequence[Source] | None) -> Sequence[Source]:
    """Return the micrographs that were given, found where they are paths."""
    if micrographs is None:
        return ()
    given = [micrographs] if isinstance(micrographs, str | PathLike) or not isinstance(micrographs, Iterable) else [*micrographs]
    if any(isinstance(each, str | PathLike) for each in given):
        return find_micrographs(cast(MicrographInputs, given))
    for each in given:
        if not hasattr(each, "name"):
            raise SettingError(f"micrographs: expected paths or micrographs, got {short(each)}")
    return cast(Sequence[Source], given)


def format_of_name(path: Path | str) -> str:
    """Return the format that a path's suffix belongs to. Raises `FileError` if there is none."""
    path, known = Path(path), formats_by_suffix()
    if path.suffix.lower() not in known:
        raise FileError(path, f"no format has the suffix {path.suffix!r}", f"Name the format, one of {', '.join(FORMATS.names)}")
    return known[path.suffix.lower()]


def formats_by_suffix() -> dict[str, str]:
    """Return the format of each suffix: the first in `FORMATS` that has it, single-file formats before the others."""
    kinds = {name: FORMATS.get(name) for name in FORMATS.names}
    ranked = sorted(kinds, key=lambda name: not kinds[name].single)
    return {kinds[name].suffix: name for name in reversed(ranked)}


def place_in(folder: Path, title: str, *, format: str) -> Path:  # noqa: A002
    """Return the path to write a format to in a folder of its own: a file named `title`, or the folder itself."""
    kind = FORMATS.get(format)
    return folder / f"{title}{kind.suffix}" if kind.single else folder


def detect_format(path: Path | str) -> str:
    """Return the name of the first format in `FORMATS` that recognises a file or folder. Raises `FileError` if none does."""
    path = Path(path)
    check_regular(path)
    refuse_group(path)
    peek = Peek.at(path)
    packed = next((name for start, name in COMPRESSED.items() if peek.head.startswith(start)), None)
    if packed is not None:
        raise FileError(path, f"is compressed ({packed})", "Unpack it first")
    for name in FORMATS.names:
        if FORMATS.get(name)().recognises(peek):
            return name
    if not (peek.head or peek.entries):
        raise FileError(path, "is empty", "Write it again, or omit it; a full disk leaves such files")
    raise FileError(path, "is in no known format of picks", f"Name its format, one of {', '.join(FORMATS.names)}")
