"""PNG and JPEG images, 8-bit or 16-bit PNG; rows from the top, as stored (EXIF rotation is ignored)."""

import struct
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cryopick.errors import FileError
from cryopick.io.micrographs.common import AGAIN, RawImage, check_claim, to_grey
from cryopick.types import FileKind

END_MARKS: dict[FileKind, bytes] = {"png": b"IEND\xaeB`\x82", "jpeg": b"\xff\xd9"}
JPEG_QUALITY = 95
PNG_START, JPEG_START = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""Markers of the segments of a JPEG with its size."""
WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
JPEG_PIXELS_PER_BYTE, PNG_BYTES_PER_BYTE = 256, 1100
"""Largest number of pixels per byte: a block of 8 x 8 pixels takes at least 2 bits, and deflate repeats 258 bytes in 2 bits."""


def read_raster(path: Path, kind: FileKind) -> RawImage:
    """Read a PNG or JPEG. Raises `FileError` for truncated files, which OpenCV would fill with grey."""
    content = np.fromfile(path, np.uint8)
    if END_MARKS[kind] not in content[-4096:].tobytes():
        raise FileError(path, f"is truncated: the end mark of a {kind.upper()} is missing", AGAIN)
    shape_hw = raster_shape(content.tobytes())
    if shape_hw is None or 0 in shape_hw:
        raise FileError(path, f"is a damaged {kind.upper()}", AGAIN)
    _check_size(path, kind, shape_hw, content)
    try:
        channels = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
    except cv2.error:
        channels = None
    if channels is None or channels.shape[:2] != shape_hw:
        raise FileError(path, f"is a damaged {kind.upper()}", AGAIN)
    if channels.ndim == 3:
        channels = channels[:, :, [2, 1, 0, *range(3, channels.shape[2])]]  # OpenCV keeps blue first
    pixels, notes = to_grey(channels)
    return RawImage(pixels, kind, f"{kind.upper()}, {channels.dtype.itemsize * 8}-bit", notes=notes)


def raster_shape(head: bytes) -> tuple[int, int] | None:
    """Return height and width from the first bytes of a PNG or JPEG; None for other files and without the size in them."""
    if head.startswith(PNG_START) and len(head) >= 24:
        width, height = struct.unpack(">II", head[16:24])
        return height, width
    place = 2 if head.startswith(JPEG_START) else len(head)
    while place + 9 <= len(head) and head[place] == 0xFF:
        marker, length, _, height, width = struct.unpack(">xBHBHH", head[place : place + 9])
        if marker in FRAMES:
            return height, width
        # further 0xFF may fill the space before a marker
        place += 1 if marker == 0xFF else 2 if marker in WITHOUT_LENGTH else 2 + length
    return None


def _check_size(path: Path, kind: FileKind, shape_hw: tuple[int, int], content: NDArray[np.uint8]) -> None:
    """Raise `FileError` if a file is too short for the pixels that it claims."""
    height, width = shape_hw
    if kind == "jpeg":
        possible = height * width <= JPEG_PIXELS_PER_BYTE * content.size
    else:
        bits = int(content[24]) * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(int(content[25]), 1)
        possible = height * (width * bits // 8) <= PNG_BYTES_PER_BYTE * content.size
    if not possible:
        found = f"is truncated or damaged: it claims {width:,} x {height:,} pixels and has {content.size:,} bytes"
        raise FileError(path, found, AGAIN)
    check_claim(path, shape_hw, file_bytes=content.size)


def write_raster(path: Path, pixels: NDArray[np.generic]) -> None:
    """Write uint8 (h, w) pixels as PNG or JPEG (quality 95), by the suffix."""
    options = [] if path.suffix.lower() == ".png" else [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    _, content = cv2.imencode(path.suffix.lower(), np.ascontiguousarray(pixels), options)
    path.write_bytes(content.tobytes())
