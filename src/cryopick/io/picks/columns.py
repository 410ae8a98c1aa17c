"""Further columns of picks in text tables: values typed when read, cells formatted when written."""

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

_BOOLS = {"True": True, "False": False}
_TEXT = re.compile(r"_|^(0\d+|\d{16,})$", re.MULTILINE)
"""Text that `float` accepts but does not reproduce."""


def typed(values: Sequence[str]) -> NDArray[Any]:
    """Convert a column of text to int64, uint64, float64 or bool if all values are such numbers; else keep the strings.

    Text that a number would not reproduce (leading zeros, underscores, too many digits) stays text. ``True`` and ``False``
    are bools.
    """
    if not len(values):
        return np.zeros(0)
    if values[0] in _BOOLS and set(values) <= _BOOLS.keys():
        return np.array([_BOOLS[value] for value in values])
    numbers = _integers(values)
    if numbers is None and not _TEXT.search("\n".join(values)):
        try:
            numbers = np.fromiter(map(float, values), np.float64, len(values))
        except ValueError:
            numbers = None
    return np.array(values, np.str_) if numbers is None else numbers


def cells(values: NDArray[Any]) -> list[str]:
    """Format a column's values as text that `typed` converts back: floats with as many digits as they need."""
    return [str(value) for value in (values if values.dtype.kind == "f" else values.tolist())]


class SharedColumns:
    """Further columns of many micrographs, collected for a table with one header.

    If `fill` is None, only columns that all micrographs with picks have are kept; otherwise missing values become `fill`.
    """

    def __init__(self, *, fill: str | None = None) -> None:
        self._fill = fill
        self._count = 0
        self._columns: dict[str, list[str]] = {}
        self._partial: set[str] = set()

    def add(self, columns: Mapping[str, NDArray[Any]], count: int) -> None:
        """Add the columns of one micrograph with `count` picks."""
        if not count:
            return
        for name, values in columns.items():
            if name not in self._columns:
                self._columns[name] = [self._fill or ""] * self._count
                if self._count:
                    self._partial.add(name)
            self._columns[name] += cells(values)
        for name in self._columns.keys() - columns.keys():
            self._columns[name] += [self._fill or ""] * count
            self._partial.add(name)
        self._count += count

    def complete(self) -> dict[str, list[str]]:
        """Return the columns to write, by name, in the order in which they were added."""
        if self._fill is not None:
            return self._columns
        if self._partial:
            logger.warning("columns that only some micrographs have are not written: %s", ", ".join(sorted(self._partial)))
        return {name: values for name, values in self._columns.items() if name not in self._partial}


def _integers(values: Sequence[str]) -> NDArray[Any] | None:
    try:
        numbers = list(map(int, values))
    except ValueError:
        return None
    if list(map(str, numbers)) != list(values):
        return None
    for dtype in (np.int64, np.uint64):
        try:
            return np.array(numbers, dtype)
        except OverflowError:
            continue
    return None
