"""Borders without data: constant margins, and edge lines repeated outwards as motion correction and converters leave them."""

import numpy as np
from numpy.typing import NDArray

from cryopick.coordinates import PixelMap

LARGEST_MARGIN = 0.2
"""Share of a side's length that is searched for padding."""

PADDING_CONTRAST = 0.25
"""Lines that differ from the next by less than this share of what is usual are copies of each other."""

LEAST_LINES = 4
"""Fewer copied lines than this are chance or a codec's doing."""


def strip_padding(pixels: NDArray[np.float32]) -> tuple[NDArray[np.float32], PixelMap]:
    """The part of the picture that was imaged, as a view, and where it lies.

    Padding is found by its lines, which repeat the one before instead of differing from it like lines of the picture do. A
    ragged strip outside the padding goes with it. A constant picture is returned whole.
    """
    height, width = pixels.shape
    top, bottom = _margins(pixels)
    left, right = _margins(pixels.T)
    return pixels[top : height - bottom, left : width - right], PixelMap.crop(left, top)


def _margins(pixels: NDArray[np.float32]) -> tuple[int, int]:
    """Rows of padding before and after the imaged ones."""
    step = max(1, pixels.shape[1] // 512)
    sample = pixels[:, ::step]
    change = np.abs(np.diff(sample, axis=0)).mean(axis=1)
    if len(change) == 0:
        return 0, 0
    copied = change < PADDING_CONTRAST * np.median(change)
    reach = int(LARGEST_MARGIN * len(copied))
    return _depth(copied[:reach]), _depth(copied[len(copied) - reach :][::-1])


def _depth(copied: NDArray[np.bool_]) -> int:
    """Lines from the edge to the last copied one; none when too few are."""
    if np.count_nonzero(copied) < LEAST_LINES:
        return 0
    return int(np.flatnonzero(copied)[-1]) + 1
