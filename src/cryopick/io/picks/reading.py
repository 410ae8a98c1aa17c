"""Conversion of points in files to picks in the image frame, with the context in which a file is read."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryopick.coordinates import Frame, PixelMap, length_from_px
from cryopick.errors import CryopickError, FileError, NameMatchError
from cryopick.io.micrographs.headers import read_shape
from cryopick.io.names import NameIndex, without_mark
from cryopick.types import Picks

logger = logging.getLogger(__name__)

MOST_PIXELS = 1_000_000
"""Largest side of a micrograph; larger coordinates and sizes are errors."""
PIXEL_SIZES = (1e-3, 1e3)
"""Limits of a file's own pixel size [Å]; others are errors."""


class Source(Protocol):
    """A micrograph by name, read or not: a `cryopick.io.micrographs.sources.MicrographSource` or a `Micrograph`."""

    @property
    def name(self) -> str:
        """See `Micrograph`."""
        ...

    @property
    def path(self) -> Path | None:
        """See `Micrograph`."""
        ...

    @property
    def pixel_size(self) -> float | None:
        """See `Micrograph`."""
        ...

    @property
    def optics_group(self) -> int:
        """See `Micrograph`."""
        ...

    @property
    def uid(self) -> int | None:
        """See `Micrograph`."""
        ...


@runtime_checkable
class SourceWithShape(Source, Protocol):
    """A `Source` that has its shape without reading a file."""

    @property
    def shape_hw(self) -> tuple[int, int] | None:
        """Height and width in pixels; None when unknown."""
        ...


class KnownMicrographs:
    """The micrographs that picks belong to, found by any spelling of their names.

    `unknown` collects the names that match none of them; without it, such a name is an error, which mentions `file`.
    """

    def __init__(self, sources: Iterable[Source] = (), *, unknown: set[str] | None = None, file: Path | None = None) -> None:
        self._sources = {source.name: source for source in sources}
        self._index = NameIndex(self._sources)
        self.unknown = unknown
        self._file = file

    def find(self, written: str) -> Source | None:
        """Return the micrograph that a name means; None without micrographs, or if the name is added to `unknown`.

        Raises `NameMatchError` if the name matches none of them or several, or another spelling has matched the same one.
        """
        if not self._sources:
            return None
        if self.unknown is not None and not self._index.fits(written):
            self.unknown.add(written)
            return None
        try:
            return self._sources[self._index.find_once(written)]
        except NameMatchError as error:
            raise NameMatchError(f"{self._file}: {error}") from None

    def fits(self, written: str) -> bool:
        """Return whether a name matches one or several of the micrographs."""
        return self._index.fits(written)


@dataclass(frozen=True)
class Reading:
    """Facts that a file of picks lacks, and options with which it is read.

    Attributes
    ----------
    known : the micrographs, if given.
    pixel_size : Å per pixel; overrides the file's own and the micrographs'.
    downsample : the factor by which the images of the file's coordinates and sizes were reduced.
    """

    known: KnownMicrographs = field(default_factory=KnownMicrographs)
    pixel_size: float | None = None
    downsample: float = 1.0

    def picks(
        self,
        path: Path,
        written: str,
        points: Sequence[Sequence[float]] | NDArray[np.float64],
        frame: Frame,
        *,
        scores: ArrayLike | None = None,
        diameter: float | None = None,
        diameter_px: float | None = None,
        diameters: NDArray[np.float64] | None = None,
        diameters_px: NDArray[np.float64] | None = None,
        data: Mapping[str, NDArray[Any]] | None = None,
        box: ArrayLike | None = None,
        shape_hw: tuple[int, int] | None = None,
        pixel_size: float | None = None,
    ) -> Picks:
        """Make picks in the image frame from points in the file's convention, on the micrograph that the name `written` means.

        `diameter` and `diameters` (n,) are in Å and dropped if the pixel size is unknown; those that end in `_px` are in pixels.
        Individual diameters are kept if they differ; the common one is their median unless given. `shape_hw` and `pixel_size`
        are the file's own, of the reduced images if there is a factor. Optics group and UID are those of the micrograph.
        """
        if not written.strip(" >"):
            raise FileError(path, "has picks on a micrograph without a name", "Give its name, or remove them")
        if "\0" in written:
            raise FileError(path, f"names a micrograph {written!r}, with a NUL character", "Correct the name")
        written = without_mark(written)
        source = self.known.find(written)
        if self.known.unknown is not None and written in self.known.unknown:
            return Picks(written)  # skipped later, and its points may not be convertible
        factor = self._factor(path, frame)
        known_shape, known_size = (None, None) if source is None else _shape_and_pixel_size(source)
        if source is not None and frame.unit == "px" and not _agree(shape_hw, known_shape, factor):
            raise CryopickError(f"{path}: {written} has shape {shape_hw} (rows, columns), but {source.path} has {known_shape}")
        own_size = None if pixel_size is None else checked_size(path, written, pixel_size) / factor
        sizes = (self.pixel_size, own_size, known_size) if factor == 1 else (self.pixel_size, known_size, own_size)
        pixel_size = next((size for size in sizes if size is not None), None)
        diameter, diameters = (None, None) if pixel_size is None else (diameter, diameters)
        if diameters_px is not None and len(diameters_px):
            diameters = diameters_px * factor * length_from_px(1.0, pixel_size)
            diameter_px = float(np.median(diameters_px)) if diameter_px is None else diameter_px
        if diameter_px is not None:
            diameter = length_from_px(diameter_px * factor, pixel_size)
        elif diameter is None and diameters is not None and len(diameters):
            diameter = float(np.median(diameters))
        values = _finite_scores(path, written, scores)
        full = known_shape or _scaled(shape_hw, factor)
        drawn_on = full if factor == 1 else shape_hw or _scaled(known_shape, 1 / factor)
        try:
            xy = np.zeros((0, 2))
            if len(points):
                xy = frame.to_image(points, shape_hw=drawn_on, pixel_size=pixel_size, box=box)
                xy = PixelMap.fourier_crop((factor, factor)).to_home(xy)
            _check_extent(path, written, xy, box)
            shape = None if full is None else (round(full[0]), round(full[1]))
            name, group, uid = (written, 1, None) if source is None else (source.name, source.optics_group, source.uid)
            return Picks(name, xy, values, diameter, shape, pixel_size, group, uid, _differing(diameters), data or {})
        except FileError:
            raise
        except CryopickError as error:
            if source is not None and source.path is not None and shape_hw is None:  # its file is damaged; others are read
                logger.warning("%s: %d picks of %s are excluded: %s", path, len(points), written, error)
                return Picks(source.name)
            raise CryopickError(f"{path}: picks of {written}: {error}") from None

    def _factor(self, path: Path, frame: Frame) -> float:
        if self.downsample != 1 and frame.unit != "px":
            remedy = "Omit it, and give the micrographs if the file's were reduced"
            raise FileError(path, "has fractions of the micrographs' sizes, to which downsample does not apply", remedy)
        return self.downsample


