"""Coordinate conversions: flips, half-pixels, corners, fractions, Å. No other module performs any.

The image frame is described in `cryopick.types`. A `PixelMap` maps pixels of a transformed image (cropped, binned, …) to the
image it was made from; a `Frame` describes how a file format writes a point.
"""

from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryopick.errors import CryopickError

Points = NDArray[np.float64]
T = TypeVar("T")


@dataclass(frozen=True)
class PixelMap:
    """Affine map, axis by axis, from pixels of a transformed image to those of its original: `original = scale * xy + shift`.

    Functions that change an image's geometry return one; `then` composes two.

    Attributes
    ----------
    scale : (x, y), pixels of the original per pixel of the transformed image.
    shift : (x, y), pixels of the original.

    Examples
    --------
    >>> binned = PixelMap.resize((2, 2))
    >>> binned.to_home([[0, 0], [10, 20]]).tolist()
    [[0.5, 0.5], [20.5, 40.5]]
    >>> tile = PixelMap.crop(100, 200).then(binned)
    >>> tile.to_home([[0, 0]]).tolist(), tile.length
    ([[100.5, 200.5]], 2.0)
    """

    scale: tuple[float, float] = (1.0, 1.0)
    shift: tuple[float, float] = (0.0, 0.0)

    def to_home(self, xy: ArrayLike) -> Points:
        """Map points `xy` (n, 2) of the transformed image to the original."""
        return _points(xy) * self.scale + self.shift

    def from_home(self, xy: ArrayLike) -> Points:
        """Map points `xy` (n, 2) of the original to the transformed image."""
        return (_points(xy) - self.shift) / self.scale

    def then(self, later: "PixelMap") -> "PixelMap":
        """Compose with `later`, a transformation of this one's result; the map leads to this one's original."""
        (sx, sy), (tx, ty) = self.scale, self.shift
        (ux, uy), (vx, vy) = later.scale, later.shift
        return PixelMap((sx * ux, sy * uy), (sx * vx + tx, sy * vy + ty))

    @property
    def length(self) -> float:
        """Pixels of the original per pixel of the transformed image, the geometric mean of both axes."""
        return float(np.sqrt(abs(self.scale[0] * self.scale[1])))

    @staticmethod
    def crop(left: float, top: float) -> "PixelMap":
        """Map a crop or tile whose first pixel is the original's column `left`, row `top`; negative where pixels were added."""
        return PixelMap(shift=(left, top))

    @staticmethod
    def pad(left: int, top: int) -> "PixelMap":
        """Map an image with `left` columns and `top` rows added before its first pixel."""
        return PixelMap.crop(-left, -top)

    @staticmethod
    def resize(factor_xy: tuple[float, float]) -> "PixelMap":
        """Map a block mean, bilinear or area resize to 1/factor of the size with aligned edges: `original = (xy + ½) f − ½`.

        `factor_xy` is original size / new size for columns and rows.
        """
        fx, fy = factor_xy
        return PixelMap((fx, fy), ((fx - 1) / 2, (fy - 1) / 2))

    @staticmethod
    def fourier_crop(factor_xy: tuple[float, float]) -> "PixelMap":
        """Fourier cropping by `factor_xy`, as in `resize`: the first pixel's centre stays, so `original = xy f`."""
        return PixelMap(factor_xy)

    @staticmethod
    def flip_rows(height: float) -> "PixelMap":
        """Map an image flipped upside down: `y = height − 1 − y`."""
        return PixelMap((1.0, -1.0), (0.0, height - 1.0))

    @staticmethod
    def flip_columns(width: int) -> "PixelMap":
        """Map an image mirrored left to right: `x = width − 1 − x`."""
        return PixelMap((-1.0, 1.0), (width - 1.0, 0.0))

    @staticmethod
    def from_edges() -> "PixelMap":
        """Map points measured from the image's outer edges, where the first pixel spans 0 to 1, as in bounding boxes."""
        return PixelMap(shift=(-0.5, -0.5))


