"""Named columns of equal length, as picks carry them beside coordinates, scores and diameters."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryopick.errors import CryopickError

RESERVED_COLUMNS = frozenset({"x", "y", "score", "diameter"})
"""Names that a column of `Picks.data` cannot have."""


class Columns(Mapping[str, NDArray[Any]]):
    """Named columns of equal length; neither the mapping nor its arrays can be changed.

    Raises `CryopickError` for an array that is not one-dimensional, or holds anything but numbers, bools and strings.
    """

    __slots__ = ("_arrays",)

    def __init__(self, columns: Mapping[str, ArrayLike] = MappingProxyType({})) -> None:
        if not isinstance(columns, Mapping):
            raise CryopickError("data must be a mapping from names to columns, such as {'class': [1, 2]}")
        self._arrays = {name: _column(name, values) for name, values in columns.items()}

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __reduce__(self) -> tuple[type["Columns"], tuple[dict[str, NDArray[Any]]]]:
        return Columns, (self._arrays,)  # pickled arrays forget that they are read-only

    def __repr__(self) -> str:
        return f"Columns({self._arrays!r})"


def array_of(values: Sequence[Any]) -> NDArray[Any]:
    """Values as an array; whole numbers that need 64 bits without a sign keep all their digits, as CryoSPARC's UIDs must."""
    array = np.array(values)
    if array.dtype.kind in "fO" and all(isinstance(value, int) for value in values):
        try:
            return np.array(values, np.uint64)
        except OverflowError:
            return array
    return array


def _column(name: str, values: ArrayLike) -> NDArray[Any]:
    if not (isinstance(name, str) and name.strip()):
        raise CryopickError(f"a column of data needs a name, got {name!r}")
    try:
        column = array_of(values) if isinstance(values, list | tuple) else np.array(values)
    except ValueError:  # rows of different lengths
        column = np.array(None)
    if column.dtype.kind == "S":
        column = np.char.decode(column, "utf-8", "surrogateescape")
    elif column.dtype.kind == "T" or (column.dtype.kind == "O" and all(isinstance(value, str) for value in column.flat)):
        column = column.astype(np.str_)
    if column.ndim != 1 or column.dtype.kind not in "biufU":
        raise CryopickError(f"the column {name!r} must be one-dimensional and hold numbers, bools or strings")
    column.flags.writeable = False
    return column
