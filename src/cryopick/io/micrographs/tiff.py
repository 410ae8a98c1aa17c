"""TIFF and BigTIFF images through `tifffile`: any bit depth, compression and tiling it supports; rows from the top."""

import logging
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import tifffile
from numpy.typing import NDArray

from cryopick.errors import FileError
from cryopick.io.micrographs.common import AGAIN, RawImage, check_claim, first_bytes, to_grey

T = TypeVar("T")

EER_COMPRESSIONS = {65000, 65001, 65002}
JPEG_COMPRESSIONS = {7, 33003, 33005, 33007, 34712, 34892}
"""JPEG and JPEG 2000, whose decoders fill missing parts with grey."""
JPEG_END = b"\xff\xd9"
END_BYTES = 16
UNCOMPRESSED, LERC = 1, 34887
ALPHA = {1, 2}
RESOLUTION_UNITS = {2: 2.54e8, 3: 1e8}  # Å in an inch, in a centimetre
IMAGEJ_UNITS = {
    **dict.fromkeys(("å", "a", "ang", "angstrom", "angstroms", "\\u00c5"), 1.0),
    **dict.fromkeys(("nm", "nanometer", "nanometers", "nanometre"), 10.0),
    **dict.fromkeys(("um", "µm", "μm", "\\u00b5m", "micron", "microns"), 1e4),
}
PLAUSIBLE_PIXEL_SIZE = (0.05, 100.0)  # Å; the resolutions of printers and screens are far outside


def read_tiff(path: Path) -> RawImage:
    """Read a TIFF with one image; smaller images after the first (thumbnails) are ignored with a note.

    Raises `FileError` for movies and stacks, EER, complex numbers, and truncated or damaged files.
    """
    return _from_tiff(path, lambda tiff: _read(tiff, path))


def tiff_shape(path: Path) -> tuple[tuple[int, int], float | None]:
    """Read height, width and Å per pixel (None if unknown) from the header. Raises `FileError` for a damaged file."""

    def shape(tiff: tifffile.TiffFile) -> tuple[tuple[int, int], float | None]:
        page = tiff.pages.first
        if min(page.imagelength, page.imagewidth) < 1:
            raise ValueError("it has no pixels")
        return (int(page.imagelength), int(page.imagewidth)), tiff_pixel_size(tiff)

    return _from_tiff(path, shape)


def check_tiff_end(path: Path) -> None:
    """Check that the file contains all bytes of its first image. Raises `FileError` if it does not."""
    _from_tiff(path, lambda tiff: _check_pieces(tiff, path))


def write_tiff(path: Path, pixels: NDArray[np.generic], *, pixel_size: float | None = None) -> None:
    """Write one image (h, w) uncompressed: 8 and 16-bit integers unchanged, other types as float32.

    The pixel size goes into the resolution tags (pixels per centimetre), as IMOD writes it.
    """
    kept = {"uint8", "int8", "uint16", "int16", "float32"}
    values = pixels if pixels.dtype.name in kept else pixels.astype(np.float32)
    per_cm = None if pixel_size is None else (1e8 / pixel_size, 1e8 / pixel_size)
    tifffile.imwrite(
        path,
        values,
        photometric="minisblack",
        metadata=None,
        software="cryopick",
        resolution=per_cm,
        resolutionunit="CENTIMETER" if per_cm else None,
    )


def tiff_pixel_size(tiff: tifffile.TiffFile) -> float | None:
    """Return Å per pixel from ImageJ's unit or the resolution tags; None if absent, damaged or meant for printing."""
    tags = tiff.pages.first.tags
    try:
        numerator, denominator = tags["XResolution"].value
        unit_tag = int(tags["ResolutionUnit"].value) if "ResolutionUnit" in tags else 2
        unit = str((tiff.imagej_metadata or {}).get("unit", "")).lower()
        per_unit = IMAGEJ_UNITS.get(unit) if unit else RESOLUTION_UNITS.get(unit_tag)
        size = float(per_unit * denominator / numerator) if per_unit and numerator else 0.0
    except Exception:  # a tag that is absent or of another type; the pixels may be valid
        return None
    return size if PLAUSIBLE_PIXEL_SIZE[0] <= size <= PLAUSIBLE_PIXEL_SIZE[1] else None


class _ThreadFilter(logging.Filter):
    """Filter that drops messages of tifffile in threads that read micrographs, in which every fault becomes an error."""

    def __init__(self) -> None:
        super().__init__()
        self.silent = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        """See `logging.Filter.filter`."""
        return not getattr(self.silent, "on", False)


_library_messages = _ThreadFilter()
logging.getLogger("tifffile").addFilter(_library_messages)


@contextmanager
def _no_library_messages() -> Iterator[None]:
    _library_messages.silent.on = True
    try:
        yield
    finally:
        _library_messages.silent.on = False


def _from_tiff(path: Path, use: Callable[[tifffile.TiffFile], T]) -> T:
    """Open a TIFF and use it; any error becomes a `FileError`."""
    first_bytes(path)
    try:
        with _no_library_messages(), tifffile.TiffFile(path) as tiff:
            return use(tiff)
    except FileError:
        raise
    except MemoryError as error:
        remedy = "Use fewer workers; if the file should be small, it is damaged: copy it again"
        raise FileError(path, f"needs more memory than there is ({error})", remedy) from error
    except Exception as error:  # tifffile and its decoders raise many kinds of errors
        reason = str(error)
        detail = f" ({reason})" if len(reason.split()) > 2 else ""  # other reasons are numbers and names of tags
        raise FileError(path, f"is a truncated or damaged TIFF{detail}", AGAIN) from error


