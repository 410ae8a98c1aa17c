"""Checks of values that users give: each returns the value as it is used, or raises an error that says what is wrong with it."""

import reprlib
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryopick.errors import CryopickError, SettingError

T = TypeVar("T", bound=np.generic)


def checked_path(path: object, call: str) -> Path:
    """Return the path of a file or folder. Raises `SettingError`, which begins with `call`, for anything else."""
    if not isinstance(path, str | PathLike):
        raise SettingError(f"{call}: expected a path, got {short(path)}")
    return Path(path)


def checked_pixel_size(pixel_size: float | None, name: str) -> float | None:
    """Return the pixel size as a float; raises `CryopickError`, which begins with `name`, unless it is positive and finite."""
    if pixel_size is None:
        return None
    return float(checked_positive(pixel_size, f"{name}: the pixel size", " Å; omit it when it is unknown"))


def checked_positive(value: Any, what: str, rest: str = "", *, error: type[CryopickError] = CryopickError) -> float:
    """Return a number that must be positive and finite. Raises an error of `what`, the value, and the `rest` of the sentence."""
    number = value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value  # such as a field of an MRC header
    if not (isinstance(number, Real) and 0 < float(number) < np.inf):
        raise error(f"{what} must be positive, got {short(value)}{rest}")
    return cast(float, number)


def short(value: object) -> str:
    """Return a value as messages show it: large ones in part."""
    return str(value) if isinstance(value, Real) else reprlib.repr(value)


def checked_name(name: object) -> str:
    """Return a micrograph's name. Raises `CryopickError` unless it is text."""
    if not isinstance(name, str):
        raise CryopickError(f"the micrograph's name must be text, got {short(name)}")
    return name


def number_array(values: ArrayLike, dtype: type[T], what: str) -> NDArray[T]:
    """Values as an array of numbers, copied only if they have another type. Raises `CryopickError`, which begins with `what`."""
    try:
        array = np.asarray(values)
        if array.size and array.dtype.kind not in "biuf":
            raise ValueError
        return array.astype(dtype, copy=False)
    except (TypeError, ValueError):  # ragged rows, text, complex numbers, objects
        raise CryopickError(f"{what} must be an array of numbers, got {short(values)}") from None


def checked_points(xy: ArrayLike, name: str) -> NDArray[np.float64]:
    """Points as a new array float64 (n, 2). Raises `CryopickError`, which begins with `name`, for any other shape and for NaN."""
    points = np.array(number_array(xy, np.float64, f"{name}: coordinates"))
    if points.size == 0:
        return points.reshape(0, 2)
    if points.ndim != 2 or points.shape[1] != 2:
        raise CryopickError(f"{name}: coordinates are an (n, 2) array of x and y, got shape {points.shape}")
    finite = np.isfinite(points).all(axis=1)
    if not finite.all():
        raise CryopickError(
            f"{name}: {counted_picks(int(np.count_nonzero(~finite)))} with coordinates that are not finite numbers"
        )
    return points


def checked_scores(scores: ArrayLike | None, count: int, name: str) -> NDArray[np.float32] | None:
    """Scores of `count` picks as a new array float32 (n,). Raises `CryopickError` for another number of them and for NaN."""
    if scores is None:
        return None
    values = np.array(number_array(scores, np.float32, f"{name}: scores")).reshape(-1)
    check_length(len(values), count, "scores", name)
    wrong = int(np.count_nonzero(~np.isfinite(values)))
    if wrong:
        raise CryopickError(f"{name}: {counted_picks(wrong)} with a score that is not a finite number")
    return values


def checked_diameters(diameters: ArrayLike | None, count: int, name: str) -> NDArray[np.float64] | None:
    """Diameters of `count` picks as a read-only array float64 (n,). Raises `CryopickError` unless all are positive."""
    if diameters is None:
        return None
    values = np.array(number_array(diameters, np.float64, f"{name}: diameters")).reshape(-1)
    check_length(len(values), count, "diameters", name)
    wrong = ~(np.isfinite(values) & (values > 0))
    if wrong.any():
        raise CryopickError(f"{name}: diameters must be positive, got {values[wrong][0]}")
    values.flags.writeable = False
    return values


def check_length(length: int, count: int, what: str, name: str) -> None:
    """Raise `CryopickError` unless there is one of `what` for each pick."""
    if length != count:
        raise CryopickError(f"{name}: {counted_picks(count)} but {length} {what}; give one for each pick")


def counted_picks(count: int) -> str:
    """``1 pick``, ``2 picks``."""
    return f"{count} pick{'' if count == 1 else 's'}"
