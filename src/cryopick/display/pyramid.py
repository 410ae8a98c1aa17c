"""Micrographs as small grey tiles at every zoom, kept in bounded memory, so that 8k pictures pan without waiting."""

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
"""Pixels along the longest side of what is denoised: the chain takes seconds for each 4 million."""
JPEG_QUALITY = 85
CUT = 0.1
"""Per cent of pixels at either end that become black or white, so that hot pixels do not flatten the rest."""
BLUR_CUT = 0.5
SAMPLED = 1024


@dataclass(frozen=True, eq=False)
class Pyramid:
    """Grey pictures of a micrograph, each level half as large as the one before it; levels have windows of their own.

    A pixel of level `n` covers `2 ** n` pixels of the micrograph along either axis, picture edges kept.

    Attributes
    ----------
    levels : from `first` on; finer ones are not there.
    windows : grey windows of levels (number) smoothed with a Gaussian (deviation), as they were asked for.
    """

    levels: tuple[Grey, ...]
    first: int = 0
    windows: dict[tuple[int, float], tuple[float, float]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(level.nbytes for level in self.levels)

    def level(self, number: int) -> tuple[Grey, int]:
        """The level that is asked for or the nearest there is, and its number."""
        number = min(max(number, self.first), self.first + len(self.levels) - 1)
        return self.levels[number - self.first], number


def level_count(shape_hw: tuple[int, int]) -> int:
    """How many levels a micrograph has: the last one's longest side is no longer than `SMALLEST_SIDE`."""
    longest, count = max(shape_hw), 1
    while longest > SMALLEST_SIDE:
        longest, count = (longest + 1) // 2, count + 1
    return count


def build(micrograph: Micrograph) -> Pyramid:
    """All levels of a micrograph as it is."""
    return Pyramid(tuple(_grey(level, CUT) for level in _halvings(micrograph.pixels)))


def build_denoised(micrograph: Micrograph, *, diameter_px: float | None) -> Pyramid:
    """Levels of a micrograph after the denoising chain, the finest no larger than `LONGEST_DENOISED`."""
    first, levels = 0, _halvings(micrograph.pixels)
    while max(levels[first].shape) > LONGEST_DENOISED:
        first += 1
    settings = load_denoise_settings("corrected")
    smaller = None if diameter_px is None else diameter_px / 2**first
    clean, _ = denoise(levels[first], settings.for_diameter(smaller))
    return Pyramid(tuple(_grey(level, CUT) for level in _halvings(clean.astype(np.float32))), first)


def tile(pyramid: Pyramid, level: int, column: int, row: int, *, blur: float = 0.0) -> bytes | None:
    """One tile as JPEG, None where the level has none.

    `blur` is the deviation in pixels of the micrograph of a Gaussian that the tile is smoothed with, its surroundings included.
    """
    picture, number = pyramid.level(level)
    top, left = row * TILE, column * TILE
    if number != level or not (0 <= top < picture.shape[0] and 0 <= left < picture.shape[1]):
        return None
    deviation = blur / 2**number
    if deviation < 0.3:
        cut = picture[top : top + TILE, left : left + TILE]
    else:
        cut = _stretch(_blurred_cut(picture, top, left, deviation), *_blurred_window(pyramid, number, blur))
    _, encoded = cv2.imencode(".jpg", np.ascontiguousarray(cut), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return encoded.tobytes()


class PyramidCache:
    """Pyramids by name, the ones used last, up to so many bytes; each is built once even when many ask at the same time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[int, View], Pyramid] = OrderedDict()
        self._building: dict[tuple[int, View], threading.Lock] = {}

    def get(self, key: tuple[int, View], make: Callable[[], Pyramid]) -> Pyramid:
        """The pyramid of that name, made if need be; what `make` raises goes to every one that waits."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            building = self._building.setdefault(key, threading.Lock())
        with building:
            with self._lock:
                if key in self._kept:
                    return self._kept[key]
            pyramid = make()
            with self._lock:
                self._kept[key] = pyramid
                self._building.pop(key, None)
                while sum(each.size for each in self._kept.values()) > self._limit and len(self._kept) > 1:
                    self._kept.popitem(last=False)
            return pyramid

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        with self._lock:
            return sum(each.size for each in self._kept.values())


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
    for top in range(0, len(pixels), TILE):  # in strips: an 8k picture in float32 is a quarter of a gigabyte
        strip = np.clip(pixels[top : top + TILE], low, high) - np.float32(low)
        grey[top : top + TILE] = np.rint(strip * np.float32(255 / (high - low)))
    return grey


def _blurred_cut(picture: Grey, top: int, left: int, deviation: float) -> Pixels:
    """A tile of the smoothed picture, computed from as much around it as the Gaussian reaches."""
    reach = int(np.ceil(4 * deviation))
    above, before = max(0, top - reach), max(0, left - reach)
    around = picture[above : top + TILE + reach, before : left + TILE + reach].astype(np.float32)
    smooth = cv2.GaussianBlur(around, (0, 0), deviation, borderType=cv2.BORDER_REFLECT)
    return np.asarray(smooth[top - above :, left - before :][:TILE, :TILE], np.float32)


def _blurred_window(pyramid: Pyramid, number: int, blur: float) -> tuple[float, float]:
    """Grey window of a smoothed level, the same for all its tiles, from the middle of it."""
    key = (number, blur)
    if key not in pyramid.windows:
        picture, _ = pyramid.level(number)
        height, width = picture.shape
        top, left = max(0, height - SAMPLED) // 2, max(0, width - SAMPLED) // 2
        middle = picture[top : top + SAMPLED, left : left + SAMPLED].astype(np.float32)
        smooth = cv2.GaussianBlur(middle, (0, 0), blur / 2**number, borderType=cv2.BORDER_REFLECT)
        pyramid.windows[key] = _window(np.asarray(smooth, np.float32), BLUR_CUT)
    return pyramid.windows[key]
