"""Picks from and to any program's files. A new format is a module here and a line in `FORMATS`."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from cryopick.errors import FileError
from cryopick.io.picks.base import Glance, KnownMicrographs, PickFormat, Reading, Source, Writing
from cryopick.registry import Registry
from cryopick.types import Picks, checked_pixel_size

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


def read_picks(
    path: Path | str,
    *,
    format: str | None = None,  # noqa: A002
    micrographs: Sequence[Source] | None = None,
    unknown: set[str] | None = None,
    pixel_size: float | None = None,
    downsample: float = 1.0,
) -> list[Picks]:
    """The picks of each micrograph in a file, or in a folder of files.

    Parameters
    ----------
    format : a name in `FORMATS`; told from the content when None.
    micrographs : those that the picks belong to. Names are then matched with theirs and come back as theirs, and shapes
        and pixel sizes that the file lacks are taken from them.
    unknown : where given, names that fit none of the micrographs are added to it, and their picks left out.
    pixel_size : Å per pixel; wins over what the file and the micrographs say.
    downsample : for Topaz, by how much the micrographs it saw had been reduced.

    Raises
    ------
    FileError
        For a file that is no file of picks or has a bad row.
    NameMatchError
        For a name that fits several of the micrographs, or none unless `unknown` takes it.
    CryopickError
        When the micrographs' shapes or pixel sizes are needed and nobody tells them.
    """
    path = Path(path)
    chosen = FORMATS.get(detect_format(path) if format is None else format)()
    if not path.exists():
        raise FileError(path, "does not exist", "Check the path")
    known = KnownMicrographs(micrographs or (), unknown=unknown, file=path)
    found = chosen.read(path, Reading(known, checked_pixel_size(pixel_size, str(path)), downsample))
    return found if unknown is None else [picks for picks in found if picks.micrograph not in unknown]


def write_picks(
    picks: Iterable[Picks],
    path: Path | str,
    *,
    format: str | None = None,  # noqa: A002
    box: int | None = None,
    downsample: float = 1.0,
) -> None:
    """Write picks, taken one micrograph at a time; the bytes depend on the picks alone.

    Parameters
    ----------
    path : a file, or a folder for formats with a file for each micrograph. Files that are there are replaced.
    format : a name in `FORMATS`; chosen by the path's suffix when None.
    box : side in pixels of boxes, for formats that hold boxes; the diameter's when None.
    downsample : for Topaz, by how much the micrographs it sees are reduced.

    Raises `CryopickError` when the format needs shapes, pixel sizes or diameters that the picks lack.
    """
    path = Path(path)
    FORMATS.get(format or format_of_name(path))().write(picks, path, Writing(box, downsample))


def format_of_name(path: Path | str) -> str:
    """The format that is written under a path's suffix when none is named. Raises `FileError` when the suffix tells none."""
    path, known = Path(path), formats_by_suffix()
    if path.suffix.lower() not in known:
        raise FileError(path, f"its suffix {path.suffix!r} tells no format", f"Name one of {', '.join(FORMATS.names)}")
    return known[path.suffix.lower()]


def formats_by_suffix() -> dict[str, str]:
    """The format that each suffix stands for: the first in `FORMATS` that has it, those of a single file before the others."""
    kinds = {name: FORMATS.get(name) for name in FORMATS.names}
    ranked = sorted(kinds, key=lambda name: not kinds[name].single)
    return {kinds[name].suffix: name for name in reversed(ranked)}


def place_in(folder: Path, title: str, *, format: str) -> Path:  # noqa: A002
    """Where a format is written that has a folder to itself: in a file named `title`, or in the folder itself."""
    kind = FORMATS.get(format)
    return folder / f"{title}{kind.suffix}" if kind.single else folder


def detect_format(path: Path | str) -> str:
    """The name of the first format in `FORMATS` that recognises a file or folder. Raises `FileError` when none does."""
    path = Path(path)
    glance = Glance.at(path)
    for name in FORMATS.names:
        if FORMATS.get(name)().recognises(glance):
            return name
    if not (glance.head or glance.entries):
        raise FileError(path, "is empty", "Write it again, or leave it out; a full disk leaves such files")
    raise FileError(path, "is in no format of picks that is known", f"Name its format, one of {', '.join(FORMATS.names)}")
