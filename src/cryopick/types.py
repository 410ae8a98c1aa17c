"""Micrographs and picks, the two types that every layer shares.

Both live in the *image frame*: array indices of the pixels as stored in the file, x = column, y = row, the centre of
the first stored pixel at (0, 0). Other frames occur only in `cryopick.coordinates` and in readers and writers.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike, fspath
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryopick.checks import (
    check_length,
    checked_diameters,
    checked_name,
    checked_pixel_size,
    checked_points,
    checked_positive,
    checked_scores,
    counted_picks,
    number_array,
    short,
)
from cryopick.columns import RESERVED_COLUMNS, Columns
from cryopick.coordinates import length_from_px, length_to_px
from cryopick.errors import CryopickError, SettingError

FileKind = Literal["mrc", "tiff", "png", "jpeg", "array"]


@dataclass(frozen=True, eq=False, repr=False)
class Micrograph:
    """One motion-corrected micrograph.

    Attributes
    ----------
    pixels : float32 (h, w), finite, row 0 = first row of the file. Any array of numbers is converted; float32 is not copied.
    pixel_size : Å per pixel; None when unknown, and lengths are then in pixels.
    name : how other programs' files refer to it, folders and extension included.
    path : the file it was read from; None for an array.
    kind : the file's format, which writers need because RELION counts the rows of TIFFs from the bottom.
    optics_group : RELION's optics group or CryoSPARC's exposure group; 1 when there is none.
    uid : CryoSPARC's number of the exposure; None from other files.

    Raises
    ------
    CryopickError
        For an array that is empty or not two-dimensional, values that are not finite numbers, and a pixel size that is not
        positive.

    Examples
    --------
    >>> import numpy as np
    >>> micrograph = Micrograph(np.zeros((100, 200)), pixel_size=1.5, name="m.mrc")
    >>> micrograph.shape_hw, micrograph.to_px(150)
    ((100, 200), 100.0)
    """

    pixels: NDArray[np.float32]
    pixel_size: float | None
    name: str
    path: Path | None
    kind: FileKind
    optics_group: int
    uid: int | None

    # Annotations in quotes are shown as they are here, not as the long unions that they stand for.
    def __init__(
        self,
        pixels: "ArrayLike",
        pixel_size: float | None = None,
        name: str = "micrograph",
        path: Path | None = None,
        kind: FileKind = "array",
        optics_group: int = 1,
        uid: int | None = None,
    ) -> None:
        name = checked_name(name)
        array = np.ascontiguousarray(number_array(pixels, np.float32, f"{name}: pixels"))
        if array.ndim != 2 or 0 in array.shape:
            raise CryopickError(f"{name}: a micrograph is a non-empty (h, w) array, got shape {array.shape}")
        if not np.isfinite(array).all():
            raise CryopickError(f"{name}: contains NaN or infinite values; replace them first")
        pixel_size = checked_pixel_size(pixel_size, name)
        _fill(self, pixels=array, pixel_size=pixel_size, name=name, path=path, kind=kind, optics_group=optics_group, uid=uid)

    def __repr__(self) -> str:
        height, width = self.pixels.shape
        size = "unknown pixel size" if self.pixel_size is None else f"{self.pixel_size:g} Å per pixel"
        return f"<Micrograph {self.name!r}: {width} x {height} pixels, {size}>"

    @property
    def shape_hw(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def to_px(self, length: float) -> float:
        """Convert `length` to pixels: from Å, or unchanged when the pixel size is unknown."""
        return length_to_px(length, self.pixel_size)

    def from_px(self, length_px: float) -> float:
        """Convert `length_px` from pixels: to Å, or unchanged when the pixel size is unknown."""
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


@dataclass(frozen=True, eq=False, repr=False)
class Picks:
    """Particle centres found in, or marked on, one micrograph.

    `len`, iteration and indexing work on picks: an integer gives a `Pick`; a slice, a mask or an index array gives `Picks`.
    Lists and arrays of any numeric type are converted. `dataclasses.replace(picks, diameter=200)` makes a changed copy.

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
        For coordinates that are not an (n, 2) array, values that are not finite numbers, columns of different lengths, diameters
        or a pixel size that are not positive, and names in `data` that are empty or taken (`x`, `y`, `score`, `diameter`).

    Examples
    --------
    >>> xy = [[10, 20], [30, 40], [50, 60]]
    >>> picks = Picks("m.mrc", xy, [0.9, 0.2, 0.6], diameter=150, pixel_size=1.5)
    >>> picks
    <Picks on 'm.mrc': 3 picks, scores 0.2 to 0.9, diameter 150 Å>
    >>> len(picks), picks.diameter_px
    (3, 100.0)
    >>> picks[picks.scores > 0.5].xy.tolist()
    [[10.0, 20.0], [50.0, 60.0]]
    >>> [pick.x for pick in picks[:2]]
    [10.0, 30.0]
    >>> classified = Picks("m.mrc", xy, data={"class": [1, 2, 1]})
    >>> classified[[2, 1]].data["class"].tolist()
    [1, 2]
    """

    micrograph: str
    xy: NDArray[np.float64]
    scores: NDArray[np.float32] | None
    diameter: float | None
    shape_hw: tuple[int, int] | None
    pixel_size: float | None
    optics_group: int
    uid: int | None
    diameters: NDArray[np.float64] | None
    data: Mapping[str, NDArray[Any]]

    def __init__(
        self,
        micrograph: str,
        xy: "ArrayLike" = (),
        scores: "ArrayLike | None" = None,
        diameter: float | None = None,
        shape_hw: tuple[int, int] | None = None,
        pixel_size: float | None = None,
        optics_group: int = 1,
        uid: int | None = None,
        diameters: "ArrayLike | None" = None,
        data: "Mapping[str, ArrayLike]" = MappingProxyType({}),
    ) -> None:
        name = checked_name(micrograph)
        points = checked_points(xy, name)
        sizes = checked_diameters(diameters, len(points), name)
        if diameter is not None:
            diameter = checked_positive(diameter, f"{name}: the diameter")
        elif sizes is not None and len(sizes):
            diameter = float(np.median(sizes))
        _fill(
            self,
            micrograph=name,
            xy=points,
            scores=checked_scores(scores, len(points), name),
            diameter=diameter,
            shape_hw=shape_hw,
            pixel_size=checked_pixel_size(pixel_size, name),
            optics_group=optics_group,
            uid=uid,
            diameters=sizes,
            data=_columns(data, len(points), name),
        )

    def __repr__(self) -> str:
        parts = [counted_picks(len(self))]
        if self.scores is not None and len(self):
            parts.append(f"scores {self.scores.min():.3g} to {self.scores.max():.3g}")
        if self.diameter is not None:
            parts.append(f"diameter {self.diameter:g} {'pixels' if self.pixel_size is None else 'Å'}")
        if self.data:
            parts.append(f"data {', '.join(self.data)}")
        return f"<Picks on {self.micrograph!r}: {', '.join(parts)}>"

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
            if not -len(self) <= indices < len(self):
                raise IndexError(f"no pick {indices}: {self.micrograph} has {counted_picks(len(self))}")
            return self._pick(int(indices))
        if indices.ndim == 0 and indices.dtype.kind == "U":
            raise TypeError(f"picks are indexed by number; columns are attributes such as xy, scores and data[{chosen!r}]")
        if indices.ndim != 1 or (indices.size and indices.dtype.kind not in "biu"):
            raise TypeError(f"picks are indexed by an integer, a slice, a mask or an array of integers, not {short(chosen)}")
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
        """Return the picks that `keep`, a boolean mask or an index array, selects, in its order: the same as `picks[keep]`."""
        return self[keep]

    def with_points(self, xy: ArrayLike, scores: ArrayLike | None = None) -> "Picks":
        """Other points `xy` (n, 2), with `scores` (n,) if given, on the same micrograph; `diameters` and `data` are dropped."""
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
    if isinstance(picks, str | PathLike):
        raise SettingError(f"{call}: expected picks, got the path {fspath(picks)}; read it with read_picks first")
    if isinstance(picks, Picks):
        return iter((picks,))
    if not isinstance(picks, Iterable):
        raise SettingError(f"{call}: expected the picks of one micrograph or of several, got {short(picks)}")
    return (_checked(each, call) for each in picks)


def _checked(each: object, call: str) -> Picks:
    if not isinstance(each, Picks):
        raise SettingError(f"{call}: expected the picks of a micrograph, got {short(each)}")
    return each


def usual_diameter(picks: Iterable[Picks]) -> float | None:
    """Return the median of the known diameters; None if all are unknown."""
    known = [each.diameter for each in picks if each.diameter is not None]
    return float(np.median(known)) if known else None


def _columns(data: Mapping[str, ArrayLike], count: int, name: str) -> Columns:
    try:
        columns = data if isinstance(data, Columns) else Columns(data)
    except CryopickError as error:
        raise CryopickError(f"{name}: {error}") from None
    for column, values in columns.items():
        if column in RESERVED_COLUMNS:
            raise CryopickError(f"{name}: a column of data cannot be called {column!r}; that is a field of its own")
        check_length(len(values), count, f"values of {column!r}", name)
    return columns


def _fill(instance: object, **values: object) -> None:
    """Set the attributes of a frozen instance."""
    for name, value in values.items():
        object.__setattr__(instance, name, value)
