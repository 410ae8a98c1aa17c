"""Plain CSV: `micrograph,x,y,score,diameter` in pixels; of other tables, whatever of these columns they have."""

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from cryopick.coordinates import Frame
from cryopick.errors import FileError
from cryopick.io.names import stem
from cryopick.io.picks.base import Glance, Reading, Writing, placed, split_by_name, text_file
from cryopick.io.tables.delimited import first_of, parse_numbers, read_delimited
from cryopick.types import Picks

FRAME = Frame()

NAME_COLUMNS = ("micrograph", "micrograph_name", "image_name", "image", "filename", "name")
X_COLUMNS = ("x", "x_coord", "x-coordinate", "x_px", "center_x")
Y_COLUMNS = ("y", "y_coord", "y-coordinate", "y_px", "center_y")


class Csv:
    """One table of all micrographs, or a folder of tables that are named like theirs. Diameters are medians, in pixels."""

    frame: ClassVar[Frame] = FRAME
    suffix: ClassVar[str] = ".csv"
    single: ClassVar[bool] = True

    def recognises(self, glance: Glance) -> bool:
        if glance.entries:
            return any(name.lower().endswith(".csv") for name in glance.entries)
        columns = {name.strip().strip('"').lower() for name in glance.head.split("\n", 1)[0].replace(";", ",").split(",")}
        return bool(columns & set(X_COLUMNS)) and bool(columns & set(Y_COLUMNS))

    def read(self, path: Path, reading: Reading) -> list[Picks]:
        if not path.is_dir():
            return _read_table(path, reading)
        files = sorted(file for file in path.iterdir() if file.suffix.lower() == ".csv")
        return [picks for file in files for picks in _read_table(file, reading)]

    def write(self, picks: Iterable[Picks], path: Path, writing: Writing) -> None:
        with text_file(path) as file:
            file.write("micrograph,x,y,score,diameter\n")
            for each in picks:
                file.write(_rows(each))


def _read_table(path: Path, reading: Reading) -> list[Picks]:
    columns = read_delimited(path)
    x, y = first_of(columns, X_COLUMNS), first_of(columns, Y_COLUMNS)
    if x is None or y is None:
        raise FileError(path, f"has no columns x and y (only {', '.join(columns)})", "Name the columns x and y in the first line")
    points = np.stack([parse_numbers(path, name, columns[name]) for name in (x, y)], axis=1)
    named = first_of(columns, NAME_COLUMNS)
    groups = {stem(path.stem): np.arange(len(points))} if named is None else split_by_name(columns[named])
    scores, diameters = _Optional(path, columns, "score"), _Optional(path, columns, "diameter")
    picks = []
    for name, rows in groups.items():
        sizes = diameters.of(rows)
        diameter = None if sizes is None else float(np.median(sizes))
        picks.append(reading.picks(path, name, points[rows], FRAME, scores=scores.of(rows), diameter_px=diameter))
    return picks


class _Optional:
    """A column of numbers that may be absent, or empty for whole micrographs."""

    def __init__(self, path: Path, columns: dict[str, list[str]], name: str) -> None:
        self._path, self._name = path, name
        values = columns.get(name, [])
        self._given = np.ones(len(values), bool)
        if "" in values:
            self._given = np.array([value != "" for value in values])
            values = [value or "0" for value in values]
        self._numbers = parse_numbers(path, name, values)

    def of(self, rows: NDArray[np.intp]) -> NDArray[np.float64] | None:
        """The numbers of a micrograph's rows, None where it has none. Raises `FileError` when some are missing."""
        if not len(self._given) or not self._given[rows].any():
            return None
        if not self._given[rows].all():
            row = int(rows[~self._given[rows]][0]) + 1
            raise FileError(self._path, f"row {row} has no {self._name} where others of its micrograph do", "Fill it in")
        return self._numbers[rows]


def _rows(picks: Picks) -> str:
    name = '"' + picks.micrograph.replace('"', '""') + '"' if set(picks.micrograph) & set(',"\n') else picks.micrograph
    diameter = "" if picks.diameter_px is None else f"{picks.diameter_px:.3f}"
    scores = [""] * len(picks) if picks.scores is None else [f"{score:.6f}" for score in picks.scores.tolist()]
    points = placed(picks, FRAME).tolist()
    return "".join(f"{name},{x:.3f},{y:.3f},{score},{diameter}\n" for (x, y), score in zip(points, scores, strict=True))
