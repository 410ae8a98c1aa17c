"""TIFF and BigTIFF images through `tifffile`: any bit depth, compression and tiling it supports; rows from the top."""

import math
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from cryopick.errors import FileError
from cryopick.io.micrographs.common import AGAIN, RawImage, to_grey

EER_COMPRESSIONS = {65000, 65001, 65002}
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
    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages.first
            if page.compression in EER_COMPRESSIONS:
                found = "is an EER movie (raw electron events)"
                raise FileError(path, found, "Motion-correct it, for instance with RELION or MotionCor3, and give the sum")
            notes = _reject_stacks(tiff, path)
            channels = tiff.series[0].asarray(maxworkers=1)
            if tiff.series[0].axes.startswith("S"):
                channels = np.moveaxis(channels, 0, -1)
            if channels.ndim not in {2, 3} or not channels.size:
                raise ValueError(f"an image of shape {channels.shape}")
            pixel_size = tiff_pixel_size(tiff)
            if np.iscomplexobj(channels):
                raise FileError(path, "holds complex numbers", "Give the real-space micrograph")
            pixels, colour_notes = to_grey(channels)
    except FileError:
        raise
    except MemoryError as error:
        remedy = "Use fewer workers; if the file should be small, it is damaged: copy it again"
        raise FileError(path, f"needs more memory than there is ({error})", remedy) from error
    except Exception as error:  # tifffile and its decoders raise many kinds of errors
        raise FileError(path, f"is a truncated or damaged TIFF ({error})", AGAIN) from error
    stored = f"TIFF, {channels.dtype.newbyteorder('=').name}, compression {tifffile.COMPRESSION(page.compression).name.lower()}"
    return RawImage(pixels, "tiff", stored, pixel_size, (*notes, *colour_notes))


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


def _reject_stacks(tiff: tifffile.TiffFile, path: Path) -> tuple[str, ...]:
    first, *others = tiff.series
    lengths = dict(zip(first.axes, first.shape, strict=True))
    frames = math.prod(length for axis, length in lengths.items() if axis not in "YXS")
    same = sum(series.shape == first.shape for series in others)
    if frames > 1 or same:
        found = f"is a stack of {max(frames, 1 + same)} images, not one micrograph"
        raise FileError(path, found, "Motion-correct it if it is a movie; else split it into single images")
    return (f"{len(others)} further images of other sizes were ignored",) if others else ()


def tiff_pixel_size(tiff: tifffile.TiffFile) -> float | None:
    """Return Å per pixel from ImageJ's unit or the resolution tags; None if absent or meant for printing."""
    tags = tiff.pages.first.tags
    if "XResolution" not in tags:
        return None
    numerator, denominator = tags["XResolution"].value
    if not numerator or not denominator:
        return None
    unit = str((tiff.imagej_metadata or {}).get("unit", "")).lower()
    unit_tag = int(tags["ResolutionUnit"].value) if "ResolutionUnit" in tags else 2
    per_unit = IMAGEJ_UNITS.get(unit) if unit else RESOLUTION_UNITS.get(unit_tag)
    if per_unit is None:
        return None
    size = per_unit * denominator / numerator
    return float(size) if PLAUSIBLE_PIXEL_SIZE[0] <= size <= PLAUSIBLE_PIXEL_SIZE[1] else None
