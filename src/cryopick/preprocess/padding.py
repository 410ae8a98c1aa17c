"""Borders without data: constant margins, and replicated edges as left by motion correction and converters."""

import numpy as np
from numpy.typing import NDArray

from cryopick.coordinates import PixelMap

LARGEST_MARGIN = 0.2
"""Share of a side's length that is searched for padding, at either end."""

PADDING_CONTRAST = 0.25
"""Adjacent lines that differ by less than this share of the median difference count as copies."""

LEAST_LINES = 4
"""Fewer copied lines than this are due to chance or compression."""


def strip_padding(pixels: NDArray[np.float32]) -> tuple[NDArray[np.float32], PixelMap]:
    """Return the part of an image (h, w) that holds data, as a view, and the map from its pixels to the image's.

    Padding is recognised by lines that repeat their neighbour. A ragged strip outside the padding is removed with it. A constant
    image is returned whole.
    """
    height, width = pixels.shape
    top, bottom = _margins(pixels)
    left, right = _margins(pixels.T)
    return pixels[top : height - bottom, left : width - right], PixelMap.crop(left, top)


def _margins(pixels: NDArray[np.float32]) -> tuple[int, int]:
    """Return the number of rows of padding at the top and at the bottom."""
    step = max(1, pixels.shape[1] // 512)
    sample = pixels[:, ::step]
    change = np.abs(np.diff(sample, axis=0)).mean(axis=1)
    if len(change) == 0:
        return 0, 0
    copied = change < PADDING_CONTRAST * np.median(change)
    reach = int(LARGEST_MARGIN * len(copied))
    return _depth(copied[:reach]), _depth(copied[len(copied) - reach :][::-1])


def _depth(copied: NDArray[np.bool_]) -> int:
    """Return the number of lines from the edge to the last copied one; 0 if there are too few."""
    if np.count_nonzero(copied) < LEAST_LINES:
        return 0
    return int(np.flatnonzero(copied)[-1]) + 1
