"""STAR files: a reader of tables by column name, and a small deterministic writer."""

import codecs
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryopick.errors import CryopickError, FileError
from cryopick.io.tables.delimited import parse_numbers, whole_numbers
from cryopick.io.tables.star_rows import Loop, StarRowError, StarSyntaxError, parse_blocks
from cryopick.messages import counted

Column = Sequence[str] | Sequence[int] | Sequence[float] | NDArray[Any]

_RESERVED_STARTS = ("_", "#", "$", "'", '"', "[", "]", ";")
_RESERVED_WORDS = ("data_", "loop_", "global_", "save_", "stop_")


@dataclass(frozen=True, eq=False)
class StarTable:
    """One block of a STAR file: its loop, or its label–value pairs as a table of one row.

    Labels are without the leading underscore. Columns are parsed when used.
    """

    path: Path
    block: str
    line: int
    _loop: Loop

    def __len__(self) -> int:
        return len(self._loop)

    def __contains__(self, label: str) -> bool:
        return label in self._loop.labels

    @property
    def labels(self) -> list[str]:
        """The columns' labels, in the file's order."""
        return list(self._loop.labels)

    def text(self, label: str) -> list[str]:
        """Return the column's values, unquoted. Raises `FileError` if there is no such column."""
        return self._having(label).column(label)

    def numbers(self, label: str) -> NDArray[np.float64]:
        """Return the column as float64 (n,). Raises `FileError`, which names the row (from 1), for a value that is not finite."""
        words = self._having(label).raw(label)
        try:
            numbers = np.fromiter(map(float, words), np.float64, len(words))
        except ValueError:
            numbers = np.full(1, np.nan)
        if not np.isfinite(numbers).all() or b"_" in b"".join(words):
            return parse_numbers(self.path, f"_{label}", self.text(label))
        return numbers

    def groups(self, label: str) -> list[int]:
        """Return the column as numbers of groups. Raises `FileError` for a value that is not a whole number from 0 to 2³¹."""
        return whole_numbers(self.path, f"_{label}", self.numbers(label))

    def _having(self, label: str) -> Loop:
        if label not in self:
            raise FileError(
                self.path,
                f"block data_{self.block} has no column _{label} (it has {', '.join(f'_{name}' for name in self.labels)})",
                "Add the column, or give the file's format if it is another one",
            )
        return self._loop


def read_star(path: Path) -> dict[str, StarTable]:
    """Read the tables of a STAR file by block name without `data_` (RELION 3.0's only block is ``""``).

    Rows are read as by RELION: one per line, with values between blanks. Handles CRLF, tabs, quotes, comments and tables without
    rows. Of several loops in a block, the first is the table. Raises `FileError` for a file that is missing, empty or not STAR,
    for a row with too few or too many values, and for two blocks or two columns of one name.
    """
    try:
        blocks = parse_blocks(path.read_bytes().removeprefix(codecs.BOM_UTF8))
    except OSError as error:
        raise FileError(path, f"cannot be read ({error.strerror or error})", "Check the path and its permissions") from None
    except StarRowError as error:
        raise FileError(path, str(error), "Correct or remove that row; text with blanks needs quotes") from None
    except StarSyntaxError as error:
        raise FileError(
            path, f"is not a STAR file, or a damaged one ({error})", "Correct that line, or write the file again"
        ) from None
    if not blocks:
        raise FileError(path, "has no data block", "A STAR file has lines that start with data_")
    tables: dict[str, StarTable] = {}
    for block in blocks:
        if block.name in tables:
            found = f"has two blocks data_{block.name} (lines {tables[block.name].line} and {block.line}), as in joined files"
            raise FileError(path, found, "Give the original files one by one, or move all rows into one block")
        labels = [label for loop in block.loops for label in loop.labels]
        if len(set(labels)) < len(labels):
            twice = next(label for label in labels if labels.count(label) > 1)
            raise FileError(path, f"block data_{block.name} has the column _{twice} twice", "Remove or rename one of them")
        tables[block.name] = StarTable(path, block.name, block.line, block.loops[0] if block.loops else Loop(0))
    return tables


def only_table(path: Path, tables: Mapping[str, StarTable], label: str) -> StarTable | None:
    """Return the table with a label; None if there is none. Raises `FileError` if there are several, since one would be lost."""
    having = [table for table in tables.values() if label in table]
    if len(having) > 1:
        blocks = " and ".join(f"data_{table.block} (line {table.line})" for table in having[:2])
        more = f" and {counted(len(having) - 2, 'more block')}" if len(having) > 2 else ""
        remedy = "Write one file per micrograph, or one table with the micrograph in each row"
        raise FileError(path, f"has _{label} in {blocks}{more}; only one table can be read", remedy)
    return having[0] if having else None


def star_text(blocks: Mapping[str, Mapping[str, Column]]) -> str:
    """Format a STAR file with one loop per block, as RELION does: `{"particles": {"rlnCoordinateX": [1.5, …], …}, …}`.

    Floats have six decimals, text with blanks is quoted, and an empty column gives a table without rows.
    """
    return "\n".join(loop_header(name, list(table)) + loop_rows(list(table.values())) for name, table in blocks.items())


def loop_header(block: str, labels: Iterable[str]) -> str:
    """Return the lines before a loop's rows."""
    numbered = "".join(f"_{label} #{number}\n" for number, label in enumerate(labels, 1))
    return f"\ndata_{block}\n\nloop_\n{numbered}"


def loop_rows(columns: Sequence[Column]) -> str:
    """Return a loop's rows, one line each; columns are all strings, all integers or all floats, and of one length."""
    layouts, values = zip(*map(_laid_out, columns), strict=True)
    row = " ".join(layouts) + "\n"
    return "".join([row % cells for cells in zip(*values, strict=True)])


def quoted_column(values: Sequence[str]) -> list[str]:
    """Quote text for a STAR file if it is empty, has blanks or starts with a reserved character."""
    quoted = {value: _quoted(value) for value in set(values)}
    return [quoted[value] for value in values]


def _laid_out(column: Column) -> tuple[str, Sequence[Any]]:
    if len(column) and isinstance(column[0], str):
        return "%s", quoted_column([str(value) for value in column])
    numbers = np.asarray(column)
    return ("%12d" if numbers.dtype.kind in "iub" else "%12.6f"), numbers.tolist()


def _quoted(value: str) -> str:
    plain = value and not any(c.isspace() for c in value) and not value.startswith(_RESERVED_STARTS)
    if plain and not value.lower().startswith(_RESERVED_WORDS):
        return value
    mark = next((mark for mark in ('"', "'") if mark not in value), None)
    if mark is None or "\n" in value or "\r" in value:
        raise CryopickError(f"the text {value!r} cannot be written to a STAR file; remove its quotes and line ends")
    return f"{mark}{value}{mark}"
