"""A micrograph's shape and pixel size from its header, without reading its pixels."""

import os
from pathlib import Path

from cryopick.errors import FileError
from cryopick.io.micrographs.common import first_bytes
from cryopick.io.micrographs.files import read_micrograph, suffix_kind
from cryopick.io.micrographs.mrc import compression, read_header, unpacked_start
from cryopick.io.micrographs.png_jpeg import raster_shape
from cryopick.io.micrographs.tiff import check_tiff_end, tiff_shape

_RASTER_BYTES = 1 << 18
"""Largest size of the segments before the one with the size."""


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
            return tiff_shape(path)
        if shape_hw := raster_shape(first_bytes(path, _RASTER_BYTES)):
            return shape_hw, None
    except (OSError, FileError):
        pass
    whole = read_micrograph(path)
    return whole.shape_hw, whole.pixel_size


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
            check_tiff_end(path)
            return True
        if kind in _ENDS:
            return _ENDS[kind] in _last_bytes(path)
        return _mrc_is_whole(path)
    except (OSError, EOFError, ValueError, FileError):
        return False


def _mrc_is_whole(path: Path) -> bool:
    size = None if compression(first_bytes(path)) else path.stat().st_size
    header = read_header(unpacked_start(path), path, file_bytes=size)
    sections, rows, _ = header.shape
    return size is None or header.offset + sections * rows * header.row_bytes <= size


def _last_bytes(path: Path) -> bytes:
    first_bytes(path)
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - _END_BYTES))
        return file.read()