def refuse_tomograms(path: Path, column: str, values: ArrayLike = 1.0) -> None:
    """Raise `FileError` if picks have depths: a column of them, or values in it that are not 0."""
    if np.any(np.asarray(values, np.float64) != 0):
        found = f"contains picks in tomograms ({column}), which are not supported"
        raise FileError(path, found, "Give picks on micrographs, with x and y only")


def checked_size(path: Path, written: str, pixel_size: float) -> float:
    """Return the pixel size. Raises `FileError` for one that no microscope has."""
    if not PIXEL_SIZES[0] <= pixel_size <= PIXEL_SIZES[1]:
        found = f"the pixel size of {written} must be between {PIXEL_SIZES[0]:g} and {PIXEL_SIZES[1]:g} Å, got {pixel_size:g} Å"
        raise FileError(path, found, "Correct it, or omit it if it is unknown")
    return pixel_size


def _agree(own: tuple[int, int] | None, known: tuple[int, int] | None, factor: float) -> bool:
    """Return whether the shape in a file is the known one, or that of an image reduced from it."""
    if own is None or known is None:
        return True
    return own == known if factor == 1 else all(abs(a * factor - b) <= factor for a, b in zip(own, known, strict=True))


def _scaled(shape_hw: tuple[int, int] | None, factor: float) -> tuple[float, float] | None:
    return None if shape_hw is None else (shape_hw[0] * factor, shape_hw[1] * factor)


def _check_extent(path: Path, written: str, xy: NDArray[np.float64], box: ArrayLike | None) -> None:
    """Raise `FileError` for coordinates and boxes beyond any micrograph."""
    wrong = np.abs(xy) > MOST_PIXELS
    if wrong.any():
        row = int(np.flatnonzero(wrong.any(axis=1))[0])
        found = f"pick {row + 1} of {written} is at ({xy[row, 0]:g}, {xy[row, 1]:g}), beyond any micrograph"
        raise FileError(path, found, "Correct or remove that pick")
    sizes = np.zeros(0) if box is None else np.abs(np.asarray(box, np.float64))
    if sizes.size and sizes.max() > MOST_PIXELS:
        raise FileError(path, f"{written} has a box of {sizes.max():g} pixels", "Correct or remove that pick")


def _finite_scores(path: Path, written: str, scores: ArrayLike | None) -> NDArray[np.float32] | None:
    if scores is None:
        return None
    values = np.asarray(scores, np.float64)
    wrong = np.flatnonzero(~(np.abs(values) <= np.finfo(np.float32).max))
    if len(wrong):
        score = float(values[wrong[0]])
        what = f"the score {score:g}, which is too large" if abs(score) < np.inf else "a score that is not a number"
        raise FileError(path, f"pick {wrong[0] + 1} of {written} has {what}", "Correct or remove that pick")
    return values.astype(np.float32)


def _differing(diameters: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    """Return the diameters if they add to their median: positive ones that are not all the same; else None."""
    if diameters is None or not len(diameters) or diameters.min() <= 0 or np.ptp(diameters) == 0:
        return None
    return diameters


def _shape_and_pixel_size(source: Source) -> tuple[tuple[int, int] | None, float | None]:
    """Return a micrograph's shape and pixel size, from its file if the source does not have them."""
    if isinstance(source, SourceWithShape):
        return source.shape_hw, source.pixel_size
    if source.path is None:
        return None, source.pixel_size
    try:
        shape_hw, header_size = read_shape(source.path)
    except FileError as error:  # most formats need no shape; the frame raises an error for those that do
        logger.warning("%s", error)
        return None, source.pixel_size
    return shape_hw, source.pixel_size or header_size
