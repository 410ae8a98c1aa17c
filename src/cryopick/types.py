"""Micrographs and picks, the two types that every layer shares.

Both live in the *image frame*: array indices of the pixels as stored in the file, x = column, y = row, the centre of
the first stored pixel at (0, 0). Other frames occur only in `cryopick.coordinates` and in readers and writers.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryopick.coordinates import length_from_px, length_to_px
from cryopick.errors import CryopickError, SettingError
from cryopick.messages import counted

FileKind = Literal["mrc", "tiff", "png", "jpeg", "array"]
RESERVED_COLUMNS = frozenset({"x", "y", "score", "diameter"})
"""Names that columns of `Picks.data` must not have."""


@dataclass(frozen=True, eq=False)
class Micrograph:
    """One motion-corrected micrograph.

    Attributes
    ----------
    pixels : float32 (h, w), finite, row 0 = first row of the file.
    pixel_size : Å per pixel; None when unknown, and lengths are then in pixels.
    name : how other programs' files refer to it, folders and extension included.
    path : the file it was read from; None for an array.
    kind : the file's format, which writers need because RELION counts the rows of TIFFs from the bottom.
    optics_group : RELION's optics group or CryoSPARC's exposure group; 1 when there is none.
    uid : CryoSPARC's number of the exposure; None from other files.

    Raises
    ------
    CryopickError
        For an array that is empty or not two-dimensional, for NaN and infinite values, and for a pixel size that is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> micrograph = Micrograph(np.zeros((100, 200)), pixel_size=1.5, name="m.mrc")
    >>> micrograph.shape_hw, micrograph.to_px(150)
    ((100, 200), 100.0)
    """

    pixels: NDArray[np.float32]
    pixel_size: float | None = None
    name: str = "micrograph"
    path: Path | None = None
    kind: FileKind = "array"
    optics_group: int = 1
    uid: int | None = None

    def __post_init__(self) -> None:
        pixels = np.ascontiguousarray(self.pixels, dtype=np.float32)
        if pixels.ndim != 2 or 0 in pixels.shape:
            raise CryopickError(f"{self.name}: a micrograph is a non-empty (h, w) array, got shape {pixels.shape}")
        if not np.isfinite(pixels).all():
            raise CryopickError(f"{self.name}: contains NaN or infinite values; replace them first")
        object.__setattr__(self, "pixels", pixels)
        object.__setattr__(self, "pixel_size", checked_pixel_size(self.pixel_size, self.name))

    @property
    def shape_hw(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def to_px(self, length: float) -> float:
        """Convert a length to pixels: from Å, or unchanged when the pixel size is unknown."""
        return length_to_px(length, self.pixel_size)

    def from_px(self, length_px: float) -> float:
        """Convert a length from pixels: to Å, or unchanged when the pixel size is unknown."""
        return length_from_px(length_px, self.pixel_size)


@dataclass(frozen=True)
class Pick:
    """One particle: a row of `Picks`.

    Attributes
    ----------
    x, y : centre in pixels of the micrograph, image frame.
    score : the pick's score; None when the picks have none.
    diameter : Å when the pixel size is known, else pixels; None when unknown.
    data : values of further columns by name.

    Examples
    --------
    >>> Picks("m.mrc", [[10.0, 20.0]], [0.5], data={"class": [3]})[0]
    Pick(x=10.0, y=20.0, score=0.5, diameter=None, data={'class': 3})
    """

    x: float
    y: float
    score: float | None = None
    diameter: float | None = None
    data: dict[str, Any] = field(default_factory=dict)


class Columns(Mapping[str, NDArray[Any]]):
    """Named columns of equal length; neither the mapping nor its arrays can be changed.

    Raises `CryopickError` for an array that is not one-dimensional, or holds anything but numbers, bools and strings.
    """

    __slots__ = ("_arrays",)

    def __init__(self, columns: Mapping[str, ArrayLike] = MappingProxyType({})) -> None:
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


@dataclass(frozen=True, eq=False)
class Picks:
    """Particle centres found in, or marked on, one micrograph.

    `len`, iteration and indexing are by pick: an integer gives a `Pick`; a slice, a boolean mask or an index array gives `Picks`.

    Attributes
    ----------
    micrograph : the micrograph's name.
    xy : float64 (n, 2), image frame, pixels of the micrograph.
    scores : float32 (n,), in [0, 1] from our pickers, other programs' figures of merit unchanged; None when there are none.
    diameter : the particles' common diameter in Å when `pixel_size` is known, else in pixels; None when unknown. The median of
        `diameters` unless given.
    shape_hw : the micrograph's (height, width), needed to flip rows or to read fractions; None when unknown.
    pixel_size : Å per pixel; None when unknown.
    optics_group : RELION's optics group or CryoSPARC's exposure group of the micrograph; 1 when there is none.
    uid : CryoSPARC's number of the micrograph's exposure; None when there is none.
    diameters : float64 (n,), a diameter for each pick, in the unit of `diameter`; None when there are none.
    data : further columns by name, such as classes and rotations: arrays (n,) of numbers, bools or strings. Read-only.

    Raises
    ------
    CryopickError
        For coordinates that are not finite, columns of different lengths, diameters or a pixel size that are not positive, and
        names in `data` that are empty or taken (`x`, `y`, `score`, `diameter`).

    Examples
    --------
    >>> picks = Picks("m.mrc", [[10, 20], [30, 40], [50, 60]], [0.9, 0.2, 0.6], diameter=150, pixel_size=1.5)
    >>> len(picks), picks.diameter_px
    (3, 100.0)
    >>> picks[picks.scores > 0.5].xy.tolist()
    [[10.0, 20.0], [50.0, 60.0]]
    >>> [pick.x for pick in picks[:2]]
    [10.0, 30.0]
    >>> Picks("m.mrc", picks.xy, data={"class": [1, 2, 1]})[[2, 1]].data["class"].tolist()
    [1, 2]
    """

    micrograph: str
    xy: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))
    scores: NDArray[np.float32] | None = None
    diameter: float | None = None
    shape_hw: tuple[int, int] | None = None
    pixel_size: float | None = None
    optics_group: int = 1
    uid: int | None = None
    diameters: NDArray[np.float64] | None = None
    data: Mapping[str, NDArray[Any]] = field(default_factory=Columns)

    def __post_init__(self) -> None:
        xy = np.array(self.xy, dtype=np.float64).reshape(-1, 2)
        unusable = int(np.count_nonzero(~np.isfinite(xy).all(axis=1)))
        if unusable:
            picks = counted(unusable, "pick")
            raise CryopickError(f"{self.micrograph}: {picks} with coordinates that are not finite numbers")
        object.__setattr__(self, "xy", xy)
        if self.scores is not None:
            scores = np.array(self.scores, dtype=np.float32).reshape(-1)
            self._check_length(len(scores), "score")
            object.__setattr__(self, "scores", scores)
        self._check_diameters()
        self._check_data()
        object.__setattr__(self, "pixel_size", checked_pixel_size(self.pixel_size, self.micrograph))

    def _check_diameters(self) -> None:
        if self.diameter is not None and not (np.isfinite(self.diameter) and self.diameter > 0):
            raise CryopickError(f"{self.micrograph}: the diameter must be positive, got {self.diameter}")
        if self.diameters is None:
            return
        diameters = np.array(self.diameters, dtype=np.float64).reshape(-1)
        self._check_length(len(diameters), "diameter")
        wrong = ~(np.isfinite(diameters) & (diameters > 0))
        if wrong.any():
            raise CryopickError(f"{self.micrograph}: diameters must be positive, got {diameters[wrong][0]}")
        diameters.flags.writeable = False
        object.__setattr__(self, "diameters", diameters)
        if self.diameter is None and len(diameters):
            object.__setattr__(self, "diameter", float(np.median(diameters)))

    def _check_data(self) -> None:
        try:
            columns = self.data if isinstance(self.data, Columns) else Columns(self.data)
        except CryopickError as error:
            raise CryopickError(f"{self.micrograph}: {error}") from None
        for name, values in columns.items():
            if name in RESERVED_COLUMNS:
                raise CryopickError(f"{self.micrograph}: a column of data cannot be called {name!r}; that is a field of its own")
            self._check_length(len(values), f"value of {name!r}", f"values of {name!r}")
        object.__setattr__(self, "data", columns)

    def _check_length(self, count: int, noun: str, plural: str | None = None) -> None:
        if count != len(self.xy):
            picks, values = counted(len(self.xy), "pick"), counted(count, noun, plural)
            raise CryopickError(f"{self.micrograph}: {picks} but {values}; give one for each pick")

    def __len__(self) -> int:
        return len(self.xy)

    def __iter__(self) -> Iterator[Pick]:
        return (self._pick(number) for number in range(len(self)))

    @overload
    def __getitem__(self, chosen: int | np.integer[Any]) -> Pick: ...
    @overload
    def __getitem__(self, chosen: slice | ArrayLike) -> "Picks": ...
    def __getitem__(self, chosen: int | np.integer[Any] | slice | ArrayLike) -> "Pick | Picks":
        if isinstance(chosen, slice):
            return self._chosen(chosen)
        indices = np.asarray(chosen)
        if indices.ndim == 0 and indices.dtype.kind in "iu":
            return self._pick(range(len(self))[int(indices)])
        if indices.ndim != 1 or (indices.size and indices.dtype.kind not in "biu"):
            raise TypeError(f"picks are indexed by an integer, a slice, a mask or an array of integers, not {chosen!r}")
        return self._chosen(indices if indices.size or indices.dtype == bool else indices.astype(np.intp))

    def _pick(self, number: int) -> Pick:
        x, y = self.xy[number].tolist()
        diameter = self.diameter if self.diameters is None else float(self.diameters[number])
        data = {name: values[number].item() for name, values in self.data.items()}
        return Pick(x, y, None if self.scores is None else float(self.scores[number]), diameter, data)

    def _chosen(self, chosen: slice | NDArray[Any]) -> "Picks":
        return replace(
            self,
            xy=self.xy[chosen],
            scores=None if self.scores is None else self.scores[chosen],
            diameters=None if self.diameters is None else self.diameters[chosen],
            data={name: values[chosen] for name, values in self.data.items()},
        )

    @property
    def diameter_px(self) -> float | None:
        """The common diameter in pixels of the micrograph; None when unknown."""
        return None if self.diameter is None else length_to_px(self.diameter, self.pixel_size)

    @property
    def diameters_px(self) -> NDArray[np.float64] | None:
        """The diameter of each pick, float64 (n,) in pixels of the micrograph; None if there is only a common one."""
        return None if self.diameters is None else self.diameters / (length_from_px(1.0, self.pixel_size))

    def where(self, keep: ArrayLike) -> "Picks":
        """Return the picks that a boolean mask or an index array selects, in its order: `picks[keep]`."""
        return self[keep]

    def with_points(self, xy: ArrayLike, scores: ArrayLike | None = None) -> "Picks":
        """Replace the points (n, 2); scores, `diameters` and `data` of the old ones are dropped."""
        values = None if scores is None else np.asarray(scores, np.float32)
        return replace(self, xy=np.asarray(xy, np.float64), scores=values, diameters=None, data=Columns())

    def to_table(self) -> Any:
        """Return the picks as a pandas `DataFrame`, or as a dict of arrays (n,) if pandas is not installed.

        The columns are `x`, `y`, `score`, `diameter` and those of `data`; absent ones are omitted.

        Examples
        --------
        >>> table = Picks("m.mrc", [[1, 2], [3, 4]], [0.5, 0.25]).to_table()
        >>> [*table], [*table["y"]]
        (['x', 'y', 'score'], [2.0, 4.0])
        """
        columns: dict[str, NDArray[Any]] = {"x": self.xy[:, 0].copy(), "y": self.xy[:, 1].copy()}
        if self.scores is not None:
            columns["score"] = self.scores.copy()
        if self.diameters is not None:
            columns["diameter"] = self.diameters.copy()
        elif self.diameter is not None:
            columns["diameter"] = np.full(len(self), self.diameter, np.float64)
        columns |= {name: values.copy() for name, values in self.data.items()}
        try:
            import pandas as pd
        except ImportError:
            return columns
        return pd.DataFrame(columns)


def each_picks(picks: Picks | Iterable[Picks], call: str) -> Iterator[Picks]:
    """Iterate over the picks of one micrograph or of many, one micrograph at a time.

    Raises `SettingError`, which begins with `call`, for a path and, during iteration, for anything else that is not `Picks`.
    """
    if isinstance(picks, str | PurePath):
        raise SettingError(f"{call}: the first argument is a path ({picks}); give the picks first, then the path")
    if isinstance(picks, Picks):
        return iter((picks,))
    if not isinstance(picks, Iterable):
        raise SettingError(f"{call}: expected the picks of one micrograph or of several, got {picks!r}")
    return (_checked(each, call) for each in picks)


def _checked(each: object, call: str) -> Picks:
    if not isinstance(each, Picks):
        raise SettingError(f"{call}: expected the picks of a micrograph, got {each!r}")
    return each


def usual_diameter(picks: Iterable[Picks]) -> float | None:
    """Return the median of the known diameters; None if all are unknown."""
    known = [each.diameter for each in picks if each.diameter is not None]
    return float(np.median(known)) if known else None


def checked_pixel_size(pixel_size: float | None, name: str) -> float | None:
    """Return the pixel size as a float. Raises `CryopickError`, which begins with `name`, unless it is positive and finite."""
    if pixel_size is None:
        return None
    if not (np.isfinite(pixel_size) and pixel_size > 0):
        raise CryopickError(f"{name}: the pixel size must be positive, got {pixel_size} Å; omit it when it is unknown")
    return float(pixel_size)


def _column(name: str, values: ArrayLike) -> NDArray[Any]:
    if not (isinstance(name, str) and name.strip()):
        raise CryopickError(f"a column of data needs a name, got {name!r}")
    column = np.array(values)
    if column.dtype.kind == "S":
        column = np.char.decode(column, "utf-8", "surrogateescape")
    elif column.dtype.kind == "T" or (column.dtype.kind == "O" and all(isinstance(value, str) for value in column.flat)):
        column = column.astype(np.str_)
    if column.ndim != 1 or column.dtype.kind not in "biufU":
        raise CryopickError(f"the column {name!r} must be one-dimensional and hold numbers, bools or strings")
    column.flags.writeable = False
    return column
