"""Grey tiles of micrographs at every zoom level, cached in bounded memory, for panning without delay."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from cryopick.preprocess.denoise import denoise, load_denoise_settings
from cryopick.types import Micrograph

Grey = NDArray[np.uint8]
Pixels = NDArray[np.float32]
View = Literal["plain", "denoised"]

TILE = 512
SMALLEST_SIDE = 256
LONGEST_DENOISED = 2048
"""Longest side of images that are denoised, in pixels: denoising takes seconds for each 4 million pixels."""
JPEG_QUALITY = 85
CUT = 0.1
"""Percentage of pixels clipped at either end, so that hot pixels do not flatten the contrast."""
BLUR_CUT = 0.5
SAMPLED = 1024


@dataclass(frozen=True, eq=False)
class Pyramid:
    """Grey images of a micrograph at decreasing resolution, each level half the size of the one before it.

    A pixel of level `n` covers `2 ** n` pixels of the micrograph along either axis; odd sizes are rounded up.

    Attributes
    ----------
    levels : from level `first` on; finer levels are absent.
    windows : cached grey windows of smoothed levels, by level number and standard deviation of the Gaussian.
    """

    levels: tuple[Grey, ...]
    first: int = 0
    windows: dict[tuple[int, float], tuple[float, float]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return sum(level.nbytes for level in self.levels)

    def level(self, number: int) -> tuple[Grey, int]:
        """Return the level with that number, or the nearest one, and its number."""
        number = min(max(number, self.first), self.first + len(self.levels) - 1)
        return self.levels[number - self.first], number


def level_count(shape_hw: tuple[int, int]) -> int:
    """Return the number of levels of a micrograph: the longest side of the last one is at most `SMALLEST_SIDE`."""
    longest, count = max(shape_hw), 1
    while longest > SMALLEST_SIDE:
        longest, count = (longest + 1) // 2, count + 1
    return count


def build(micrograph: Micrograph) -> Pyramid:
    """Build all levels of a micrograph without denoising."""
    return Pyramid(tuple(_grey(level, CUT) for level in _halvings(micrograph.pixels)))


def build_denoised(micrograph: Micrograph, *, diameter_px: float | None) -> Pyramid:
    """Build the levels of a denoised micrograph, the finest with at most `LONGEST_DENOISED` pixels along its longest side."""
    first, levels = 0, _halvings(micrograph.pixels)
    while max(levels[first].shape) > LONGEST_DENOISED:
        first += 1
    settings = load_denoise_settings("corrected")
    smaller = None if diameter_px is None else diameter_px / 2**first
    clean, _ = denoise(levels[first], settings.for_diameter(smaller))
    return Pyramid(tuple(_grey(level, CUT) for level in _halvings(clean.astype(np.float32))), first)


def tile(pyramid: Pyramid, level: int, column: int, row: int, *, blur: float = 0.0) -> bytes | None:
    """Encode one tile as JPEG; None outside the level.

    `blur` is the standard deviation, in pixels of the micrograph, of a Gaussian that smooths the tile with its surroundings.
    """
    image, number = pyramid.level(level)
    top, left = row * TILE, column * TILE
    if number != level or not (0 <= top < image.shape[0] and 0 <= left < image.shape[1]):
        return None
    deviation = blur / 2**number
    if deviation < 0.3:
        cut = image[top : top + TILE, left : left + TILE]
    else:
        cut = _stretch(_blurred_cut(image, top, left, deviation), *_blurred_window(pyramid, number, blur))
    _, encoded = cv2.imencode(".jpg", np.ascontiguousarray(cut), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return encoded.tobytes()


class PyramidCache:
    """The pyramids used last, up to a limit in bytes; each is built once even if several threads request it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._cached: OrderedDict[tuple[int, View], Pyramid] = OrderedDict()
        self._building: dict[tuple[int, View], threading.Lock] = {}

    def get(self, key: tuple[int, View], make: Callable[[], Pyramid]) -> Pyramid:
        """Return the pyramid of that key, built by `make` if it is not cached. Raises the errors of `make`."""
        with self._lock:
            if key in self._cached:
                self._cached.move_to_end(key)
                return self._cached[key]
            building = self._building.setdefault(key, threading.Lock())
        with building:
            with self._lock:
                if key in self._cached:
                    return self._cached[key]
            pyramid = make()
            with self._lock:
                self._cached[key] = pyramid
                self._building.pop(key, None)
                while sum(each.size for each in self._cached.values()) > self._limit and len(self._cached) > 1:
                    self._cached.popitem(last=False)
            return pyramid

    @property
    def size(self) -> int:
        """Bytes of all cached pyramids."""
        with self._lock:
            return sum(each.size for each in self._cached.values())


def _halvings(pixels: Pixels) -> list[Pixels]:
    levels = [np.ascontiguousarray(pixels, np.float32)]
    for _ in range(level_count(levels[0].shape) - 1):
        above = levels[-1]
        even = cv2.copyMakeBorder(above, 0, above.shape[0] % 2, 0, above.shape[1] % 2, cv2.BORDER_REPLICATE)
        half = cv2.resize(even, (even.shape[1] // 2, even.shape[0] // 2), interpolation=cv2.INTER_AREA)
        levels.append(np.asarray(half, np.float32).reshape(even.shape[0] // 2, even.shape[1] // 2))
    return levels


def _grey(pixels: Pixels, cut: float) -> Grey:
    return _stretch(pixels, *_window(pixels, cut))


def _window(pixels: Pixels, cut: float) -> tuple[float, float]:
    step = max(1, max(pixels.shape) // SAMPLED)
    low, high = np.percentile(pixels[::step, ::step], [cut, 100 - cut])
    return float(low), float(high)


def _stretch(pixels: Pixels, low: float, high: float) -> Grey:
    if high <= low:
        return np.full(pixels.shape, 128, np.uint8)
    grey = np.empty(pixels.shape, np.uint8)
    for top in range(0, len(pixels), TILE):  # in strips: an image of 8k in float32 is a quarter of a gigabyte
        strip = np.clip(pixels[top : top + TILE], low, high) - np.float32(low)
        grey[top : top + TILE] = np.rint(strip * np.float32(255 / (high - low)))
    return grey


def _blurred_cut(image: Grey, top: int, left: int, deviation: float) -> Pixels:
    """Smooth a tile of the image, computed with as many pixels around it as the Gaussian reaches."""
    reach = int(np.ceil(4 * deviation))
    above, before = max(0, top - reach), max(0, left - reach)
    around = image[above : top + TILE + reach, before : left + TILE + reach].astype(np.float32)
    smooth = cv2.GaussianBlur(around, (0, 0), deviation, borderType=cv2.BORDER_REFLECT)
    return np.asarray(smooth[top - above :, left - before :][:TILE, :TILE], np.float32)


def _blurred_window(pyramid: Pyramid, number: int, blur: float) -> tuple[float, float]:
    """Return the grey window of a smoothed level, the same for all its tiles, from its middle."""
    key = (number, blur)
    if key not in pyramid.windows:
        image, _ = pyramid.level(number)
        height, width = image.shape
        top, left = max(0, height - SAMPLED) // 2, max(0, width - SAMPLED) // 2
        middle = image[top : top + SAMPLED, left : left + SAMPLED].astype(np.float32)
        smooth = cv2.GaussianBlur(middle, (0, 0), blur / 2**number, borderType=cv2.BORDER_REFLECT)
        pyramid.windows[key] = _window(np.asarray(smooth, np.float32), BLUR_CUT)
    return pyramid.windows[key]
