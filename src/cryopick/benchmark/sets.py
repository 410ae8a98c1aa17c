"""Benchmark sets: micrographs with ground truth and the diameter of their particles."""

from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

import msgspec

from cryopick.config import read_yaml
from cryopick.coordinates import length_to_px
from cryopick.errors import FileError, SettingError
from cryopick.files import is_temporary
from cryopick.io.datasets.cryoppp import DatasetFolder
from cryopick.io.micrographs.sources import MicrographSource, find_micrographs
from cryopick.io.names import NameIndex, match_names
from cryopick.io.picks.formats import read_picks
from cryopick.provenance import FileIdentity, file_identity, fingerprint
from cryopick.types import Picks, usual_diameter

LISTS = {".yaml", ".yml"}
SET = "{set}"
"""Placeholder for the name of the set in paths that differ between sets."""


@dataclass(frozen=True, kw_only=True, eq=False)
class BenchmarkSet:
    """Labelled micrographs of one kind of particle.

    Attributes
    ----------
    name : of the set.
    sources : the micrographs with ground truth, in its order.
    truth : the particles of each micrograph.
    negatives : positions marked as not being particles; may be empty.
    diameter : Å, or pixels without a pixel size; given to every method.
    pixel_size : Å; None if unknown.
    border : width in pixels of the margin in which nothing counts.
    empiar : EMPIAR entry of the micrographs, if any.
    """

    name: str
    sources: tuple[MicrographSource, ...]
    truth: tuple[Picks, ...]
    negatives: tuple[Picks, ...] = ()
    diameter: float
    pixel_size: float | None = None
    border: float = 0.0
    empiar: int | None = None

    @property
    def diameter_px(self) -> float:
        """Particle diameter in pixels."""
        return length_to_px(self.diameter, self.pixel_size)

    @property
    def fingerprint(self) -> str:
        """Digest of the labels, these numbers, and the names and file sizes of the micrographs, but not of their pixels."""
        content: list[Any] = [self.name, self.diameter, self.pixel_size, self.border]
        content += [(source.name, source.path.stat().st_size) for source in self.sources]
        content += [(picks.micrograph, picks.xy.tolist()) for picks in (*self.truth, *self.negatives)]
        return fingerprint(*content)


class _Entry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One set in a list of sets; paths are relative to the list."""

    name: str
    micrographs: str
    truth: str
    diameter: float | None = None
    pixel_size: float | None = None
    border: float = 0.0
    negatives: str | None = None
    empiar: int | None = None


def read_sets(path: Path) -> list[BenchmarkSet]:
    """Read the sets of a YAML list, or the single set of a folder.

    In a list, each set has `name`, `micrographs` and `truth` and, optionally, `diameter`, `pixel_size`, `border`, `negatives` and
    `empiar`. A folder has `micrographs/` and `truth/`, or CryoPPP's `ground_truth/`. Without a diameter, the median diameter of
    the ground truth is used. Raises `FileError` if something is missing, and `SettingError` if the list cannot be read.
    """
    if path.suffix.lower() not in LISTS:
        return [_read(_entry_of_folder(path), path.parent)]
    if not path.is_file():
        raise FileError(path, "does not exist", "Give a list of sets, or a folder with micrographs/ and truth/")
    try:
        entries = msgspec.convert(read_yaml(path.read_text(encoding="utf-8")), list[_Entry])
    except (OSError, ValueError) as error:
        raise SettingError(f"{path} is not a list of benchmark sets: {error}") from error
    return [_read(entry, path.parent) for entry in entries]


def _entry_of_folder(path: Path) -> _Entry:
    folder, root = DatasetFolder(path), path.absolute()
    truth = folder.coordinates if folder.coordinates.is_dir() else path / "truth"
    for needed in (folder.micrographs, truth):
        if not needed.is_dir():
            raise FileError(needed, "does not exist", "Give a folder with micrographs/ and truth/, or a YAML list of sets")
    negatives = str(folder.false_positives.absolute()) if folder.false_positives.is_dir() else None
    return _Entry(
        name=root.name, micrographs=str(folder.micrographs.absolute()), truth=str(truth.absolute()), negatives=negatives
    )


def _read(entry: _Entry, root: Path) -> BenchmarkSet:
    sources = find_micrographs(root / entry.micrographs, pixel_size=entry.pixel_size)
    truth = _labels(root / entry.truth, sources, entry.pixel_size)
    if not truth:
        raise FileError(root / entry.truth, "has no ground truth for any micrograph", "Name the files like the micrographs")
    negatives = [] if entry.negatives is None else _labels(root / entry.negatives, sources, entry.pixel_size)
    by_name = {source.name: source for source in sources}
    sizes = {picks.pixel_size for picks in truth}
    pixel_size = sizes.pop() if len(sizes) == 1 else None
    return BenchmarkSet(
        name=entry.name,
        sources=tuple(by_name[picks.micrograph] for picks in truth),
        truth=tuple(truth),
        negatives=tuple(negatives),
        diameter=entry.diameter or _median_diameter(truth, root / entry.truth),
        pixel_size=entry.pixel_size or pixel_size,
        border=entry.border,
        empiar=entry.empiar,
    )


def _labels(path: Path, sources: list[MicrographSource], pixel_size: float | None) -> list[Picks]:
    unknown: set[str] = set()
    return read_picks(path, micrographs=sources, unknown=unknown, pixel_size=pixel_size)


def _median_diameter(truth: list[Picks], path: Path) -> float:
    diameter = usual_diameter(truth)
    if diameter is None:
        raise FileError(path, "has no particle diameter", "Give the diameter in a YAML list of sets")
    return diameter


def on_same_micrographs(found: list[Picks], task: BenchmarkSet) -> list[Picks]:
    """Return the picks that lie on micrographs of the set."""
    index = NameIndex(source.name for source in task.sources)
    known = [picks for picks in found if index.fits(picks.micrograph)]
    match_names([picks.micrograph for picks in known], [source.name for source in task.sources])
    return known


def files_at(path: str) -> list[FileIdentity]:
    """Return the identities of the files at a path; `SET` in the path matches any name."""
    roots = [Path(found) for found in sorted(glob(path.replace(SET, "*")))]  # noqa: PTH207 - an absolute pattern
    files = [file for root in roots for file in (sorted(root.rglob("*")) if root.is_dir() else [root])]
    return [file_identity(file) for file in files if file.is_file() and not is_temporary(file.name)]
