"""What the readers of single pictures share: their result, the first look at a file, and grey from colours."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cryopick.errors import FileError
from cryopick.types import FileKind

AGAIN = "Copy it again, or make it again"  # the remedy for files that were not written or copied to their end
RGB_WEIGHTS = (0.299, 0.587, 0.114)  # luminance of ITU-R BT.601


@dataclass(frozen=True, eq=False)
class RawImage:
    """One picture as its file has it; nothing about its values has been judged yet.

    Attributes
    ----------
    pixels : float32 (h, w), row 0 = first row of the file.
    kind : the file's kind.
    stored : how the file keeps the values, for people: "MRC mode 12 (float16)".
    pixel_size : Å per pixel that the file tells, None when it tells none.
    notes : oddities that did not stop the reader.
    """

    pixels: NDArray[np.float32]
    kind: FileKind
    stored: str
    pixel_size: float | None = None
    notes: tuple[str, ...] = ()


def first_bytes(path: Path, count: int = 1024) -> bytes:
    """The first bytes of a file; a `FileError` for one that is missing, a folder, empty or not readable by this user."""
    try:
        with path.open("rb") as stream:
            head = stream.read(count)
    except FileNotFoundError:
        raise FileError(path, "no such file", "Check the path, and that the disk it is on is mounted") from None
    except IsADirectoryError:
        raise FileError(path, "is a folder, not a file", "Name a file in it") from None
    except PermissionError:
        raise FileError(path, "may not be read by this user", "Ask its owner for read permission (chmod +r)") from None
    except OSError as error:
        raise FileError(path, f"cannot be opened ({error.strerror})", "Check the disk it is on, then try again") from error
    if not head:
        raise FileError(path, "is empty (0 bytes)", "Copy it again, or make it again; a full disk leaves such files")
    return head


def to_grey(channels: NDArray[np.number]) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """One plane from grey (h, w), grey + alpha (h, w, 2), RGB (h, w, 3) or RGBA (h, w, 4) pixels, and notes.

    Equal colour channels are the grey picture they were made from; different ones give their luminance, and a note. Alpha is
    dropped.
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
    return grey, ("a colour picture; its luminance is used",)
