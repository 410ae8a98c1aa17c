"""What `cryopick review` is pointed at: a run, or micrographs with picks, as subjects of a review."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cryopick.errors import CryopickError, FileError
from cryopick.io.datasets.cryoppp import DatasetFolder
from cryopick.io.micrographs.sources import MicrographSource, find_micrographs
from cryopick.io.picks.formats import detect_format, formats_by_suffix, read_picks
from cryopick.review.session import Subject
from cryopick.runs.folder import RunFolder
from cryopick.runs.results import is_run, run_picks
from cryopick.types import Picks, usual_diameter

FOLDER = "review"
"""Below the folder that is reviewed; all that a review writes lies in it."""


@dataclass(frozen=True, eq=False)
class Opened:
    """Micrographs with their picks, in the order of the input.

    Attributes
    ----------
    unknown : names of micrographs that have picks and are not among the subjects.
    """

    subjects: list[Subject]
    unknown: list[str]


def open_subjects(
    folder: Path,
    *,
    picks: Path | None = None,
    micrographs: Sequence[str] | None = None,
    pixel_size: float | None = None,
    diameter: float | None = None,
) -> Opened:
    """The micrographs of a run or of a folder, with picks of the run, of `picks`, of files beside them, or without any.

    Parameters
    ----------
    folder : of a run, of micrographs, or one with a folder `micrographs` in it.
    picks : a file or folder of any format, or a run; wins over what `folder` has.
    micrographs : inputs as of `find_micrographs`; for a run whose micrographs have moved, and folders that hold picks alone.
    diameter : of the particles in Å, or pixels without a pixel size; wins over the picks' own.

    Raises `FileError` for a folder with nothing to review and for micrographs that are not where the run read them.
    """
    if not folder.is_dir():
        raise FileError(folder, "is not a folder", "Give the output of `cryopick pick`, or a folder of micrographs")
    inputs = list(micrographs) if micrographs else None
    if is_run(folder):
        sources = find_micrographs(inputs, pixel_size=pixel_size) if inputs else _sources_of_run(folder, pixel_size)
    else:
        sources = find_micrographs(inputs or _micrographs_in(folder), pixel_size=pixel_size)
    found, unknown = _picks_for(folder, picks, sources, pixel_size)
    by_name = {each.micrograph: each for each in found}
    usual = diameter or usual_diameter(found)
    subjects = [Subject(source, _picks_of(source, by_name.get(source.name), diameter, usual)) for source in sources]
    return Opened(subjects, sorted(unknown))


def review_folder(folder: Path) -> Path:
    """Where the review of a folder lies. Raises `FileError` when a link there leads out of it."""
    place = folder / FOLDER
    if not place.resolve().is_relative_to(folder.resolve()):
        raise FileError(place, "leads out of the folder that is reviewed", "Remove this link; a review writes nowhere else")
    return place


def _sources_of_run(folder: Path, pixel_size: float | None) -> list[MicrographSource]:
    with RunFolder(folder).table.open(encoding="utf-8", errors="surrogateescape", newline="") as table:
        rows = [row for row in csv.DictReader(table) if row["status"] == "done"]
    if not rows:
        raise FileError(folder, "is a run that has picked no micrograph", "See its micrographs.csv for the reasons")
    base = _base_of([row["path"] for row in rows], folder)
    return [
        MicrographSource(base / row["path"], row["name"], pixel_size or (float(row["pixel_size"]) if row["pixel_size"] else None))
        for row in rows
    ]


def _base_of(paths: Sequence[str], folder: Path) -> Path:
    """The folder that a run's paths start from: the present one, or one above the run."""
    for base in [Path(), *folder.resolve().parents]:
        if any((base / path).exists() for path in paths[:50]):
            return base
    remedy = "Mount their disk, start from the folder where the run was started, or name them with --micrographs"
    raise FileError(paths[0], f"is not there, where the run {folder} read it", remedy)


def _micrographs_in(folder: Path) -> list[str]:
    inner = DatasetFolder(folder).micrographs
    return [str(inner if inner.is_dir() else folder)]


def _picks_for(
    folder: Path, picks: Path | None, sources: list[MicrographSource], pixel_size: float | None
) -> tuple[list[Picks], set[str]]:
    place = picks or (folder if is_run(folder) else _picks_beside(folder))
    if place is None:
        return [], set()
    return read_known_picks(place, sources, pixel_size)


def read_known_picks(place: Path, sources: Sequence[MicrographSource], pixel_size: float | None) -> tuple[list[Picks], set[str]]:
    """Picks of any format or a run on known micrographs, and the names of the others.

    Raises `CryopickError` when none of the picks lies on a known micrograph.
    """
    unknown: set[str] = set()
    read = run_picks if is_run(place) else read_picks
    found = read(place, micrographs=sources, unknown=unknown, pixel_size=pixel_size)
    if unknown and not found:
        raise CryopickError(f"{place}: none of its picks lies on these micrographs; it has {sorted(unknown)[0]!r}")
    return found, unknown


def _picks_beside(folder: Path) -> Path | None:
    """Picks that lie in the folder itself or in its ground truth; None where nothing looks like picks.

    Raises `FileError` where several files each may hold the picks of all micrographs.
    """
    labels = DatasetFolder(folder).coordinates
    if labels.is_dir():
        return labels
    if _looks_like_picks(folder):
        return folder
    known = formats_by_suffix()
    files = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in known and path.is_file()]
    found = [path for path in files if _looks_like_picks(path)]
    if len(found) > 1:
        raise FileError(folder, f"holds {len(found)} files of picks, such as {found[0].name}", "Name one of them with --picks")
    return found[0] if found else None


def _looks_like_picks(path: Path) -> bool:
    try:
        detect_format(path)
    except FileError:
        return False
    return True


def _picks_of(source: MicrographSource, picks: Picks | None, diameter: float | None, usual: float | None) -> Picks:
    """The micrograph's picks with a diameter where one is known; none where nothing was found on it."""
    if picks is None:
        return Picks(source.name, diameter=usual, pixel_size=source.pixel_size, optics_group=source.optics_group, uid=source.uid)
    return replace(picks, diameter=diameter or picks.diameter or usual)
