"""The two nouns that every layer shares: what was imaged, and what was found in it.

Both live in the *image frame*: array indices of the pixels as stored in the file, x = column, y = row, the centre of
the first stored pixel at (0, 0). Other frames exist only in `cryopick.coordinates` and in the readers and writers.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryopick.coordinates import length_from_px, length_to_px
from cryopick.errors import CryopickError

FileKind = Literal["mrc", "tiff", "png", "jpeg", "array"]


@dataclass(frozen=True, eq=False)
class Micrograph:
    """One motion-corrected micrograph.

    Attributes
    ----------
    pixels : float32 (h, w), finite, row 0 = first row of the file.
    pixel_size : Å per pixel, or None when nobody knows; lengths are then in pixels.
    name : how other programs' files refer to it, folders and extension included.
    path : the file it was read from, None for an array.
    kind : the file's kind; RELION reads the rows of TIFFs from the bottom, so writers ask.
    optics_group : number of its group in a RELION STAR file, 1 when there is none.
    uid : CryoSPARC's number of the exposure; None from other files.
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
            raise CryopickError(f"{self.name}: a micrograph is a non-empty (h, w) array, not one of shape {pixels.shape}")
        if not np.isfinite(pixels.sum(dtype=np.float64)):
            raise CryopickError(f"{self.name}: contains NaN or infinite values; replace them before making a Micrograph")
        object.__setattr__(self, "pixels", pixels)
        object.__setattr__(self, "pixel_size", checked_pixel_size(self.pixel_size, self.name))

    @property
    def shape_hw(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def to_px(self, length: float) -> float:
        """A length in Å (in pixels when the pixel size is unknown) in pixels."""
        return length_to_px(length, self.pixel_size)

    def from_px(self, length_px: float) -> float:
        """A length in pixels in Å (in pixels when the pixel size is unknown)."""
        return length_from_px(length_px, self.pixel_size)


@dataclass(frozen=True, eq=False)
class Picks:
    """Particle centres found in, or marked on, one micrograph.

    Attributes
    ----------
    micrograph : the micrograph's name.
    xy : float64 (n, 2), image frame, pixels of the micrograph.
    scores : float32 (n,) in [0, 1] where a picker gave them, other programs' figures of merit as they are; None when
        there are none.
    diameter : particle diameter in Å when `pixel_size` is known, else in pixels; None when unknown.
    shape_hw : the micrograph's shape, needed to flip rows or to read fractions; None when unknown.
    pixel_size : Å per pixel, or None.
    optics_group : RELION's number of the micrograph's group, or CryoSPARC's exposure group; 1 when there is none.
    uid : CryoSPARC's number of the micrograph's exposure; None when there is none.
    """

    micrograph: str
    xy: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))
    scores: NDArray[np.float32] | None = None
    diameter: float | None = None
    shape_hw: tuple[int, int] | None = None
    pixel_size: float | None = None
    optics_group: int = 1
    uid: int | None = None

    def __post_init__(self) -> None:
        xy = np.array(self.xy, dtype=np.float64).reshape(-1, 2)
        if not np.isfinite(xy).all():
            raise CryopickError(
                f"{self.micrograph}: {int((~np.isfinite(xy)).any(1).sum())} picks have coordinates that are not numbers"
            )
        object.__setattr__(self, "xy", xy)
        if self.scores is not None:
            scores = np.array(self.scores, dtype=np.float32).reshape(-1)
            if len(scores) != len(xy):
                raise CryopickError(f"{self.micrograph}: {len(xy)} picks with {len(scores)} scores")
            object.__setattr__(self, "scores", scores)
        if self.diameter is not None and not (np.isfinite(self.diameter) and self.diameter > 0):
            raise CryopickError(f"{self.micrograph}: a diameter of {self.diameter} cannot be; give a positive number")
        object.__setattr__(self, "pixel_size", checked_pixel_size(self.pixel_size, self.micrograph))

    def __len__(self) -> int:
        return len(self.xy)

    @property
    def diameter_px(self) -> float | None:
        """Diameter in pixels of the micrograph."""
        return None if self.diameter is None else length_to_px(self.diameter, self.pixel_size)

    def where(self, keep: ArrayLike) -> "Picks":
        """The picks that a boolean mask or an index array selects, in its order."""
        chosen = np.asarray(keep)
        chosen = chosen.astype(np.intp) if chosen.size == 0 and chosen.dtype != bool else chosen
        return replace(self, xy=self.xy[chosen], scores=None if self.scores is None else self.scores[chosen])


def usual_diameter(picks: Iterable[Picks]) -> float | None:
    """The median of the diameters that are known; None when none is."""
    known = [each.diameter for each in picks if each.diameter is not None]
    return float(np.median(known)) if known else None


def checked_pixel_size(pixel_size: float | None, name: str) -> float | None:
    """The pixel size as a float; raises when it is not a positive finite number."""
    if pixel_size is None:
        return None
    if not (np.isfinite(pixel_size) and pixel_size > 0):
        raise CryopickError(f"{name}: a pixel size of {pixel_size} Å cannot be; give a positive number or leave it out")
    return float(pixel_size)
