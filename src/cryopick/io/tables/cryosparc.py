"""CryoSPARC's ``.cs`` datasets: NumPy structured arrays with one row per pick or exposure."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cryopick.errors import FileError

_COMPRESSED = b"\x95CSDAT"


def load_cs(path: Path) -> NDArray[np.void]:
    """Read the rows of a dataset. Raises `FileError` for compressed datasets and for files that are not datasets."""
    try:
        with path.open("rb") as file:
            if file.read(len(_COMPRESSED)) == _COMPRESSED:
                remedy = "Save it again with cryosparc-tools: Dataset.load(PATH).save(PATH)"
                raise FileError(path, "is a compressed CryoSPARC dataset", remedy)
            file.seek(0)
            rows = np.lib.format.read_array(file, allow_pickle=False)
    except FileError:
        raise
    except OSError as error:
        raise FileError(path, f"cannot be read ({error.strerror or error})", "Check the path and its permissions") from None
    except Exception as error:  # NumPy reads the header as Python, which fails in many ways
        raise _no_dataset(path, str(error)) from None
    if rows.dtype.names is None or rows.ndim != 1:
        raise _no_dataset(path, "it has no named columns")
    return rows


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
    return FileError(path, f"is not a CryoSPARC dataset ({why})", "Give a .cs file of a CryoSPARC job, not its .csg")
