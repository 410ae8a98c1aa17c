"""Impossible pixels and pixel sizes: replaced, noted or refused."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cryopick.errors import FileError
from cryopick.messages import counted
from cryopick.robust import robust_deviation

Pixels = NDArray[np.float32]

FEW = 0.01
"""Largest share of pixels to replace."""
MOST_SALVAGED = 0.5
"""The same if the user requests to salvage the image."""
SAMPLED = 1 << 20
"""Number of pixels from which the median and the spread are estimated."""
HOT = 100.0
"""Standard deviations from the median beyond which pixels are noted."""
IMPOSSIBLE = 1e9
"""Standard deviations from the median beyond which pixels count as damaged, since their squares overflow."""
MODERATE = (1e-6, 1e9)
"""Limits of the spread and the largest value of unchanged images; others are multiplied by a power of ten."""
MOST_EQUAL = 0.99
"""Share of equal pixels that causes a note."""
LEAST_BLANK = 0.02
"""Share of rows of zeros at the end that causes a note."""

FLOAT32 = (float(np.finfo(np.float32).min), float(np.finfo(np.float32).max))

USUAL_PIXEL_SIZES = (0.3, 30.0)
"""Å; from super-resolution to overviews."""
LIKELY_PIXEL_SIZES = (0.5, 15.0)
UNITS = {"nm": 10.0, "µm": 1e4, "mm": 1e7, "m": 1e10, "pm": 0.01}
"""Å per unit that may be used by mistake."""


def usable_pixels(pixels: Pixels, path: Path, *, salvage: bool = False) -> tuple[Pixels, tuple[str, ...]]:
    """Return pixels (h, w) that are suitable for computation, and notes about replaced and unusual values.

    NaN, infinite and impossible values are replaced by the median of the others if they are at most 1 % of the pixels, or half
    of them with `salvage`. An image of extremely small or large values is multiplied by a power of ten. Raises `FileError` for
    more damaged pixels, and for images that are constant.
    """
    notes = []
    if not _is_finite(pixels):
        finite = np.isfinite(pixels)
        pixels, note = _replaced(pixels, finite, _described(pixels, finite), path, salvage=salvage)
        notes.append(note)
    sample = _sample(pixels)
    median = float(np.median(sample))
    deviation = _deviation(sample, median)
    far, furthest = _far(pixels, median, IMPOSSIBLE * deviation)
    if far is not None:
        count = int(np.count_nonzero(far))
        found = f"{counted(count, 'value')} of up to {furthest:g}, which no detector gives"
        pixels, note = _replaced(pixels, ~far, found, path, salvage=salvage)
        notes.append(note)
    low, high = float(pixels.min()), float(pixels.max())
    if low == high:
        remedy = "Exclude it, or create it again; a blank exposure or a failed job leaves such files"
        raise FileError(path, f"is constant: every pixel is {low:g}", remedy)
    looks = (_hot(pixels, median, deviation), _equal(sample, median), _blank_rows(pixels))
    pixels, scaled = _scaled(pixels, max(abs(low), abs(high)), deviation or high - low)
    return pixels, (*notes, *(note for note in (*looks, scaled) if note))


def pixel_size_doubt(size: float | None) -> str | None:
    """Return a note about an implausible pixel size in Å, with the unit that it may be in; None for a usual or unknown one."""
    if size is None or USUAL_PIXEL_SIZES[0] <= size <= USUAL_PIXEL_SIZES[1]:
        return None
    low, high = LIKELY_PIXEL_SIZES
    likely = next(((unit, size * factor) for unit, factor in UNITS.items() if low <= size * factor <= high), None)
    hint = f"if it is in {likely[0]}, give --pixel-size {likely[1]:.4g}" if likely else "check it, or give --pixel-size"
    return f"the pixel size of {size:g} Å is unusually {'small' if size < USUAL_PIXEL_SIZES[0] else 'large'}; {hint}"


def _is_finite(pixels: Pixels) -> bool:
    """Return whether all values are finite: then the sum is finite, too, since float64 has a much larger range."""
    with np.errstate(invalid="ignore"):
        return bool(np.isfinite(pixels.sum(dtype=np.float64)))


def _described(pixels: Pixels, finite: NDArray[np.bool_]) -> str:
    row, column = np.unravel_index(int(np.argmin(finite)), pixels.shape)
    nan = int(np.count_nonzero(np.isnan(pixels)))
    infinite = pixels.size - int(np.count_nonzero(finite)) - nan
    return f"{nan} NaN and {infinite} infinite pixels, the first in row {row}, column {column}"


def _replaced(pixels: Pixels, sound: NDArray[np.bool_], found: str, path: Path, *, salvage: bool) -> tuple[Pixels, str]:
    """Replace invalid pixels by the median; return the pixels and a note."""
    share = 1 - np.count_nonzero(sound) / pixels.size
    if share > (MOST_SALVAGED if salvage else FEW):
        remedy = "Create it again; float16 overflows beyond 65504, and a wrong gain reference gives NaN"
        remedy += "; or replace them by the median with --salvage" if share <= MOST_SALVAGED else ""
        raise FileError(path, f"has {found}", remedy)
    return np.where(sound, pixels, np.median(pixels[sound])), f"{found}; replaced by the median"


def _sample(pixels: Pixels) -> NDArray[np.float64]:
    step = max(1, math.isqrt(pixels.size // SAMPLED))
    return pixels[::step, ::step].astype(np.float64)


def _deviation(sample: NDArray[np.float64], median: float) -> float:
    """Return the robust standard deviation; if most pixels are equal, that of the others; 0 for a constant image."""
    if deviation := robust_deviation(sample, centre=median):
        return deviation
    other = sample[sample != median]
    return float(np.median(np.abs(other - median))) if other.size else 0.0


def _far(pixels: Pixels, median: float, distance: float) -> tuple[NDArray[np.bool_] | None, float]:
    """Return pixels further than a distance from the median, and the value of the furthest; None if there are none."""
    least, most = (np.float32(np.clip(median + side * distance, *FLOAT32)) for side in (-1, 1))
    low, high = pixels.min(), pixels.max()
    if distance == 0 or (low >= least and high <= most):
        return None, median
    return (pixels < least) | (pixels > most), float(max(low, high, key=lambda value: abs(float(value) - median)))


def _hot(pixels: Pixels, median: float, deviation: float) -> str | None:
    far, furthest = _far(pixels, median, HOT * deviation)
    count = 0 if far is None else int(np.count_nonzero(far))
    if not 0 < count <= FEW * pixels.size:  # a margin without data is larger
        return None
    are = "1 pixel is" if count == 1 else f"{count} pixels are"
    return f"{are} more than {HOT:g} standard deviations from the median (up to {furthest:g}): hot pixels or damage"


def _equal(sample: NDArray[np.float64], median: float) -> str | None:
    share = float(np.mean(sample == median))
    return f"{math.floor(10000 * share) / 100:g} % of the pixels are {median:g}" if share >= MOST_EQUAL else None


def _blank_rows(pixels: Pixels) -> str | None:
    """Return a note if the end of an image is 0, as after a truncated copy."""
    if pixels[-1].any() or not pixels[0].any():  # margins on all sides are padding
        return None
    blank = len(pixels) - 1 - int(np.flatnonzero(pixels.any(axis=1))[-1])
    if blank < LEAST_BLANK * len(pixels):
        return None
    return f"the last {blank} of {len(pixels)} rows are 0: check that the file was copied completely"


def _scaled(pixels: Pixels, largest: float, spread: float) -> tuple[Pixels, str | None]:
    power = -math.floor(math.log10(spread))
    if (spread >= MODERATE[0] and largest <= MODERATE[1]) or power == 0:
        return pixels, None
    scaled = (pixels * np.float64(10.0**power)).astype(np.float32)
    return scaled, f"values with a standard deviation of {spread:.2g} were multiplied by 1e{power:+d}"
