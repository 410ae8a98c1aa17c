"""The denoising chain of CryoSegNet and CryoTransformer, stage by stage, as published or corrected.

Each stage is a function; `denoise` runs them in order. The constants are those of the published programs, which also flip the
rows first; here that is a setting.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from cryopick.coordinates import PixelMap
from cryopick.errors import SettingError, deprecated

Grey = NDArray[np.uint8]
Pixels = NDArray[np.float32]

FORMER_PRESETS = {"faithful": "published", "robust": "corrected"}
"""Current names of presets by their names in version 0.1."""
QUARTILES_APART = 1.349  # of a normal distribution, in standard deviations
STRIP = 256
"""Rows that are processed together."""


@dataclass(frozen=True)
class DenoiseSettings:
    """Settings of the stages; the defaults are the published chain. Lengths are in pixels of the micrograph.

    Attributes
    ----------
    flip_rows : flip the rows first, as the published programs do with MRC files.
    clip : clip grey values this many standard deviations (estimated from the quartiles) from the median, also before each
        stretch to 8 bits; None stretches from the darkest to the brightest pixel, so one hot pixel flattens the contrast.
    blur_size, blur_sigma : odd side of the blur kernel and its standard deviation; 0 uses OpenCV's fixed kernel of that side
        (about 1.66 pixels for a side of 9).
    nlm_strength : grey levels by which patches may differ and still be averaged.
    nlm_patch, nlm_search : odd sides of the patches and of the search window of non-local means.
    kernel_sigma, kernel_size : standard deviation and odd side of the Gaussian that Wiener deconvolution removes.
    kernel_origin : position of that Gaussian. "corner" shifts the image by half its size, as published; "centre" does not.
    noise_to_signal : constant of the Wiener filter.
    clahe_limit, clahe_tiles : contrast limit of the adaptive equalisation, and number of tiles along each side.
    guided_size, guided_epsilon : window and smoothness of the guided filter; an even window shifts the image by one pixel.
    designed_for : particle diameter in pixels for which the lengths were chosen; None keeps the lengths at any diameter.
    """

    flip_rows: bool = False
    clip: float | None = None
    blur_size: int = 9
    blur_sigma: float = 0.0
    nlm_strength: float = 10.0
    nlm_patch: int = 7
    nlm_search: int = 21
    kernel_sigma: float = 3.0
    kernel_size: int = 9
    kernel_origin: Literal["corner", "centre"] = "corner"
    noise_to_signal: float = 30.0
    clahe_limit: float = 2.0
    clahe_tiles: int = 16
    guided_size: int = 20
    guided_epsilon: float = 0.1
    designed_for: float | None = None

    def __post_init__(self) -> None:
        for name in ("blur_size", "nlm_patch", "nlm_search", "kernel_size"):
            if getattr(self, name) < 1 or getattr(self, name) % 2 == 0:
                raise SettingError(f"{name} must be a positive odd number of pixels, got {getattr(self, name)}")
        positive = (
            "nlm_strength",
            "kernel_sigma",
            "noise_to_signal",
            "clahe_limit",
            "clahe_tiles",
            "guided_size",
            "guided_epsilon",
        )
        for name in (*positive, "clip", "designed_for"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise SettingError(f"{name} must be positive, got {value}")
        if self.blur_sigma < 0:
            raise SettingError(f"blur_sigma must be positive, or 0 for OpenCV's fixed kernel, got {self.blur_sigma}")

    def for_diameter(self, diameter_px: float | None) -> "DenoiseSettings":
        """Return settings with the blur, the kernel and the guided window scaled to a particle diameter in pixels.

        They are unchanged if the diameter or `designed_for` is None.
        """
        if diameter_px is None or self.designed_for is None:
            return self
        factor = diameter_px / self.designed_for
        return replace(
            self,
            blur_size=_odd(self.blur_size * factor),
            blur_sigma=self.blur_sigma * factor,
            kernel_sigma=self.kernel_sigma * factor,
            kernel_size=_odd(self.kernel_size * factor),
            guided_size=_odd(self.guided_size * factor),
            designed_for=diameter_px,
        )


def load_denoise_settings(preset: str, *changes: Mapping[str, Any]) -> DenoiseSettings:
    """Return the settings of a preset, ``published`` or ``corrected`` or a YAML file, with changes by name.

    The names of version 0.1 work with a warning. Raises `SettingError` for an unknown preset or setting.
    """
    from cryopick.config import load_preset, resolve

    if preset in FORMER_PRESETS:
        name = FORMER_PRESETS[preset]
        deprecated(f"the denoising preset {preset} is deprecated and will be removed in the next version: use {name}")
        preset = name
    return resolve(DenoiseSettings, load_preset("denoise", preset), *changes)


def denoise(pixels: Pixels, settings: DenoiseSettings | None = None) -> tuple[Grey, PixelMap]:
    """Denoise a micrograph float32 (h, w) as the published pickers expect it.

    Returns uint8 (h, w) and the map from its pixels to the micrograph's. The map contains the flip and the shift by the kernel
    and the even window, 3 pixels along each axis with the defaults. Networks trained on such images with unshifted masks undo the
    shift themselves, so for their output only the flip must be undone. A constant image gives zeros.
    """
    settings = settings or DenoiseSettings()
    to_home = PixelMap()
    if settings.flip_rows:
        pixels, to_home = pixels[::-1], PixelMap.flip_rows(pixels.shape[0])
    if settings.clip is not None:
        pixels = np.clip(pixels, *grey_window(pixels, settings.clip))

    def grey(values: Pixels) -> Grey:
        return stretch(values, None if settings.clip is None else grey_window(values, settings.clip))

    blurred = gaussian_blur(pixels, size=settings.blur_size, sigma=settings.blur_sigma)
    averaged = non_local_means(
        grey(blurred), strength=settings.nlm_strength, patch=settings.nlm_patch, search=settings.nlm_search
    )
    kernel = gaussian_kernel(settings.kernel_size, settings.kernel_sigma)
    deconvolved, corner = wiener(averaged, kernel, noise_to_signal=settings.noise_to_signal, origin=settings.kernel_origin)
    equalised = equalise(grey(deconvolved), limit=settings.clahe_limit, tiles=settings.clahe_tiles)
    smooth, window = guided_filter(equalised, deconvolved, size=settings.guided_size, epsilon=settings.guided_epsilon)
    return grey(smooth), to_home.then(corner).then(window)


def gaussian_blur(pixels: Pixels, *, size: int = 9, sigma: float = 0.0) -> Pixels:
    """Blur an image (h, w) with a Gaussian of `size` pixels, mirrored at the edges; sigma 0, as published, is OpenCV's own."""
    return np.asarray(cv2.GaussianBlur(np.ascontiguousarray(pixels, np.float32), (size, size), sigma), np.float32)


