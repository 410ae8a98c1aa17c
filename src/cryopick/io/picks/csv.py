"""Plain CSV: `micrograph,x,y,score,diameter` in pixels, then further columns; only x and y are required."""

import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from cryopick.columns import RESERVED_COLUMNS
from cryopick.coordinates import Frame
from cryopick.errors import FileError
from cryopick.io.names import stem
from cryopick.io.picks.base import Peek, Writing, in_a_row, placed, split_by_name, spool, text_file
from cryopick.io.picks.columns import SharedColumns, typed
from cryopick.io.picks.reading import Reading, refuse_tomograms
from cryopick.io.tables.delimited import DEPTH_COLUMNS, NAME_COLUMNS, first_of, parse_numbers, read_delimited
from cryopick.types import Picks

FRAME = Frame()

X_COLUMNS = ("x", "x_coord", "x-coordinate", "x_px", "center_x")
Y_COLUMNS = ("y", "y_coord", "y-coordinate", "y_px", "center_y")


class Csv:
    """One table of all micrographs, or a folder with a table for each. Diameters are in pixels.

    Further columns are `Picks.data`; cells are empty for micrographs without a column.
    """

    frame: ClassVar[Frame] = FRAME
    suffix: ClassVar[str] = ".csv"
    single: ClassVar[bool] = True

    def recognises(self, peek: Peek) -> bool:
        """See `PickFormat.recognises`."""
        if peek.entries:
            return any(name.lower().endswith(".csv") and name[0] != "." for name in peek.entries)
        columns = {name.strip().strip('"').lower() for name in peek.head.split("\n", 1)[0].replace(";", ",").split(",")}
        return bool(columns & set(X_COLUMNS)) and bool(columns & set(Y_COLUMNS))

    def read(self, path: Path, reading: Reading) -> list[Picks]:
        """See `PickFormat.read`."""
        if not path.is_dir():
            return _read_table(path, reading)
        files = sorted(file for file in path.iterdir() if file.suffix.lower() == ".csv" and file.name[0] != ".")
        return [picks for file in files for picks in _read_table(file, reading)]

    def write(self, picks: Iterable[Picks], path: Path, writing: Writing) -> None:
        """See `PickFormat.write`."""
        further = SharedColumns(fill="")
        with text_file(path) as file, spool(path.parent) as rows:
            for each in picks:
                rows.write(_rows(each))
                further.add(each.data, len(each))
            columns = further.complete()
            file.write(",".join(["micrograph,x,y,score,diameter", *map(_quoted, columns)]) + "\n")
            rows.seek(0)
            if not columns:
                shutil.copyfileobj(rows, file)
            else:
                lines = (line.removesuffix("\n") for line in rows)
                file.writelines(",".join(cells) + "\n" for cells in zip(lines, *map(_all_quoted, columns.values()), strict=True))


def _read_table(path: Path, reading: Reading) -> list[Picks]:
    columns = read_delimited(path, lower=False)
    known = {name.lower(): name for name in reversed(columns)}
    _refuse_twice(path, columns)
    x, y, named = (first_of(known, names) for names in (X_COLUMNS, Y_COLUMNS, NAME_COLUMNS))
    if x is None or y is None:
        raise FileError(path, f"has no columns x and y (only {', '.join(columns)})", "Name the columns x and y in the first line")
    points = np.stack([parse_numbers(path, name, columns[known[name]]) for name in (x, y)], axis=1)
    if (depth := first_of(known, DEPTH_COLUMNS)) is not None and all(columns[known[depth]]):
        refuse_tomograms(path, depth, parse_numbers(path, depth, columns[known[depth]]))
    groups = {stem(path.stem): np.arange(len(points))}
    if named is not None:
        groups = split_by_name(path, columns[known[named]])
    elif other := next((name for name, values in columns.items() if _name_micrographs(values)), None):
        unknown = f"has names of micrographs in the unknown column {other}"
        raise FileError(path, unknown, "Call the column micrograph")
    scores, diameters = (_Optional(path, columns.get(known.get(name, ""), []), name) for name in ("score", "diameter"))
    used = {known.get(name) for name in (x, y, named or "", *RESERVED_COLUMNS)}
    further = {name: values for name, values in columns.items() if name and name not in used}
    picks = []
    for name, rows in groups.items():
        data = _further(further, rows)
        found = reading.picks(path, name, points[rows], FRAME, scores=scores.of(rows), diameters_px=diameters.of(rows), data=data)
        picks.append(found)
    return picks


def _refuse_twice(path: Path, columns: dict[str, list[str]]) -> None:
    """Raise `FileError` if two columns that are used differ only in case."""
    lowered = [name.lower() for name in columns]
    used = {*NAME_COLUMNS, *X_COLUMNS, *Y_COLUMNS, *RESERVED_COLUMNS}
    if twice := next((name for name in columns if name.lower() in used and lowered.count(name.lower()) > 1), None):
        raise FileError(path, f"has the column {twice.lower()} twice", "Remove or rename one of them")


def _name_micrographs(values: list[str]) -> bool:
    """Return whether all values of a column are names of images, by their extensions."""
    return bool(values) and all(stem(name) != PurePosixPath(name).name for name in set(values))


def _further(columns: dict[str, list[str]], rows: NDArray[np.intp]) -> dict[str, NDArray[Any]]:
    """Return the further columns of a micrograph, except empty ones; empty cells among numbers become NaN."""
    found = {}
    for name, every in columns.items():
        values = [every[row].strip() for row in rows.tolist()]
        filled = [value for value in values if value]
        if not filled:
            continue
        found[name] = typed(values)
        if len(filled) < len(values) and typed(filled).dtype.kind in "iuf":
            found[name] = typed([value or "nan" for value in values])
    return found


class _Optional:
    """A column of numbers that may be absent, or empty for whole micrographs."""

    def __init__(self, path: Path, values: list[str], name: str) -> None:
        self._path, self._name = path, name
        self._given = np.ones(len(values), bool)
        if "" in values:
            self._given = np.array([value != "" for value in values])
            values = [value or "0" for value in values]
        self._numbers = parse_numbers(path, name, values)

    def of(self, rows: NDArray[np.intp]) -> NDArray[np.float64] | None:
        """Return the numbers of a micrograph's rows; None if it has none. Raises `FileError` if only some are missing."""
        if not len(self._given) or not self._given[rows].any():
            return None
        if not self._given[rows].all():
            row = int(rows[~self._given[rows]][0]) + 1
            raise FileError(self._path, f"row {row} has no {self._name}, but other rows of its micrograph have one", "Fill it in")
        return self._numbers[rows]


def _rows(picks: Picks) -> str:
    name = _quoted(in_a_row(picks.micrograph))
    common = "" if picks.diameter_px is None else f"{picks.diameter_px:.3f}"
    diameters = [common] * len(picks) if picks.diameters_px is None else [f"{each:.3f}" for each in picks.diameters_px.tolist()]
    scores = [""] * len(picks) if picks.scores is None else [f"{score:.6f}" for score in picks.scores.tolist()]
    rows = zip(placed(picks, FRAME).tolist(), scores, diameters, strict=True)
    return "".join(f"{name},{x:.3f},{y:.3f},{score},{diameter}\n" for (x, y), score, diameter in rows)


def _all_quoted(values: list[str]) -> list[str]:
    quoted = {value: _quoted(value) for value in set(values)}
    return [quoted[value] for value in values]


def _quoted(value: str) -> str:
    return '"' + value.replace('"', '""') + '"' if set(value) & set(',"\n') else value
