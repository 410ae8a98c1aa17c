"""The denoising chain that CryoSegNet and CryoTransformer were trained on, stage by stage, and settings that mend its traps.

Each stage is a function; `denoise` runs them in order. Rows stay as they are in the file unless the settings ask for the flip
that the published programs start with. Source of the constants: the published programs.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from cryopick.coordinates import PixelMap
from cryopick.errors import SettingError

Grey = NDArray[np.uint8]
Pixels = NDArray[np.float32]

QUARTILES_APART = 1.349  # of a normal distribution, in standard deviations
STRIP = 256


@dataclass(frozen=True)
class DenoiseSettings:
    """What the stages do; the defaults are the published chain. Lengths are in pixels of the micrograph.

    Attributes
    ----------
    flip_rows : turn the picture upside down first, as the published programs do with MRC files.
    clip : grey values further than this many standard deviations (estimated from the quartiles) from the median are clipped,
        also those of the stages that are stretched to 8 bits; None stretches from the darkest to the brightest pixel, so that
        one hot pixel flattens the rest.
    blur_size, blur_sigma : side of the blur's kernel, odd, and its standard deviation; 0 takes the kernel that OpenCV keeps
        for that side (9: about 1.66 pixels).
    nlm_strength : grey levels by which patches may differ and still be averaged.
    nlm_patch, nlm_search : sides of the patches and of the window in which like ones are sought.
    kernel_sigma, kernel_size : the Gaussian that Wiener deconvolution undoes; the size is odd.
    kernel_origin : where that Gaussian lies. "corner" moves the picture by half its size, as published; "centre" does not.
    noise_to_signal : constant of the Wiener filter.
    clahe_limit, clahe_tiles : contrast limit of the adaptive equalisation, and tiles along either side.
    guided_size, guided_epsilon : window and smoothness of the guided filter; an even window moves the picture by a pixel.
    designed_for : diameter of the particles for which these lengths were chosen; None keeps the lengths at any diameter.
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
                raise SettingError(f"{name} is {getattr(self, name)}; it must be an odd number of pixels, with one in the middle")
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
                raise SettingError(f"{name} is {value}; it must be above 0")
        if self.blur_sigma < 0:
            raise SettingError(f"blur_sigma is {self.blur_sigma}; it must be 0, for OpenCV's own, or more")

    def for_diameter(self, diameter_px: float | None) -> "DenoiseSettings":
        """These settings with the blur, the kernel and the guided window in proportion to a particle's diameter in pixels.

        Unchanged when the diameter is None or the settings are not `designed_for` any.
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


def denoise(pixels: Pixels, settings: DenoiseSettings | None = None) -> tuple[Grey, PixelMap]:
    """A micrograph (h, w) as the published pickers want to see it: uint8 (h, w), and where its pixels lie in the micrograph.

    The map holds the flip and the shift of the picture by the kernel's corner and the even window, 3 pixels along either axis
    with the defaults. Networks trained on such pictures with masks in the micrograph's own pixels have learnt that shift: their
    maps need only the flip undone. A picture of one grey value gives zeros.
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
    """Gaussian blur float32 (h, w), mirrored at the edges. With sigma 0, as published, OpenCV takes a kernel of its own."""
    return np.asarray(cv2.GaussianBlur(np.ascontiguousarray(pixels, np.float32), (size, size), sigma), np.float32)


def grey_window(pixels: Pixels, deviations: float) -> tuple[float, float]:
    """Median ± so many standard deviations, these from the quartiles: up to a quarter of dead or hot pixels does not matter.

    Never wider than the darkest to the brightest pixel, which it is where the quartiles coincide. The quartiles are those of
    about a million pixels on a grid.
    """
    step = max(1, int(np.sqrt(pixels.size / 2**20)))
    low, middle, high = (float(value) for value in np.percentile(pixels[::step, ::step], (25, 50, 75)))
    half = deviations * (high - low) / QUARTILES_APART if high > low else np.inf
    return max(middle - half, float(pixels.min())), min(middle + half, float(pixels.max()))


def stretch(pixels: Pixels, window: tuple[float, float] | None = None) -> Grey:
    """Grey values of a window, by default from the darkest to the brightest, spread over 0 … 255 and cut to whole numbers.

    uint8 (h, w). Standardising first, as published, changes nothing: stretching undoes any gain and offset.
    """
    low, high = window or (float(pixels.min()), float(pixels.max()))
    if high <= low:
        return np.zeros(pixels.shape, np.uint8)
    scaled = (pixels - np.float32(low)) * np.float32(255 / (high - low))
    return np.clip(scaled, 0, 255, out=scaled).astype(np.uint8)


