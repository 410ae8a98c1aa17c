"""Contrast by Fourier and box filters: the fast route of preprocessing, and what previews show."""

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.special import ndtr

from cryopick.errors import SettingError

Pixels = NDArray[np.float32]

EDGE_SOFTNESS = 0.15
"""Width of the band's edges, as a share of the frequency at which they stand."""

DISPLAY_BLUR = 1.0 / 600
"""Deviation of the Gaussian that previews are smoothed with, as a share of the longest side."""


def band_pass(pixels: Pixels, *, finest: float, coarsest: float) -> Pixels:
    """The picture with only the details between two sizes, in pixels, and mean 0.

    For a particle of diameter `d`, `finest=d / 5, coarsest=2 * d` keeps what makes its shape and takes away noise and uneven ice.
    The edges of the band are Gaussian error functions of the frequency's logarithm: one half at each size. Beyond its edges the
    picture is mirrored, by `coarsest` pixels.
    """
    if not 0 < finest < coarsest:
        raise SettingError(
            f"a band from details of {finest} to {coarsest} pixels is empty; give finest < coarsest, both positive"
        )
    margin = min(int(np.ceil(coarsest)), max(pixels.shape))
    padded = np.pad(pixels.astype(np.float32, copy=False), margin, mode="symmetric")
    fast_hw = tuple(fft.next_fast_len(size, real=True) for size in padded.shape)
    spectrum = fft.rfft2(padded, fast_hw)
    spectrum *= _band(fast_hw, finest, coarsest)
    filtered = fft.irfft2(spectrum, fast_hw, overwrite_x=True)
    height, width = pixels.shape
    return np.ascontiguousarray(filtered[margin : margin + height, margin : margin + width], dtype=np.float32)


def standardise(pixels: Pixels, *, window: int | None = None, floor: float = 0.5, clip: float = 5.0) -> Pixels:
    """The picture with mean 0 and deviation 1, over all of it or within a square of about `window` pixels around each pixel.

    Deviations smaller than `floor` times their median count as that, so that empty ice is not blown up to the contrast of
    particles. Values beyond `clip` deviations are set to it. A constant picture becomes all zeros.
    """
    values = pixels.astype(np.float32) - np.float32(pixels.mean(dtype=np.float64))
    if window is None:
        deviation: Pixels | float = float(values.std(dtype=np.float64))
    else:
        size = (2 * (window // 2) + 1,) * 2
        mean = cv2.blur(values, size, borderType=cv2.BORDER_REFLECT)
        square = cv2.blur(values * values, size, borderType=cv2.BORDER_REFLECT)
        deviation = np.sqrt(np.maximum(square - mean * mean, 0))
        values -= mean
        deviation = np.maximum(deviation, floor * np.median(deviation))
    values /= np.where(np.asarray(deviation) > 0, deviation, np.inf).astype(np.float32)
    return np.clip(values, -clip, clip, out=values)


def for_display(pixels: Pixels) -> NDArray[np.uint8]:
    """The picture as grey values for the eye: a little smoothed, the half per cent at each end clipped.

    A constant picture becomes middle grey.
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


def _band(shape_hw: tuple[int, ...], finest: float, coarsest: float) -> Pixels:
    """Weights of the frequencies of a real transform."""
    rows, columns = fft.fftfreq(shape_hw[0]), fft.rfftfreq(shape_hw[1])
    frequency = np.hypot(rows[:, None], columns[None, :]).astype(np.float32)
    frequency[0, 0] = 1e-9
    logarithm = np.log(frequency)
    weights = ndtr((logarithm + np.log(coarsest)) / EDGE_SOFTNESS) * ndtr(-(logarithm + np.log(finest)) / EDGE_SOFTNESS)
    weights[0, 0] = 0
    return np.asarray(weights, np.float32)