def grey_window(pixels: Pixels, deviations: float) -> tuple[float, float]:
    """Return the grey values at the median ± a number of standard deviations.

    The standard deviation is estimated from the quartiles of about a million pixels on a grid, so up to a quarter of dead or hot
    pixels do no harm. The window is limited to the darkest and brightest pixel, which it spans if the quartiles coincide.
    """
    step = max(1, int(np.sqrt(pixels.size / 2**20)))
    low, middle, high = (float(value) for value in np.percentile(pixels[::step, ::step], (25, 50, 75)))
    half = deviations * (high - low) / QUARTILES_APART if high > low else np.inf
    return max(middle - half, float(pixels.min())), min(middle + half, float(pixels.max()))


def stretch(pixels: Pixels, window: tuple[float, float] | None = None) -> Grey:
    """Stretch a window of grey values, by default from the darkest to the brightest pixel, to 0–255 and truncate: uint8 (h, w).

    Standardising first, as published, makes no difference: stretching cancels any gain and offset.
    """
    low, high = window or (float(pixels.min()), float(pixels.max()))
    if high <= low:
        return np.zeros(pixels.shape, np.uint8)
    scaled = (pixels - np.float32(low)) * np.float32(255 / (high - low))
    return np.clip(scaled, 0, 255, out=scaled).astype(np.uint8)


def non_local_means(grey: Grey, *, strength: float = 10.0, patch: int = 7, search: int = 21) -> Grey:
    """Average pixels with similar neighbourhoods (Buades et al. 2005, OpenCV's fast version): uint8 (h, w)."""
    return np.asarray(cv2.fastNlMeansDenoising(grey, None, strength, patch, search), np.uint8)


def gaussian_kernel(size: int = 9, sigma: float = 3.0) -> NDArray[np.float64]:
    """Return one factor (size,) of a separable Gaussian kernel, with sum 1; the kernel is its outer product with itself."""
    offsets = np.arange(size) - (size - 1) / 2
    weights = np.exp(-(offsets**2) / (2 * sigma**2))
    return np.asarray(weights / weights.sum())


