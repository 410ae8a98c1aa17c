"""PNG and JPEG images, 8-bit or 16-bit PNG; rows from the top, as stored (EXIF rotation is ignored)."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cryopick.errors import FileError
from cryopick.io.micrographs.common import AGAIN, RawImage, to_grey
from cryopick.types import FileKind

END_MARKS: dict[FileKind, bytes] = {"png": b"IEND\xaeB`\x82", "jpeg": b"\xff\xd9"}
JPEG_QUALITY = 95


def read_raster(path: Path, kind: FileKind) -> RawImage:
    """Read a PNG or JPEG. Raises `FileError` for truncated files, which OpenCV would fill with grey."""
    content = np.fromfile(path, np.uint8)
    if END_MARKS[kind] not in content[-4096:].tobytes():
        raise FileError(path, f"is truncated: the end mark of a {kind.upper()} is missing", AGAIN)
    channels = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
    if channels is None:
        raise FileError(path, f"is a damaged {kind.upper()}", AGAIN)
    if channels.ndim == 3:
        channels = channels[:, :, [2, 1, 0, *range(3, channels.shape[2])]]  # OpenCV keeps blue first
    pixels, notes = to_grey(channels)
    return RawImage(pixels, kind, f"{kind.upper()}, {channels.dtype.itemsize * 8}-bit", notes=notes)


def write_raster(path: Path, pixels: NDArray[np.generic]) -> None:
    """Write uint8 (h, w) pixels as PNG or JPEG (quality 95), by the suffix."""
    options = [] if path.suffix.lower() == ".png" else [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    _, content = cv2.imencode(path.suffix.lower(), np.ascontiguousarray(pixels), options)
    path.write_bytes(content.tobytes())
