"""CryoSPARC's ``.cs`` datasets: NumPy structured arrays with one row per pick or exposure."""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cryopick.errors import FileError

_COMPRESSED = b"\x95CSDAT"
_HEADER_BYTES = 1 << 20
"""Longest header in bytes; 100 classes of a 3D classification take 20 KB."""
_METAFILE = re.compile(r"^\s*metafile:\s*['\"]?>?([^'\"\n]+\.cs)", re.MULTILINE)
MOST_PIXELS = 1_000_000


def load_cs(path: Path) -> NDArray[np.void]:
    """Read the rows of a dataset. Raises `FileError` for compressed datasets and for files that are not datasets."""
    refuse_group(path)
    try:
        with path.open("rb") as file:
            start = file.read(len(_COMPRESSED))
        if start == _COMPRESSED:
            raise FileError(
                path, "is a compressed CryoSPARC dataset", "Save it again with cryosparc-tools: Dataset.load(PATH).save(PATH)"
            )
        # a memory map, which fails if the file is shorter than its header claims, before memory is allocated
        rows = np.array(np.lib.format.open_memmap(path, mode="r", max_header_size=_HEADER_BYTES))
    except FileError:
        raise
    except OSError as error:
        raise FileError(path, f"cannot be read ({error.strerror or error})", "Check the path and its permissions") from None
    except Exception as error:  # NumPy reads the header as Python, which fails in many ways
        raise _no_dataset(path, str(error)) from None
    if rows.dtype.names is None or rows.ndim != 1:
        raise _no_dataset(path, "it has no named columns")
    return rows


def refuse_group(path: Path) -> None:
    """Raise `FileError`, which names the `.cs` files in it, for a `.csg` file."""
    if path.suffix.lower() != ".csg" or not path.is_file():
        return
    names = list(dict.fromkeys(_METAFILE.findall(path.read_bytes()[:_HEADER_BYTES].decode("utf-8", "replace"))))
    remedy = f"Give the .cs file that it names: {', '.join(names[:3])}" if names else "Give one of the .cs files beside it"
    raise FileError(path, "is a CryoSPARC group, which only names .cs files", remedy)


def lists_exposures(path: Path) -> bool:
    """Return whether a `.cs` file lists micrographs and no picks."""
    if path.suffix.lower() != ".cs" or not path.is_file():
        return False
    try:
        fields = load_cs(path).dtype.names or ()
    except FileError:
        return False
    blobs = any(name.startswith("micrograph_blob") and name.endswith("/path") for name in fields)
    return blobs and "location/center_x_frac" not in fields


def path_column(path: Path, rows: NDArray[np.void], name: str) -> list[str]:
    """Return a column of paths, without the ``>`` of exported datasets. Raises `FileError` for a row without one."""
    paths = [value.lstrip(">") for value in text_column(path, rows, name)]
    if "" in paths:
        found = f"row {paths.index('') + 1} has no {name}"
        raise FileError(path, found, "Remove that row, or export the dataset again with its micrographs")
    return paths


def shape_column(path: Path, rows: NDArray[np.void], name: str) -> NDArray[np.int64]:
    """Return a column of heights and widths (n, 2), 0 if unknown. Raises `FileError` for impossible sizes of images."""
    shapes = number_column(path, rows, name, width=2).astype(np.float64)
    wrong = np.flatnonzero(~((shapes >= 0) & (shapes <= MOST_PIXELS) & (np.floor(shapes) == shapes)).all(axis=1))
    if len(wrong):
        height, width = shapes[wrong[0]].tolist()
        found = f"row {wrong[0] + 1} has {name} {height:g} x {width:g}, which is not the size of an image"
        raise FileError(path, found, "Export the dataset again")
    return np.where((shapes == 0).any(axis=1, keepdims=True), 0, shapes).astype(np.int64)


def text_column(path: Path, rows: NDArray[np.void], name: str) -> list[str]:
    """Return a text column; bytes that are not UTF-8 are kept as surrogates. Raises `FileError` if it is not text."""
    if rows[name].dtype.kind not in "SU" or rows[name].ndim != 1:
        raise _no_dataset(path, f"{name} is not text")
    values = rows[name].tolist()
    return [value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value for value in values]


def number_column(path: Path, rows: NDArray[np.void], name: str, *, width: int = 1) -> NDArray[np.generic]:
    """Return a numeric column (n,), or (n, width), in its own type. Raises `FileError` for other columns."""
    column = rows[name]
    if column.dtype.kind not in "iuf" or column.shape[1:] != (() if width == 1 else (width,)):
        raise _no_dataset(path, f"{name} does not hold {'a number' if width == 1 else f'{width} numbers'} in each row")
    return column


def _no_dataset(path: Path, why: str) -> FileError:
    return FileError(path, f"is not a CryoSPARC dataset ({why})", "Give a .cs file of a CryoSPARC job")
