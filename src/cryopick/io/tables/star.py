"""STAR files: a reader of tables by column name, and a small deterministic writer."""

import codecs
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray

from cryopick.errors import CryopickError, FileError
from cryopick.io.tables.delimited import parse_numbers

Column = Sequence[str] | Sequence[int] | Sequence[float] | NDArray[Any]

_QUOTES = ("'", '"', ";")
_RESERVED_STARTS = ("_", "#", "$", "'", '"', "[", "]", ";")
_RESERVED_WORDS = ("data_", "loop_", "global_", "save_", "stop_")


@dataclass(frozen=True, eq=False)
class StarTable:
    """One block of a STAR file: its loop, or its label–value pairs as a table of one row.

    Labels are without the leading underscore. Columns are parsed when used.
    """

    path: Path
    block: str
    _columns: Mapping[str, Iterable[str]] = field(repr=False)
    _length: int = 0
    _escaped: bool = False

    def __len__(self) -> int:
        return self._length

    def __contains__(self, label: str) -> bool:
        return label in self._columns

    @property
    def labels(self) -> list[str]:
        """The columns' labels, in the file's order."""
        return list(self._columns)

    def text(self, label: str) -> list[str]:
        """Return the column's values, unquoted. Raises `FileError` if there is no such column."""
        values = [gemmi.cif.as_string(value) if value[0] in _QUOTES else value for value in self._column(label)]
        return [value.encode("ascii").decode("unicode_escape") for value in values] if self._escaped else values

    def numbers(self, label: str) -> NDArray[np.float64]:
        """Return the column as float64 (n,). Raises `FileError`, which names the row (from 1), for a value that is not finite."""
        return parse_numbers(self.path, f"_{label}", list(self._column(label)))

    def _column(self, label: str) -> Iterable[str]:
        if label not in self._columns:
            raise FileError(
                self.path,
                f"block data_{self.block} has no column _{label} (it has {', '.join(f'_{name}' for name in self._columns)})",
                "Add the column, or give the file's format if it is another one",
            )
        return self._columns[label]


def read_star(path: Path) -> dict[str, StarTable]:
    """Read the tables of a STAR file by block name without `data_` (RELION 3.0's only block is ``""``).

    Handles CRLF, tabs, quotes, comments and tables without rows. Of several loops in a block, the first is the table.
    Raises `FileError` for a file that is missing, empty or not STAR, and for a loop with an incomplete row.
    """
    try:
        content = path.read_bytes().removeprefix(codecs.BOM_UTF8)
        escaped = not content.isascii()
        if escaped:  # gemmi accepts only ASCII, as CIF requires, but names such as Präparate occur
            text = content.decode("utf-8", "surrogateescape").replace("\\", r"\\")
            content = text.encode("ascii", "backslashreplace")
        document = gemmi.cif.read_string(content)
    except OSError as error:
        raise FileError(path, f"cannot be read ({error.strerror or error})", "Check the path and its permissions") from None
    except (ValueError, RuntimeError) as error:
        fault = str(error).removeprefix("data:")
        raise FileError(path, f"is not a STAR file, or a damaged one (line {fault})", "Write it again") from None
    if len(document) == 0:
        raise FileError(path, "has no data block", "A STAR file has lines that start with data_")
    tables = [_table(path, block, escaped) for block in document]
    return {table.block: table for table in tables}


def _table(path: Path, block: Any, escaped: bool) -> StarTable:
    name = block.name.strip()
    loop = next((item.loop for item in block if item.loop is not None), None)
    if loop is None:
        pairs = {tag.removeprefix("_"): [value] for tag, value in (item.pair for item in block if item.pair is not None)}
        return StarTable(path, name, pairs, int(bool(pairs)), escaped)
    return StarTable(path, name, {tag.removeprefix("_"): block.find_loop(tag) for tag in loop.tags}, loop.length(), escaped)


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
