"""Every change of coordinates: flips, half-pixels, corners, fractions, Å. No other module computes any of them.

The image frame is described in `cryopick.types`. A `PixelMap` leads from the pixels of a changed picture (cropped, binned, …)
back to the picture it was made from; a `Frame` says how a file format writes a point.
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
    """Affine map, axis by axis, from the pixels of a changed picture to those of its home: `home = scale * xy + shift`.

    Both pairs are (x, y). Every function that changes a picture's geometry returns one; `then` joins two.
    """

    scale: tuple[float, float] = (1.0, 1.0)
    shift: tuple[float, float] = (0.0, 0.0)

    def to_home(self, xy: ArrayLike) -> Points:
        """Points (n, 2) of the changed picture, in its home's pixels."""
        return _points(xy) * self.scale + self.shift

    def from_home(self, xy: ArrayLike) -> Points:
        """Points (n, 2) of the home, in the changed picture's pixels."""
        return (_points(xy) - self.shift) / self.scale

    def then(self, later: "PixelMap") -> "PixelMap":
        """This change followed by `later`, made on its result: still leads to this one's home."""
        (sx, sy), (tx, ty) = self.scale, self.shift
        (ux, uy), (vx, vy) = later.scale, later.shift
        return PixelMap((sx * ux, sy * uy), (sx * vx + tx, sy * vy + ty))

    @property
    def length(self) -> float:
        """Home pixels per pixel of the changed picture (geometric mean of the two axes)."""
        return float(np.sqrt(abs(self.scale[0] * self.scale[1])))

    @staticmethod
    def crop(left: float, top: float) -> "PixelMap":
        """A part whose first pixel is home's column `left`, row `top`; a tile is one. Negative where pixels were added."""
        return PixelMap(shift=(left, top))

    @staticmethod
    def pad(left: int, top: int) -> "PixelMap":
        """A picture with `left` columns and `top` rows added before its first pixel."""
        return PixelMap.crop(-left, -top)

    @staticmethod
    def resize(factor_xy: tuple[float, float]) -> "PixelMap":
        """Block mean, bilinear or area resize to 1/factor of the size, picture edges kept: `home = (xy + ½) f − ½`.

        `factor_xy` is home size / new size for columns and rows.
        """
        fx, fy = factor_xy
        return PixelMap((fx, fy), ((fx - 1) / 2, (fy - 1) / 2))

    @staticmethod
    def fourier_crop(factor_xy: tuple[float, float]) -> "PixelMap":
        """Resampling by cutting the Fourier transform: the first pixel's centre stays, so `home = xy f`."""
        return PixelMap(factor_xy)

    @staticmethod
    def flip_rows(height: int) -> "PixelMap":
        """The picture upside down: `y = height − 1 − y`."""
        return PixelMap((1.0, -1.0), (0.0, height - 1.0))

    @staticmethod
    def flip_columns(width: int) -> "PixelMap":
        """The picture mirrored left to right: `x = width − 1 − x`."""
        return PixelMap((-1.0, 1.0), (width - 1.0, 0.0))

    @staticmethod
    def from_edges() -> "PixelMap":
        """Points counted from the picture's outer edges, where the first pixel spans 0 to 1: boxes fit such numbers."""
        return PixelMap(shift=(-0.5, -0.5))


@dataclass(frozen=True)
class Frame:
    """How a file format writes a point; converts to and from the image frame.

    Attributes
    ----------
    anchor : the point written for a particle, its box's centre or its box's first pixel.
    unit : pixels, fractions of the picture's width and height, or Å.
    rows : counted from the first row of the file ("down") or from the last ("up").
    quantum : written numbers are multiples of this; None keeps the decimals.
    box_centre : with a corner, the centre is the pixel `corner + size // 2`, as RELION and EMAN count, or the exact
        `corner + size / 2`.
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
        shape_hw: tuple[int, int] | None = None,
        pixel_size: float | None = None,
        box: ArrayLike | None = None,
    ) -> Points:
        """Points (n, 2) as the file has them, in the image frame.

        `box` is the box size in pixels, one for all or (n, 2) widths and heights; a corner needs it. Fractions and rows counted
        from the bottom need `shape_hw`, Å need `pixel_size`; raises `CryopickError` where one is missing.
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
        """The inverse of `to_image`, rounded to `quantum` (halves away from zero, as RELION's ROUND)."""
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


def length_to_px(length: float, pixel_size: float | None) -> float:
    """A length in pixels: from Å where the pixel size [Å] is known, else it is in pixels already."""
    return length if pixel_size is None else length / pixel_size


def length_from_px(length_px: float, pixel_size: float | None) -> float:
    """A length of some pixels in Å where the pixel size [Å] is known, else in pixels."""
    return length_px if pixel_size is None else length_px * pixel_size


def relion_rows(name: str) -> Literal["down", "up"]:
    """How RELION counts the rows of a micrograph: from the bottom in TIFFs, which it flips when it reads them."""
    return "up" if PurePath(name).suffix.lower() in {".tif", ".tiff"} else "down"


def inside(xy: ArrayLike, shape_hw: tuple[int, int], *, border: float = 0.0) -> NDArray[np.bool_]:
    """Which points (n, 2) lie on the picture and at least `border` pixels from the centres of its outermost pixels."""
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
        raise CryopickError(f"{what} is needed to convert these coordinates; give it, or give the micrographs")
    return value
