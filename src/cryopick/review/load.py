"""The input of `cryopick review`: a run, or micrographs with picks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cryopick.errors import CryopickError, FileError
from cryopick.io.datasets.cryoppp import DatasetFolder
from cryopick.io.micrographs.sources import MicrographSource, find_micrographs
from cryopick.io.picks.formats import detect_format, formats_by_suffix
from cryopick.review.session import ReviewMicrograph
from cryopick.runs.folder import RunFolder
from cryopick.runs.results import is_run, read_picks_or_run, read_table
from cryopick.types import Picks, usual_diameter

FOLDER = "review"
"""Folder inside the one under review; a review writes nowhere else."""


@dataclass(frozen=True, eq=False)
class ReviewInput:
    """Micrographs with their picks, in the order of the input.

    Attributes
    ----------
    micrographs : the micrographs to review.
    unknown : names of other micrographs that the picks mention.
    """

    micrographs: list[ReviewMicrograph]
    unknown: list[str]


def load_micrographs(
    folder: Path,
    *,
    picks: Path | None = None,
    micrographs: Sequence[str] | None = None,
    pixel_size: float | None = None,
    diameter: float | None = None,
    downsample: float = 1.0,
) -> ReviewInput:
    """Load the micrographs of a run or a folder with their picks: of the run, from `picks`, from files beside them, or none.

    Parameters
    ----------
    folder : a run, a folder of micrographs, or a folder that contains a folder ``micrographs``.
    picks : a file or folder of any format, or a run; overrides the picks in `folder`.
    micrographs : inputs as for `find_micrographs`, for a run whose micrographs have moved and for folders with picks only.
    pixel_size : Å per pixel; overrides that of the files.
    diameter : particle diameter in Å, or pixels without a pixel size; overrides that of the picks.
    downsample : the factor by which the images of coordinates in files of picks were reduced; does not apply to runs.

    Raises `FileError` for a folder with nothing to review and for micrographs that no longer exist.
    """
    if not folder.is_dir():
        raise FileError(folder, "is not a folder", "Give the output of `cryopick pick`, or a folder of micrographs")
    inputs = list(micrographs) if micrographs else None
    if is_run(folder):
        sources = find_micrographs(inputs, pixel_size=pixel_size) if inputs else _sources_of_run(folder, pixel_size)
    else:
        sources = find_micrographs(inputs or _micrographs_in(folder), pixel_size=pixel_size)
    found, unknown = _picks_for(folder, picks, sources, pixel_size, downsample)
    by_name = {each.micrograph: each for each in found}
    usual = diameter or usual_diameter(found)
    loaded = [ReviewMicrograph(source, _picks_of(source, by_name.get(source.name), diameter, usual)) for source in sources]
    return ReviewInput(loaded, sorted(unknown))


def review_folder(folder: Path) -> Path:
    """Return the folder of the review of `folder`. Raises `FileError` if a link there points outside it."""
    place = folder / FOLDER
    if not place.resolve().is_relative_to(folder.resolve()):
        raise FileError(place, "points outside the folder under review", "Remove this link; a review writes nowhere else")
    return place


def _sources_of_run(folder: Path, pixel_size: float | None) -> list[MicrographSource]:
    rows = [row for row in read_table(RunFolder(folder).table) if row.status == "done"]
    if not rows:
        raise FileError(folder, "is a run without picked micrographs", "See its micrographs.csv for the reasons")
    base = _base_of([row.path for row in rows], folder)
    return [MicrographSource(base / row.path, row.name, pixel_size or row.pixel_size) for row in rows]


def _base_of(paths: Sequence[str], folder: Path) -> Path:
    """Return the folder that the paths of a run are relative to: the present one, or one above the run."""
    for base in [Path(), *folder.resolve().parents]:
        if any((base / path).exists() for path in paths[:50]):
            return base
    remedy = "Mount its disk, start from the folder where the run was started, or name the micrographs with --micrographs"
    raise FileError(paths[0], f"does not exist, although the run {folder} read it", remedy)


def _micrographs_in(folder: Path) -> list[str]:
    inner = DatasetFolder(folder).micrographs
    return [str(inner if inner.is_dir() else folder)]


def _picks_for(
    folder: Path, picks: Path | None, sources: list[MicrographSource], pixel_size: float | None, downsample: float
) -> tuple[list[Picks], set[str]]:
    place = picks or (folder if is_run(folder) else _picks_beside(folder))
    if place is None:
        return [], set()
    return read_known_picks(place, sources, pixel_size, downsample)


def read_known_picks(
    place: Path, sources: Sequence[MicrographSource], pixel_size: float | None, downsample: float = 1.0
) -> tuple[list[Picks], set[str]]:
    """Read the picks of known micrographs, of any format or from a run, and the names of other micrographs in them.

    Raises `CryopickError` if there are picks, but none of a known micrograph.
    """
    unknown: set[str] = set()
    factor = 1.0 if is_run(place) else downsample
    found = read_picks_or_run(place, micrographs=sources, unknown=unknown, pixel_size=pixel_size, downsample=factor)
    if unknown and not found:
        raise CryopickError(f"{place}: has no picks of these micrographs, but of {sorted(unknown)[0]!r}")
    return found, unknown


def _picks_beside(folder: Path) -> Path | None:
    """Find picks in the folder itself or in its ground truth; None if there are none.

    Raises `FileError` if several files may each hold the picks of all micrographs.
    """
    labels = DatasetFolder(folder).coordinates
    if labels.is_dir():
        return labels
    if _looks_like_picks(folder):
        return folder
    known = formats_by_suffix()
    visible = (path for path in sorted(folder.iterdir()) if not path.name.startswith("."))
    files = [path for path in visible if path.suffix.lower() in known and path.is_file()]
    found = [path for path in files if _looks_like_picks(path)]
    if len(found) > 1:
        raise FileError(folder, f"contains {len(found)} files of picks, such as {found[0].name}", "Name one of them with --picks")
    return found[0] if found else None


def _looks_like_picks(path: Path) -> bool:
    try:
        detect_format(path)
    except FileError:
        return False
    return True


def _picks_of(source: MicrographSource, picks: Picks | None, diameter: float | None, usual: float | None) -> Picks:
    """Return the picks of a micrograph, with a diameter if one is known; empty if it has none."""
    if picks is None:
        return Picks(source.name, diameter=usual, pixel_size=source.pixel_size, optics_group=source.optics_group, uid=source.uid)
    return replace(picks, diameter=diameter or picks.diameter or usual)
