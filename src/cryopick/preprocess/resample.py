"""Resampling. Every function returns the new image and the `PixelMap` from its pixels to the old ones."""

import logging

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from cryopick.coordinates import PixelMap
from cryopick.errors import CryopickError, SettingError
from cryopick.io.micrographs.values import pixel_size_doubt
from cryopick.types import Micrograph

logger = logging.getLogger(__name__)

Pixels = NDArray[np.float32]

ROWS_AT_ONCE = 512


def fourier_crop(pixels: Pixels, shape_hw: tuple[int, int]) -> tuple[Pixels, PixelMap]:
    """Resample an image to `shape_hw` by cropping its Fourier transform, or padding it with zeros.

    Frequencies below the smaller Nyquist frequency and the mean are kept exactly. Along an axis that changes, the Nyquist
    frequency of an even size is dropped, since its phase is ambiguous. The image is treated as periodic. Rows are transformed in
    blocks, so the full transform is never in memory. Raises `SettingError` for an empty shape.
    """
    _check_shape(shape_hw)
    height, width = pixels.shape
    new_height, new_width = shape_hw
    columns = width // 2 + 1 if new_width == width else (min(width, new_width) - 1) // 2 + 1
    spectrum = np.empty((height, columns), np.complex64)
    level = np.float32(pixels[::64, ::64].mean(dtype=np.float64))  # rounding errors would look like faint particles
    for top in range(0, height, ROWS_AT_ONCE):
        rows = slice(top, top + ROWS_AT_ONCE)
        spectrum[rows] = fft.rfft((pixels[rows] - level).astype(np.float32, copy=False), axis=1)[:, :columns]
    spectrum = _cut_rows(fft.fft(spectrum, axis=0, overwrite_x=True), new_height)
    spectrum *= new_height * new_width / (height * width)
    small = fft.irfft(fft.ifft(spectrum, axis=0, overwrite_x=True), new_width, axis=1, overwrite_x=True)
    return np.ascontiguousarray(small + level, dtype=np.float32), PixelMap.fourier_crop((width / new_width, height / new_height))


def crop_to_scale(pixels: Pixels, factor: float) -> tuple[Pixels, PixelMap]:
    """Fourier-crop an image by a factor; a factor below 1 enlarges it.

    For a particle of `d` pixels to span `n`, the factor is `d / n`. The image is first mirrored at its right and bottom edges to
    sizes that transform fast; the mirrored part is cut off again, and the first pixel stays where it is. The new sizes are whole
    pixels, so the true factors, in the map, differ slightly from `factor`. Raises `SettingError` unless the factor is positive.
    """
    if not (np.isfinite(factor) and factor > 0):
        raise SettingError(f"the factor by which an image shrinks must be positive, got {factor}")
    height, width = pixels.shape
    padded_hw = (fft.next_fast_len(height, real=True), fft.next_fast_len(width, real=True))
    small_hw = (max(1, round(padded_hw[0] / factor)), max(1, round(padded_hw[1] / factor)))
    if padded_hw != pixels.shape:
        extra = ((0, padded_hw[0] - height), (0, padded_hw[1] - width))
        pixels = np.pad(pixels, extra, mode="symmetric")
    small, to_home = fourier_crop(pixels, small_hw)
    rows, columns = (np.floor(to_home.from_home([(width - 1, height - 1)])[0]).astype(int) + 1)[::-1]
    return np.ascontiguousarray(small[:rows, :columns]), to_home


def resize(pixels: Pixels, shape_hw: tuple[int, int]) -> tuple[Pixels, PixelMap]:
    """Resize an image to `shape_hw` with its edges aligned: area mean if both sides shrink, else bilinear (OpenCV).

    Raises `SettingError` for an empty shape.
    """
    _check_shape(shape_hw)
    height, width = pixels.shape
    new_height, new_width = shape_hw
    method = cv2.INTER_AREA if new_height <= height and new_width <= width else cv2.INTER_LINEAR
    changed = cv2.resize(np.ascontiguousarray(pixels, dtype=np.float32), (new_width, new_height), interpolation=method)
    return np.asarray(changed, np.float32).reshape(shape_hw), PixelMap.resize((width / new_width, height / new_height))


def _cut_rows(spectrum: NDArray[np.complex64], rows: int) -> NDArray[np.complex64]:
    """Return the rows of a column-wise transform that an image of `rows` rows can represent."""
    if rows == len(spectrum):
        return spectrum
    keep = (min(len(spectrum), rows) - 1) // 2
    cut = np.zeros((rows, spectrum.shape[1]), np.complex64)
    cut[: keep + 1] = spectrum[: keep + 1]
    cut[rows - keep :] = spectrum[len(spectrum) - keep :]
    return cut


def _check_shape(shape_hw: tuple[int, int]) -> None:
    if min(shape_hw) < 1:
        raise SettingError(f"the size of an image must be positive, got {shape_hw[0]} x {shape_hw[1]} pixels")


MIN_DIAMETER_PX = 4.0
"""Smallest particle diameter in pixels that can be picked: smaller particles have no visible shape."""


def checked_diameter(diameter_px: float) -> float:
    """Return a particle diameter in the micrograph's pixels. Raises `CryopickError` if it is too small to be picked."""
    if diameter_px < MIN_DIAMETER_PX:
        raise CryopickError(
            f"the particle diameter must be at least {MIN_DIAMETER_PX:g} pixels, got {diameter_px:.2g}; "
            "check that the diameter is in Å and that the pixel size is right"
        )
    return diameter_px


LARGEST_SHARE = 2 / 3
"""Largest particle diameter over the shorter side of a micrograph."""
UNUSUAL_SHARE = 1 / 3
"""The same, above which there is a warning."""


def check_fit(micrograph: Micrograph, diameter: float | None) -> None:
    """Check that particles of a diameter in Å (pixels without a pixel size) fit into a micrograph.

    Raises `CryopickError` if they span most of it, so that none would be found, and warns if they span a third, since the unit of
    the diameter or of the pixel size is then probably wrong.
    """
    side = min(micrograph.shape_hw)
    across = 0.0 if diameter is None else micrograph.to_px(diameter)
    if across <= UNUSUAL_SHARE * side:
        return
    size = "unknown" if micrograph.pixel_size is None else f"{micrograph.pixel_size:g} Å"
    message = (
        f"its particles would have a diameter of {across:,.0f} pixels, but the image has only {side:,}; "
        f"check --diameter ({diameter:g}) and --pixel-size ({size})"
    )
    if doubt := pixel_size_doubt(micrograph.pixel_size):
        message = f"{message}: {doubt}"
    if across > LARGEST_SHARE * side:
        raise CryopickError(message)
    logger.warning("%s: %s", micrograph.name, message)
