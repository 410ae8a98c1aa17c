"""RELION's flat STAR: one row per particle, with the micrograph's name; CryoSPARC imports it too."""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from cryopick.columns import RESERVED_COLUMNS
from cryopick.coordinates import Frame, relion_rows
from cryopick.errors import FileError
from cryopick.io.names import stem, without_uid
from cryopick.io.picks.base import Peek, UniqueNames, Writing, placed, split_by_name, spool, text_file
from cryopick.io.picks.columns import SharedColumns, typed
from cryopick.io.picks.reading import Reading, refuse_tomograms
from cryopick.io.tables.star import Column, StarTable, loop_header, loop_rows, only_table, quoted_column, read_star, star_text
from cryopick.types import Picks

FRAME = Frame()
_DECIMALS = 6
NO_SCORE = -999.0  # written by RELION for particles picked manually

_LABELS = ["rlnMicrographName", "rlnCoordinateX", "rlnCoordinateY", "rlnAutopickFigureOfMerit", "rlnOpticsGroup"]
_DIAMETER = "rlnParticleDiameter"
_OWN = {*_LABELS, _DIAMETER, "rlnMicrographPixelSize"}
_NAMES = {"rlnClassNumber": "class", "rlnAnglePsi": "rotation"}
_LABEL_OF = {name: label for label, name in _NAMES.items()}
TOMOGRAM_LABELS = ("rlnTomoName", "rlnTomoParticleName", "rlnTomoParticleId", "rlnCenteredCoordinateZAngst")
_PLACEHOLDERS = (0, -999, -9999)
"""RELION's placeholders for class and angle."""


class FlatStar:
    """All picks in one table; an optics table has the pixel sizes, and the diameters if each group has one.

    Rows of TIFFs are counted from the last, as in RELION. Micrographs without picks do not appear. Further columns are
    `Picks.data` by their labels, `rlnClassNumber` as `class` and `rlnAnglePsi` as `rotation`; a column is written if all
    micrographs have it.
    """

    frame: ClassVar[Frame] = FRAME
    suffix: ClassVar[str] = ".star"
    single: ClassVar[bool] = True

    def recognises(self, peek: Peek) -> bool:
        """See `PickFormat.recognises`."""
        return "_rlnMicrographName" in peek.head and "_rlnCoordinateX" in peek.head

    def read(self, path: Path, reading: Reading) -> list[Picks]:
        """See `PickFormat.read`."""
        tables = read_star(path)
        table = only_table(path, tables, "rlnCoordinateX")
        if table is None:
            blocks = ", ".join(f"data_{name}" for name in tables)
            raise FileError(path, f"has no table with _rlnCoordinateX (only {blocks})", "Give a STAR file of picks or particles")
        names = table.text("rlnMicrographName")
        points = coordinates(path, table, names)
        merits = figures_of_merit(table)
        pixel_sizes, diameters = _per_particle(tables, table, ("rlnMicrographPixelSize", "rlnParticleDiameter"))
        groups = table.groups("rlnOpticsGroup") if "rlnOpticsGroup" in table else None
        data = further_columns(table)
        own_diameters = diameters if _DIAMETER in table else None
        found = []
        for name, rows in split_by_name(path, names).items():
            picks = reading.picks(
                path,
                name,
                points[rows],
                self.frame_of(name, reading),
                scores=None if merits is None else unless_by_hand(merits[rows]),
                diameter=_first(diameters, rows) if own_diameters is None else None,
                diameters=None if own_diameters is None else own_diameters[rows],
                data={label: values[rows] for label, values in data.items()},
                pixel_size=_first(pixel_sizes, rows),
            )
            found.append(picks if groups is None else replace(picks, optics_group=groups[rows[0]] or 1))
        return found

    def write(self, picks: Iterable[Picks], path: Path, writing: Writing) -> None:
        """See `PickFormat.write`."""
        optics = _OpticsGroups()
        names = UniqueNames(path, self.name_for)
        further = SharedColumns()
        with text_file(path) as file, spool(path.parent) as rows:
            for each in picks:
                if len(each):
                    rows.write(self._rows(each, names.add(each.micrograph), optics.number(each)))
                    further.add(labelled(each), len(each))
            columns = further.complete()
            file.write(optics.text() + loop_header("particles", [*_LABELS, *columns]))
            rows.seek(0)
            if not columns:
                shutil.copyfileobj(rows, file)
            else:
                cells = zip(*map(quoted_column, columns.values()), strict=True)
                file.writelines(f"{line[:-1]} {' '.join(row)}\n" for line, row in zip(rows, cells, strict=True))

    def frame_of(self, name: str, reading: Reading | None = None) -> Frame:
        """Return the frame of one micrograph's coordinates."""
        return relion_frame(self.frame, name, reading)

    def name_for(self, name: str) -> str:
        """Return the micrograph's name in the file."""
        return name

    def _rows(self, picks: Picks, name: str, optics_group: int) -> str:
        points = placed(picks, self.frame_of(picks.micrograph))
        scores = np.full(len(picks), NO_SCORE) if picks.scores is None else picks.scores
        return loop_rows([[name] * len(picks), points[:, 0], points[:, 1], scores, [optics_group] * len(picks)])


class CryosparcStar(FlatStar):
    """The flat table with bare file names without CryoSPARC's UID; rows are counted from the first, also in TIFFs."""

    def recognises(self, peek: Peek) -> bool:
        """See `PickFormat.recognises`."""
        return False  # it differs from a flat STAR only in names, so that format reads it

    def frame_of(self, name: str, reading: Reading | None = None) -> Frame:
        """See `FlatStar.frame_of`."""
        return self.frame

    def name_for(self, name: str) -> str:
        """See `FlatStar.name_for`."""
        return without_uid(name)


