"""A micrograph's shape and pixel size from its header, without reading its pixels."""

import struct
from pathlib import Path

import tifffile

from cryopick.io.micrographs import read_micrograph, suffix_kind
from cryopick.io.mrc import read_header, unpacked_start

_PNG_START = b"\x89PNG\r\n\x1a\n"
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of segments that hold the size
_JPEG_BYTES = 1 << 18  # room for the segments before it


def read_shape(path: Path) -> tuple[tuple[int, int], float | None]:
    """Height and width in pixels, and Å per pixel (of MRC only) or None.

    Takes a fraction of a millisecond. What is not what its name says is read whole; raises `FileError` as `read_micrograph` does.
    """
    kind = suffix_kind(path)
    if kind == "mrc":
        header = read_header(unpacked_start(path), path)
        return header.shape[1:], header.voxel_size
    try:
        shape_hw = _tiff_shape(path) if kind == "tiff" else _raster_shape(path)
    except (OSError, tifffile.TiffFileError):
        shape_hw = None
    return (read_micrograph(path).shape_hw if shape_hw is None else shape_hw), None


def _tiff_shape(path: Path) -> tuple[int, int]:
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        return int(page.imagelength), int(page.imagewidth)


def _raster_shape(path: Path) -> tuple[int, int] | None:
    """Of a PNG or JPEG; None for other files and where the size is not near the beginning."""
    with path.open("rb") as file:
        head = file.read(_JPEG_BYTES)
    if head.startswith(_PNG_START) and len(head) >= 24:
        width, height = struct.unpack(">II", head[16:24])
        return height, width
    place = 2 if head.startswith(b"\xff\xd8") else len(head)
    while place + 9 <= len(head) and head[place] == 0xFF:
        marker, length, _, height, width = struct.unpack(">xBHBHH", head[place : place + 9])
        if marker in _JPEG_FRAMES:
            return height, width
        place += 2 + length
    return None
