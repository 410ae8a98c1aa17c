"""Contrast for the display of micrographs."""

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]

DISPLAY_BLUR = 1.0 / 600
"""Standard deviation of the Gaussian that smooths previews, as a fraction of the longest side."""


def for_display(pixels: Pixels) -> NDArray[np.uint8]:
    """Convert an image (h, w) to grey values for display: slightly smoothed, the lowest and highest 0.5 % of values clipped.

    A constant image becomes middle grey.
    """
    deviation = max(pixels.shape) * DISPLAY_BLUR
    whole = np.ascontiguousarray(pixels, dtype=np.float32)
    smooth: Pixels = np.asarray(cv2.GaussianBlur(whole, (0, 0), deviation, borderType=cv2.BORDER_REFLECT), np.float32)
    sample = smooth[:: 1 + smooth.shape[0] // 1024, :: 1 + smooth.shape[1] // 1024]
    low, high = np.percentile(sample, [0.5, 99.5])
    if high <= low:
        return np.full(pixels.shape, 128, np.uint8)
    smooth -= float(low)
    smooth *= float(255 / (high - low))
    return np.clip(np.rint(smooth, out=smooth), 0, 255, out=smooth).astype(np.uint8)