def _read(tiff: tifffile.TiffFile, path: Path) -> RawImage:
    page = tiff.pages.first
    if page.compression in EER_COMPRESSIONS:
        found = "is an EER movie (raw electron events)"
        raise FileError(path, found, "Motion-correct it, for instance with RELION or MotionCor3, and give the sum")
    notes = _reject_stacks(tiff, path)
    _check_pieces(tiff, path)
    if page.dtype is None or page.dtype.kind not in "biufc":
        raise ValueError(f"values of type {page.dtype}")
    values = page.asarray(squeeze=False, maxworkers=1)  # planes, depth, rows, columns, samples
    if np.iscomplexobj(values):
        raise FileError(path, "contains complex numbers", "Give the real-space micrograph")
    pixels, colour_notes = to_grey(_channels(values[:, 0], page, path))
    stored = f"TIFF, {values.dtype.newbyteorder('=').name}, compression {tifffile.COMPRESSION(page.compression).name.lower()}"
    return RawImage(pixels, "tiff", stored, tiff_pixel_size(tiff), (*notes, *colour_notes))


def _reject_stacks(tiff: tifffile.TiffFile, path: Path) -> tuple[str, ...]:
    first, *others = tiff.series
    page = tiff.pages.first
    frames = math.prod(first.shape) // max(1, page.imagelength * page.imagewidth * page.samplesperpixel)
    frames = max(frames, page.imagedepth)
    same = sum(series.shape == first.shape for series in others)
    if frames > 1 or same:
        raise _stack(path, max(frames, 1 + same))
    return (f"{len(others)} further images of other sizes were ignored",) if others else ()


def _stack(path: Path, frames: int) -> FileError:
    found = f"is a stack of {frames} images, not one micrograph"
    return FileError(path, found, "Motion-correct it if it is a movie; else split it into single images")


def _check_pieces(tiff: tifffile.TiffFile, path: Path) -> None:
    """Raise `FileError` unless all strips or tiles of the first image are in the file, and its claimed size is possible."""
    page, size = tiff.pages.first, tiff.filehandle.size
    offsets, counts = page.dataoffsets, page.databytecounts
    pieces = math.prod(page.chunked)
    present = sum(offset > 0 and count > 0 for offset, count in zip(offsets, counts, strict=False))
    if present < pieces:
        raise FileError(path, f"is a truncated or damaged TIFF ({present} of {pieces} pieces of the image are present)", AGAIN)
    end = max(offset + count for offset, count in zip(offsets, counts, strict=True))
    if end > size:
        raise FileError(path, f"is a truncated or damaged TIFF ({size:,} of {end:,} bytes are present)", AGAIN)
    check_claim(path, (page.imagelength, page.imagewidth * page.samplesperpixel), file_bytes=size)
    if page.compression != UNCOMPRESSED:
        _check_ends(tiff, path)


def _check_ends(tiff: tifffile.TiffFile, path: Path) -> None:
    """Raise `FileError` if compressed data end in zeros, as after a truncated copy, or JPEG data without their end mark."""
    page, file = tiff.pages.first, tiff.filehandle
    is_jpeg = page.compression in JPEG_COMPRESSIONS
    if "JPEGTables" in page.tags and not bytes(page.tags["JPEGTables"].value).rstrip(b"\0").endswith(JPEG_END):
        raise FileError(path, "is a truncated or damaged TIFF (the tables of its JPEG data have no end)", AGAIN)
    for number, (offset, count) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=True), start=1):
        last = min(count, END_BYTES)
        file.seek(offset + count - last)
        end = file.read(last)
        if (is_jpeg and JPEG_END not in end) or (last == END_BYTES and not any(end) and page.compression != LERC):
            raise FileError(path, f"is a truncated or damaged TIFF (piece {number} of its compressed data has no end)", AGAIN)


def _channels(values: NDArray[Any], page: tifffile.TiffPage, path: Path) -> NDArray[Any]:
    """Return the grey (h, w) or colour (h, w, c) pixels of values (planes, rows, columns, samples).

    Raises `FileError` if planes or samples are neither colours nor transparency, but frames of a movie written as one image.
    """
    planes, samples = values.shape[0], values.shape[-1]
    count = planes * samples
    channels = np.moveaxis(values[..., 0], 0, -1) if planes > 1 else values[0]
    if count == 1 or (count == 2 and {*page.extrasamples} & ALPHA):
        return np.asarray(channels[..., 0])
    colours = channels[..., :3] if page.photometric in {2, 6} else channels
    if all(np.array_equal(colours[..., 0], colours[..., index]) for index in range(1, colours.shape[-1])):
        return np.asarray(channels[..., 0])
    if planes > 1:
        raise _stack(path, count)
    if count > 4 or page.photometric not in {2, 6} or values.dtype.kind not in "bu":
        found = f"has {count} different values for each pixel, not one grey value"
        raise FileError(path, found, "Sum the frames if it is a movie; else convert it to grey")
    return np.asarray(channels)