def relion_frame(frame: Frame, name: str, reading: Reading | None = None) -> Frame:
    """Return the frame with RELION's row order for this micrograph, whose name may lack its extension in the file."""
    source = None if reading is None or stem(name) != PurePosixPath(name).name else reading.known.find(name)
    return replace(frame, rows=relion_rows(name if source is None else source.name))


def coordinates(path: Path, table: StarTable, micrographs: Iterable[str] = ()) -> NDArray[np.float64]:
    """Return the particles' coordinates (n, 2) as given in the table. Raises `FileError` for coordinates in tomograms."""
    if tomogram := next((name for name in set(micrographs) if name.lower().endswith(".tomostar")), None):
        refuse_tomograms(path, tomogram)
    for label in set(TOMOGRAM_LABELS) & set(table.labels):
        refuse_tomograms(path, f"_{label}")
    if "rlnCoordinateZ" in table:
        refuse_tomograms(path, "_rlnCoordinateZ", table.numbers("rlnCoordinateZ"))
    return np.stack([table.numbers("rlnCoordinateX"), table.numbers("rlnCoordinateY")], axis=1)


def figures_of_merit(table: StarTable) -> NDArray[np.float64] | None:
    """Return the particles' figures of merit; None if the table has none."""
    return table.numbers("rlnAutopickFigureOfMerit") if "rlnAutopickFigureOfMerit" in table else None


def further_columns(table: StarTable) -> dict[str, NDArray[Any]]:
    """Return all other columns as `Picks.data`: `class` and `rotation` unless placeholders, the rest by their labels."""
    labels = [label for label in table.labels if label not in _OWN and _NAMES.get(label, label) not in RESERVED_COLUMNS]
    columns = {_NAMES.get(label, label): typed(table.text(label)) for label in labels}
    unclassified = "class" not in columns or np.isin(columns["class"], _PLACEHOLDERS).all()
    if unclassified:
        columns.pop("class", None)
    if unclassified and "rotation" in columns and np.isin(columns["rotation"], _PLACEHOLDERS).all():
        del columns["rotation"]
    return columns


def labelled(picks: Picks) -> dict[str, NDArray[Any]]:
    """Return the columns of `Picks.data` by their STAR labels, and per-pick diameters if the pixel size is known."""
    columns: dict[str, NDArray[Any]] = {}
    for name, values in picks.data.items():
        label = "_".join(_LABEL_OF.get(name, name).split())
        if label not in _OWN:
            columns[label] = values.astype(np.int64) if values.dtype == bool else values
    if picks.diameters is not None and picks.pixel_size is not None:  # in Å
        columns[_DIAMETER] = picks.diameters
    return columns


def unless_by_hand(merits: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the figures of merit of one micrograph; None if all are RELION's placeholder for manual picks."""
    return None if len(merits) and (merits == NO_SCORE).all() else merits


def _per_particle(tables: dict[str, StarTable], table: StarTable, labels: Sequence[str]) -> list[NDArray[np.float64] | None]:
    """Return the values of each label for every particle, from its row or its optics group; None if neither has it."""
    optics = tables.get("optics")
    shared = [label for label in labels if label not in table and optics is not None and label in optics]
    found = {label: table.numbers(label) for label in labels if label in table}
    if optics is not None and len(optics) == 1:
        found |= {label: np.repeat(optics.numbers(label), len(table)) for label in shared}
    elif optics is not None and shared and "rlnOpticsGroup" in optics and "rlnOpticsGroup" in table:
        number = {group: row for row, group in enumerate(optics.groups("rlnOpticsGroup"))}
        groups, which = np.unique(table.groups("rlnOpticsGroup"), return_inverse=True)
        rows = [number.get(group, len(number)) for group in groups.tolist()]  # an unlisted group gives NaN
        found |= {label: np.append(optics.numbers(label), np.nan)[rows][which] for label in shared}
    return [found.get(label) for label in labels]


def _first(values: NDArray[np.float64] | None, rows: NDArray[np.intp]) -> float | None:
    value = None if values is None else float(values[rows[0]])
    return None if value is None or not np.isfinite(value) else value


class _OpticsGroups:
    """The picks' optics groups. One with several pixel sizes keeps its number for the first; the others get new ones."""

    def __init__(self) -> None:
        self._diameters: dict[int, set[float | None]] = {}
        self._numbers: dict[tuple[int, float | None], int] = {}

    def number(self, picks: Picks) -> int:
        size = None if picks.pixel_size is None else round(picks.pixel_size, _DECIMALS)
        key = (picks.optics_group, size)
        if key not in self._numbers:
            taken = set(self._numbers.values())
            self._numbers[key] = max(taken) + 1 if picks.optics_group in taken else picks.optics_group
        self._diameters.setdefault(self._numbers[key], set()).add(picks.diameter)
        return self._numbers[key]

    def text(self) -> str:
        """Return the optics table; empty if a pixel size is unknown, since a table must list all groups."""
        numbered = sorted((number, size) for (_, size), number in self._numbers.items() if size is not None)
        if not numbered or len(numbered) < len(self._numbers):
            return ""
        groups, sizes = [number for number, _ in numbered], [size for _, size in numbered]
        optics: dict[str, Column] = {
            "rlnOpticsGroupName": [f"opticsGroup{group}" for group in groups],
            "rlnOpticsGroup": groups,
            "rlnMicrographPixelSize": sizes,
        }
        single = [next(iter(self._diameters[group])) for group in groups if len(self._diameters[group]) == 1]
        known = [value for value in single if value is not None]
        if len(known) == len(sizes):
            optics["rlnParticleDiameter"] = known
        return star_text({"optics": optics}) + "\n"
