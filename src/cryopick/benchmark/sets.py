"""What pickers are held against: micrographs with their truth, and how large the particles are."""

from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

import msgspec

from cryopick.coordinates import length_to_px
from cryopick.errors import FileError, SettingError
from cryopick.io.datasets.cryoppp import DatasetFolder
from cryopick.io.micrographs.sources import MicrographSource, find_micrographs
from cryopick.io.names import match_names, stem
from cryopick.io.picks.formats import read_picks
from cryopick.provenance import FileIdentity, file_identity, fingerprint
from cryopick.types import Picks, usual_diameter

LISTS = {".yaml", ".yml"}
SET = "{set}"
"""Stands for a set's name in paths of which each set has one of its own."""


@dataclass(frozen=True, kw_only=True, eq=False)
class BenchmarkSet:
    """Labelled micrographs of one kind of particle.

    Attributes
    ----------
    sources : the micrographs that have a truth, in its order.
    truth, negatives : for each of them its particles, and places that somebody marked as none; the latter may be empty.
    diameter : Å where the pixel size is known, else pixels; every picker is told.
    border : pixels along the edges where nothing counts.
    empiar : number of the EMPIAR entry that the micrographs are from.
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
        return length_to_px(self.diameter, self.pixel_size)

    @property
    def fingerprint(self) -> str:
        """Changes with the labels, the numbers above and the micrographs' names and sizes; their pixels are not read."""
        content: list[Any] = [self.name, self.diameter, self.pixel_size, self.border]
        content += [(source.name, source.path.stat().st_size) for source in self.sources]
        content += [(picks.micrograph, picks.xy.tolist()) for picks in (*self.truth, *self.negatives)]
        return fingerprint(*content)


class _Entry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One set as a list of sets describes it; paths are relative to the list."""

    name: str
    micrographs: str
    truth: str
    diameter: float | None = None
    pixel_size: float | None = None
    border: float = 0.0
    negatives: str | None = None
    empiar: int | None = None


def read_sets(path: Path) -> list[BenchmarkSet]:
    """The sets of a YAML list, or the one set of a folder.

    A list has for each set `name`, `micrographs`, `truth`, and where they apply `diameter`, `pixel_size`, `border`, `negatives`
    and `empiar`. A folder has `micrographs/` and `truth/`, or CryoPPP's `ground_truth/`. Without a diameter the median of the
    truth's own is taken. Raises `FileError` for what is missing, `SettingError` for a list that says something else.
    """
    if path.suffix.lower() not in LISTS:
        return [_read(_entry_of_folder(path), path.parent)]
    import yaml

    if not path.is_file():
        raise FileError(path, "does not exist", "Give a list of sets, or a folder with micrographs/ and truth/")
    try:
        entries = msgspec.convert(yaml.safe_load(path.read_text(encoding="utf-8")), list[_Entry])
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise SettingError(f"{path} is no list of benchmark sets: {error}") from error
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
        raise FileError(root / entry.truth, "has no truth for any of the micrographs", "Name the files like the micrographs")
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
        raise FileError(path, "does not say how large particles are", "Give the diameter in a YAML list of sets")
    return diameter


def on_same_micrographs(found: list[Picks], task: BenchmarkSet) -> list[Picks]:
    """Those of `found` that lie on micrographs of the set."""
    names = {stem(source.name) for source in task.sources}
    known = [picks for picks in found if stem(picks.micrograph) in names]
    match_names([picks.micrograph for picks in known], [source.name for source in task.sources])
    return known


def files_at(path: str) -> list[FileIdentity]:
    """Identities of the files at a path, for every set where it has `SET` in it."""
    roots = [Path(found) for found in sorted(glob(path.replace(SET, "*")))]  # noqa: PTH207 - an absolute pattern
    files = [file for root in roots for file in (sorted(root.rglob("*")) if root.is_dir() else [root]) if file.is_file()]
    return [file_identity(file) for file in files]