@dataclass(frozen=True)
class Frame:
    """A file format's convention for points; converts to and from the image frame.

    Attributes
    ----------
    anchor : the point written for a particle: the centre of its box, or the box's first pixel ("corner").
    unit : pixels, fractions of the micrograph's width and height, or Å.
    rows : counted from the first row of the file ("down") or from the last ("up").
    quantum : written numbers are multiples of this; None keeps the decimals.
    box_centre : with a corner, whether the centre is the pixel `corner + size // 2`, as in RELION and EMAN, or exactly
        `corner + size / 2`.

    Examples
    --------
    >>> cryosparc = Frame(unit="fraction")
    >>> cryosparc.to_image([[0.25, 0.5]], shape_hw=(1000, 2000)).tolist()
    [[500.0, 500.0]]
    >>> eman = Frame(anchor="corner", quantum=1.0)
    >>> eman.from_image([[100.0, 80.0]], box=64).tolist()
    [[68.0, 48.0]]
    """

    anchor: Literal["centre", "corner"] = "centre"
    unit: Literal["px", "fraction", "angstrom"] = "px"
    rows: Literal["down", "up"] = "down"
    quantum: float | None = None
    box_centre: Literal["pixel", "middle"] = "pixel"

    def to_image(
        self,
        xy: ArrayLike,
        *,
        shape_hw: tuple[float, float] | None = None,
        pixel_size: float | None = None,
        box: ArrayLike | None = None,
    ) -> Points:
        """Convert points (n, 2) as the file has them to the image frame.

        Parameters
        ----------
        xy : points in the format's convention.
        shape_hw : the micrograph's height and width in pixels; needed for fractions and rows counted from the last.
        pixel_size : Å per pixel; needed for Å.
        box : box size in pixels, one for all or (n, 2) widths and heights; needed for corners.

        Raises
        ------
        CryopickError
            When a value that is needed is not given.
        """
        points = _points(xy)
        if self.unit == "fraction":
            height, width = _known(shape_hw, "the micrograph's shape")
            points = points * (width, height)
        elif self.unit == "angstrom":
            points = points / _known(pixel_size, "the pixel size")
        if self.anchor == "corner":
            points = points + self._half(box, len(points))
        if self.rows == "up":
            points = PixelMap.flip_rows(_known(shape_hw, "the micrograph's shape")[0]).to_home(points)
        return points

    def from_image(
        self,
        xy: ArrayLike,
        *,
        shape_hw: tuple[int, int] | None = None,
        pixel_size: float | None = None,
        box: ArrayLike | None = None,
    ) -> Points:
        """Convert points (n, 2) of the image frame to the format's convention: the inverse of `to_image`.

        The parameters `xy`, `shape_hw`, `pixel_size` and `box` are those of `to_image`.

        Results are rounded to `quantum`, halves away from zero, as by RELION's ROUND.
        """
        points = _points(xy)
        if self.rows == "up":
            points = PixelMap.flip_rows(_known(shape_hw, "the micrograph's shape")[0]).from_home(points)
        if self.quantum is not None and self.anchor == "corner":
            points = _round(points, self.quantum)  # the centre is rounded: halves of negative corners go the other way
        if self.anchor == "corner":
            points = points - self._half(box, len(points))
        if self.unit == "fraction":
            height, width = _known(shape_hw, "the micrograph's shape")
            points = points / (width, height)
        elif self.unit == "angstrom":
            points = points * _known(pixel_size, "the pixel size")
        return points if self.quantum is None else _round(points, self.quantum)

    def _half(self, box: ArrayLike | None, count: int) -> Points:
        sizes = np.broadcast_to(np.asarray(_known(box, "the box size"), np.float64), (count, 2))
        return np.floor(sizes / 2) if self.box_centre == "pixel" else sizes / 2


IMAGE_FRAME = Frame()
"""The image frame itself."""


def length_to_px(length: float, pixel_size: float | None) -> float:
    """Convert a length to pixels: from Å, or unchanged when the pixel size [Å] is unknown."""
    return length if pixel_size is None else length / pixel_size


def length_from_px(length_px: float, pixel_size: float | None) -> float:
    """Convert a length from pixels: to Å, or unchanged when the pixel size [Å] is unknown."""
    return length_px if pixel_size is None else length_px * pixel_size


def relion_rows(name: str) -> Literal["down", "up"]:
    """Return the direction in which RELION counts a micrograph's rows: up in TIFFs, which it flips on reading, else down."""
    return "up" if PurePath(name).suffix.lower() in {".tif", ".tiff"} else "down"


def inside(xy: ArrayLike, shape_hw: tuple[int, int], *, border: float = 0.0) -> NDArray[np.bool_]:
    """Return whether each point (n, 2) lies in the image, at least `border` pixels from the centres of its outermost pixels."""
    points = _points(xy)
    height, width = shape_hw
    ok = (points >= border) & (points <= (width - 1 - border, height - 1 - border))
    return np.asarray(ok.all(axis=1))


def _points(xy: ArrayLike) -> Points:
    return np.asarray(xy, dtype=np.float64).reshape(-1, 2)


def _round(points: Points, quantum: float) -> Points:
    return np.copysign(np.floor(np.abs(points) / quantum + 0.5), points) * quantum + 0.0


def _known(value: T | None, what: str) -> T:
    if value is None:
        raise CryopickError(f"{what} is needed to convert these coordinates; give it, or the micrographs")
    return value