def wiener(
    grey: Grey, kernel: NDArray[np.float64], *, noise_to_signal: float = 30.0, origin: Literal["corner", "centre"] = "corner"
) -> tuple[Pixels, PixelMap]:
    """Deconvolve an image by a separable kernel with a Wiener filter `conj(K) / (|K|² + constant)`, then take absolute values.

    Returns float32 (h, w) and the map to the input's pixels. The image is treated as periodic. With the kernel in the corner, as
    published, the result is shifted towards the first pixel by half the kernel, which the map records.
    """
    from scipy import fft

    height, width = grey.shape
    half = len(kernel) // 2
    start = 0 if origin == "corner" else -half
    rows = _transfer(kernel, np.fft.fftfreq(height), start)[:, None]
    columns = _transfer(kernel, np.fft.rfftfreq(width), start)[None]
    mean = float(grey.mean())  # removed before the transform, or it would use up most of float32's precision
    threads = max(1, cv2.getNumThreads())  # one setting for all libraries; workers of a pool set it to 1
    spectrum = fft.rfft2(grey - np.float32(mean), workers=threads, overwrite_x=True)
    for strip in _strips(height):
        row = rows[strip]
        spectrum[strip] *= (row * columns).conj() / (np.abs(row) ** 2 * np.abs(columns) ** 2 + np.float32(noise_to_signal))
    result = fft.irfft2(spectrum, s=grey.shape, workers=threads, overwrite_x=True)
    result += np.float32(mean / (1 + noise_to_signal))
    return np.abs(result, out=result), PixelMap.crop(half, half) if origin == "corner" else PixelMap()


def equalise(grey: Grey, *, limit: float = 2.0, tiles: int = 16) -> Grey:
    """Equalise contrast with CLAHE (contrast-limited adaptive histogram equalisation, Zuiderveld 1994): uint8 (h, w)."""
    return np.asarray(cv2.createCLAHE(limit, (tiles, tiles)).apply(grey), np.uint8)


def guided_filter(image: Grey, guide: Pixels, *, size: int = 20, epsilon: float = 0.1) -> tuple[Pixels, PixelMap]:
    """Smooth an image with a guided filter (He et al. 2010), both divided by 255: float32 (h, w), and the map to its pixels.

    The published programs smooth the equalised image and use the result of the Wiener filter as the guide. Its grey values are
    so small compared with `epsilon` that the filter amounts to two box means. With an even window, each shifts the image by half
    a pixel away from the first one, which the map records.
    """
    height = image.shape[0]
    smooth = np.empty(image.shape, np.float32)
    for strip in _strips(height):
        top = max(0, strip.start - 2 * size)  # two windows deep, so that no seams show
        around = slice(top, strip.stop + 2 * size)
        whole = _guided(image[around] * np.float32(1 / 255), guide[around] * np.float32(1 / 255), size, epsilon)
        smooth[strip] = whole[strip.start - top :][: strip.stop - strip.start]
    return smooth, PixelMap() if size % 2 else PixelMap.crop(-1, -1)


def _guided(source: Pixels, leader: Pixels, size: int, epsilon: float) -> Pixels:
    mean_source, mean_leader = _box(source, size), _box(leader, size)
    slope = _box(leader * source, size)
    slope -= mean_leader * mean_source
    variance = _box(leader * leader, size)
    variance -= mean_leader * mean_leader
    variance += np.float32(epsilon)
    slope /= variance
    mean_source -= slope * mean_leader
    smooth = _box(slope, size)
    smooth *= leader
    smooth += _box(mean_source, size)
    return smooth


def _strips(height: int) -> list[slice]:
    """Divide rows into strips that fit a processor's cache for several steps."""
    return [slice(top, min(top + STRIP, height)) for top in range(0, height, STRIP)]


def _transfer(kernel: NDArray[np.float64], frequencies: NDArray[Any], start: int) -> NDArray[np.complex64]:
    """Return the Fourier transform of a kernel whose first value lies at pixel `start`."""
    positions = start + np.arange(len(kernel))
    return np.asarray(np.exp(-2j * np.pi * np.outer(frequencies, positions)) @ kernel, np.complex64)


def _box(pixels: Pixels, size: int) -> Pixels:
    return np.asarray(cv2.boxFilter(pixels, cv2.CV_32F, (size, size)), np.float32)


def _odd(length: float) -> int:
    """Return the odd number nearest to a length, at least 1."""
    return max(1, 2 * round((length - 1) / 2) + 1)
