"""Whether a micrograph's file has all the bytes that its header promises: a writer may be at work."""

import os
from pathlib import Path

import tifffile

from cryopick.errors import FileError
from cryopick.io.micrographs import suffix_kind
from cryopick.io.mrc import compression, read_header, unpacked_start
from cryopick.io.picture import first_bytes

_ENDS = {"png": b"IEND", "jpeg": b"\xff\xd9"}
_END_BYTES = 4096
"""Some writers put a few bytes after a picture's end."""


def is_whole(path: Path) -> bool:
    """Whether nothing is missing at the file's end, by its header alone; False also where no header can be read.

    Pixels are not looked at. Of packed files (gzip, bzip2) only the header is checked, since nothing in it tells their length.
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
    """Where the first picture's data end."""
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        return max(offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True))


def _last_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - _END_BYTES))
        return file.read()
