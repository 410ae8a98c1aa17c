"""A micrograph's shape and pixel size from its header, without reading its pixels."""

import os
import struct
from pathlib import Path

import tifffile

from cryopick.errors import FileError
from cryopick.io.micrographs.common import first_bytes
from cryopick.io.micrographs.files import read_micrograph, suffix_kind
from cryopick.io.micrographs.mrc import compression, read_header, unpacked_start
from cryopick.io.micrographs.tiff import tiff_pixel_size

_PNG_START = b"\x89PNG\r\n\x1a\n"
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of segments with the size
_JPEG_BYTES = 1 << 18  # room for the segments before it


def read_shape(path: Path) -> tuple[tuple[int, int], float | None]:
    """Read the height and width in pixels, and Å per pixel or None, as given by `read_micrograph`.

    Takes a fraction of a millisecond. Files with a wrong suffix are read completely. Raises `FileError` as `read_micrograph`.
    """
    kind = suffix_kind(path)
    try:
        if kind == "mrc":
            header = read_header(unpacked_start(path), path)
            return header.shape[1:], header.pixel_size
        if kind == "tiff":
            return _tiff_shape(path)
        if shape_hw := _raster_shape(path):
            return shape_hw, None
    except (OSError, tifffile.TiffFileError, FileError):
        pass
    whole = read_micrograph(path)
    return whole.shape_hw, whole.pixel_size


def _tiff_shape(path: Path) -> tuple[tuple[int, int], float | None]:
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        return (int(page.imagelength), int(page.imagewidth)), tiff_pixel_size(tiff)


def _raster_shape(path: Path) -> tuple[int, int] | None:
    """Return the shape of a PNG or JPEG; None for other files and if the size is not near the beginning."""
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


_ENDS = {"png": b"IEND", "jpeg": b"\xff\xd9"}
_END_BYTES = 4096
"""Bytes that writers may append to an image."""


def is_whole(path: Path) -> bool:
    """Return whether a file is complete, by its header alone; False also when the header cannot be read.

    Pixels are not read. Only the header of compressed files (gzip, bzip2) is checked, since their length is unknown.
    """
    kind = suffix_kind(path)
    try:
        if kind == "tiff":
            return _tiff_end(path) <= path.stat().st_size
        if kind in _ENDS:
            return _ENDS[kind] in _last_bytes(path)
        return _mrc_is_whole(path)
    except (OSError, EOFError, ValueError, IndexError, tifffile.TiffFileError, FileError):
        return False


def _mrc_is_whole(path: Path) -> bool:
    size = None if compression(first_bytes(path)) else path.stat().st_size
    header = read_header(unpacked_start(path), path, file_bytes=size)
    sections, rows, _ = header.shape
    return size is None or header.offset + sections * rows * header.row_bytes <= size


def _tiff_end(path: Path) -> int:
    """Return the end of the first image's data."""
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        return max(offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True))


def _last_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - _END_BYTES))
        return file.read()