def non_local_means(grey: Grey, *, strength: float = 10.0, patch: int = 7, search: int = 21) -> Grey:
    """Each pixel as the mean of those nearby whose surroundings look alike (Buades et al. 2005, OpenCV's fast version)."""
    return np.asarray(cv2.fastNlMeansDenoising(grey, None, strength, patch, search), np.uint8)


def gaussian_kernel(size: int = 9, sigma: float = 3.0) -> NDArray[np.float64]:
    """One factor (size,) of the separable Gaussian, with sum 1; the kernel is its outer product with itself."""
    offsets = np.arange(size) - (size - 1) / 2
    weights = np.exp(-(offsets**2) / (2 * sigma**2))
    return np.asarray(weights / weights.sum())


def wiener(
    grey: Grey, kernel: NDArray[np.float64], *, noise_to_signal: float = 30.0, origin: Literal["corner", "centre"] = "corner"
) -> tuple[Pixels, PixelMap]:
    """Wiener deconvolution by a separable kernel, `conj(K) / (|K|² + constant)`, absolute values, float32 (h, w).

    The picture is taken to repeat at its edges. With the kernel in the array's corner, as published, the result is moved towards
    its first pixel by half the kernel, and the map says so.
    """
    from scipy import fft

    height, width = grey.shape
    half = len(kernel) // 2
    start = 0 if origin == "corner" else -half
    rows = _transfer(kernel, np.fft.fftfreq(height), start)[:, None]
    columns = _transfer(kernel, np.fft.rfftfreq(width), start)[None]
    mean = float(grey.mean())  # kept out of the transform, or it would take most of float32's digits
    threads = max(1, cv2.getNumThreads())  # one setting for all libraries: workers of a pool set it to 1
    spectrum = fft.rfft2(grey - np.float32(mean), workers=threads, overwrite_x=True)
    for strip in _strips(height):
        row = rows[strip]
        spectrum[strip] *= (row * columns).conj() / (np.abs(row) ** 2 * np.abs(columns) ** 2 + np.float32(noise_to_signal))
    result = fft.irfft2(spectrum, s=grey.shape, workers=threads, overwrite_x=True)
    result += np.float32(mean / (1 + noise_to_signal))
    return np.abs(result, out=result), PixelMap.crop(half, half) if origin == "corner" else PixelMap()


def equalise(grey: Grey, *, limit: float = 2.0, tiles: int = 16) -> Grey:
    """Contrast-limited adaptive histogram equalisation (CLAHE, Zuiderveld 1994), uint8 (h, w)."""
    return np.asarray(cv2.createCLAHE(limit, (tiles, tiles)).apply(grey), np.uint8)


def guided_filter(image: Grey, guide: Pixels, *, size: int = 20, epsilon: float = 0.1) -> tuple[Pixels, PixelMap]:
    """Guided filter (He et al. 2010) of an image by a guide, both divided by 255: float32 (h, w).

    The published programs smooth the equalised image and guide by the Wiener result. Its grey values are so small against
    `epsilon` that the filter amounts to two box means: with an even window each moves the picture half a pixel away from its
    first one, and the map says so.
    """
    height = image.shape[0]
    smooth = np.empty(image.shape, np.float32)
    for strip in _strips(height):
        top = max(0, strip.start - 2 * size)  # two windows deep, so that the strips' edges are not seen
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
    """Rows in strips that stay in a processor's cache while several steps work on them."""
    return [slice(top, min(top + STRIP, height)) for top in range(0, height, STRIP)]


def _transfer(kernel: NDArray[np.float64], frequencies: NDArray[Any], start: int) -> NDArray[np.complex64]:
    """Fourier transform of a kernel whose first value lies at pixel `start`, at these frequencies."""
    positions = start + np.arange(len(kernel))
    return np.asarray(np.exp(-2j * np.pi * np.outer(frequencies, positions)) @ kernel, np.complex64)


def _box(pixels: Pixels, size: int) -> Pixels:
    return np.asarray(cv2.boxFilter(pixels, cv2.CV_32F, (size, size)), np.float32)


def _odd(length: float) -> int:
    """The odd whole number nearest to a length, at least 1."""
    return max(1, 2 * round((length - 1) / 2) + 1)
