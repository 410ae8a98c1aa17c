"""Code shared by readers of images: their result, the first bytes of a file, and conversion to grey."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cryopick.errors import FileError
from cryopick.files import check_regular
from cryopick.types import FileKind

AGAIN = "Copy it again, or create it again"
"""The remedy for files that were not written or copied completely."""
RGB_WEIGHTS = (0.299, 0.587, 0.114)
"""Luminance of ITU-R BT.601."""
PIXELS_AT_ANY_SIZE = 1 << 26
"""Number of pixels, 8192 x 8192, that a file of any size may claim."""
MOST_EXPANSION = 200
"""Largest ratio of float32 pixels to compressed bytes in larger files: noise is compressed tenfold at most."""
MOST_PIXELS = 1 << 30
"""Number of pixels that a compressed file must not claim: 32768 x 32768, four times the side of the largest detector."""


@dataclass(frozen=True, eq=False)
class RawImage:
    """An image as read from its file, with unchecked values.

    Attributes
    ----------
    pixels : float32 (h, w), row 0 = first row of the file.
    kind : the file's format.
    stored : how the file stores the values, for display: "MRC mode 12 (float16)".
    pixel_size : Å per pixel from the file; None when it has none.
    notes : oddities that did not prevent reading.
    """

    pixels: NDArray[np.float32]
    kind: FileKind
    stored: str
    pixel_size: float | None = None
    notes: tuple[str, ...] = ()


def first_bytes(path: Path, count: int = 1024) -> bytes:
    """Read a file's first bytes.

    Raises `FileError` for a missing file, a folder, a pipe or device, an empty file and one without permission.
    """
    try:
        check_regular(path)
        with path.open("rb") as stream:
            head = stream.read(count)
    except FileNotFoundError:
        raise FileError(path, "no such file", "Check the path, and that the disk it is on is mounted") from None
    except IsADirectoryError:
        raise FileError(path, "is a folder, not a file", "Give a file in it") from None
    except PermissionError:
        raise FileError(path, "may not be read by this user", "Ask its owner for read permission (chmod +r)") from None
    except OSError as error:
        raise FileError(path, f"cannot be opened ({error.strerror})", "Check the disk it is on, then try again") from error
    except ValueError:  # a NUL character
        raise FileError(str(path).replace("\0", "\\0"), "is not a file name", "Correct the file that lists it") from None
    if not head:
        raise FileError(path, "is empty (0 bytes)", "Copy or create it again; a full disk leaves such files")
    return head


def check_claim(path: Path, shape_hw: tuple[int, int], *, file_bytes: int, sections: int = 1) -> None:
    """Compare the number of pixels that a compressed file claims with its size, before allocating memory for them.

    Raises `FileError` for more pixels than any micrograph has, and for more than the file can hold.
    """
    pixels = sections * shape_hw[0] * shape_hw[1]
    stack = "" if sections == 1 else f"{sections:,} sections of "
    claim = f"{stack}{shape_hw[1]:,} x {shape_hw[0]:,} pixels"
    if pixels > PIXELS_AT_ANY_SIZE and 4 * pixels > MOST_EXPANSION * file_bytes:
        raise FileError(path, f"is truncated or damaged: it claims {claim} and has {file_bytes:,} bytes", AGAIN)
    if sections == 1 and pixels >= MOST_PIXELS:
        raise FileError(path, f"claims {claim}, more than any detector has", "Bin it, or write it as an uncompressed MRC file")


def to_grey(channels: NDArray[np.number]) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Convert grey (h, w), grey + alpha (h, w, 2), RGB (h, w, 3) or RGBA (h, w, 4) pixels to one plane (h, w), with notes.

    Equal colour channels give the original grey image; different ones give their luminance, and a note. Alpha is dropped.
    """
    if channels.ndim == 2:
        return channels.astype(np.float32, copy=False), ()
    if channels.shape[2] < 3:
        return channels[:, :, 0].astype(np.float32), ()
    red, green, blue = (channels[:, :, index] for index in range(3))
    if np.array_equal(red, green) and np.array_equal(red, blue):
        return red.astype(np.float32), ()
    grey = np.zeros(channels.shape[:2], np.float32)
    for weight, plane in zip(RGB_WEIGHTS, (red, green, blue), strict=True):
        grey += np.float32(weight) * plane.astype(np.float32)
    return grey, ("a colour image; its luminance is used",)
