"""Tables in text files: delimited columns by name, and numbers, with errors that name the row."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryopick.errors import FileError
from cryopick.messages import counted

NAME_COLUMNS = ("micrograph", "micrograph_name", "image_name", "image", "filename", "file_name", "name")
"""Names of columns with the micrograph of a row, in lower case."""
DEPTH_COLUMNS = ("z", "z_coord", "z-coordinate", "z_px", "center_z")
"""Names of columns with the third coordinate of picks in tomograms, in lower case."""


def parse_numbers(path: Path, column: str, values: Sequence[str]) -> NDArray[np.float64]:
    """Parse text as float64 (n,). Raises `FileError` for a value that is not a finite number, with its row from 1."""
    joined = "".join(values)
    try:
        if "_" in joined or not joined.isascii():  # Python accepts 1_000 and digits of other scripts
            raise ValueError
        numbers = np.fromiter(map(float, values), np.float64, len(values))
        bad = np.flatnonzero(~np.isfinite(numbers))
    except ValueError:
        bad = np.array([row for row, value in enumerate(values) if not _is_finite(value)])
    if len(bad):
        row = int(bad[0])
        raise FileError(path, f"row {row + 1} has {column} {values[row]!r}, which is not a number", "Correct or remove that row")
    return numbers


def whole_numbers(path: Path, column: str, values: NDArray[Any]) -> list[int]:
    """Convert numbers of groups to integers. Raises `FileError` for one that is not a whole number from 0 to 2³¹."""
    numbers = values.astype(np.float64)
    wrong = np.flatnonzero(~((numbers >= 0) & (numbers < 1 << 31) & (np.floor(numbers) == numbers)))
    if len(wrong):
        found = f"row {wrong[0] + 1} has {column} {numbers[wrong[0]]:g}, which is not the number of a group"
        raise FileError(path, found, "Correct or remove that row")
    return [int(number) for number in numbers.tolist()]


def read_text(path: Path) -> str:
    """Read a file as text; bytes that are not UTF-8 are kept as surrogates. Raises `FileError` when it cannot be read."""
    try:
        return path.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise FileError(path, f"cannot be read ({error.strerror or error})", "Check the path and its permissions") from None


def read_delimited(path: Path, delimiters: str = ",;\t", *, lower: bool = True) -> dict[str, list[str]]:
    """Read a table with a header line: columns by their names, stripped and, unless `lower` is false, in lower case.

    The delimiter is that of `delimiters` which occurs in the header; a blank among them means any number of blanks and tabs.
    Empty lines are skipped. Raises `FileError` for an empty file, for two columns of one name, and for a row with more or fewer
    values than the header.
    """
    text = read_text(path).replace("\r\n", "\n")
    lines = [line for line in text.split("\n") if line and not line.isspace()]
    if not lines:
        raise FileError(path, "is empty", "A table needs at least a header line")
    delimiter = next((mark for mark in delimiters if mark in lines[0].strip()), delimiters[0])
    if delimiter == " ":
        lines = ["\t".join(line.split()) for line in lines]
        delimiter = "\t"
    names = [name.strip() for name in _cells(path, lines[:1], delimiter)[0]]
    names = [name.lower() for name in names] if lower else names
    if twice := next((name for name in names if name and names.count(name) > 1), None):
        raise FileError(path, f"has the column {twice} twice", "Remove or rename one of them")
    rows = lines[1:]
    if '"' not in text and {line.count(delimiter) for line in rows} <= {len(names) - 1}:  # ten times as fast as csv.reader
        cells = delimiter.join(rows).split(delimiter) if rows else []
        return {name: cells[column :: len(names)] for column, name in enumerate(names)}
    quoted = _cells(path, rows, delimiter)
    wrong = next((number for number, row in enumerate(quoted, 1) if len(row) != len(names)), None)
    if wrong is not None:
        found = f"row {wrong} has {counted(len(quoted[wrong - 1]), 'value')}, but the header has {len(names)}"
        raise FileError(path, found, "Correct or remove that row")
    return {name: [row[column] for row in quoted] for column, name in enumerate(names)}


def first_of(columns: Iterable[str], wanted: Sequence[str]) -> str | None:
    """Return the first of the wanted names that is a column; None if there is none."""
    there = set(columns)
    return next((name for name in wanted if name in there), None)


def _cells(path: Path, lines: list[str], delimiter: str) -> list[list[str]]:
    try:
        return list(csv.reader(lines, delimiter=delimiter))
    except csv.Error as error:
        raise FileError(path, f"is not a table ({error})", "Give a text file with a header line and one row per line") from None


def _is_finite(value: str) -> bool:
    try:
        return value.isascii() and "_" not in value and bool(np.isfinite(float(value)))
    except ValueError:
        return False
