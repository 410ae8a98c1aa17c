"""Normalised correlation of an image with templates under a round mask, by Fourier transforms (Roseman 2003)."""

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from cryopick.robust import robust_deviation

Map = NDArray[np.float32]
Points = NDArray[np.float64]


def disc(radius: float) -> Map:
    """Make a disc in the middle of a square of odd size: 1 inside, falling to 0 over one pixel at its edge."""
    reach = int(np.ceil(radius + 0.5))
    return np.asarray(np.clip(radius + 0.5 - distances(reach), 0, 1), np.float32)


def distances(reach: int) -> Map:
    """Return the distance of every pixel of a square of side `2 * reach + 1` from its middle."""
    offsets = np.arange(-reach, reach + 1, dtype=np.float32)
    return np.hypot(offsets[:, None], offsets[None, :])


class Correlator:
    """Correlation of one image with any number of templates that share a mask.

    Means and deviations are local, under the mask around each pixel, so that a score depends on neither the brightness nor the
    contrast there. Deviations below their median over the image count as the median, so that faint areas score lower and
    constant areas score zero. The image is mirrored beyond its edges.

    Attributes
    ----------
    mean, deviation : of the image under the mask around each pixel, (h, w); the mean is relative to the whole image's.
    """

    def __init__(self, pixels: Map, mask: Map) -> None:
        self.mask = mask
        self._shape_hw = pixels.shape
        padded = np.pad(pixels - np.mean(pixels), len(mask) // 2, mode="symmetric")
        self._fast_hw = tuple(fft.next_fast_len(size, real=True) for size in padded.shape)
        self._spectrum = fft.rfft2(padded, self._fast_hw)
        weight = float(mask.sum())
        self.mean: Map = self._correlate(self._spectrum, mask / weight)
        square = self._correlate(fft.rfft2(padded**2, self._fast_hw), mask / weight)
        self.deviation: Map = np.sqrt(np.maximum(square - self.mean**2, 0))
        self._divisor = np.maximum(self.deviation, np.median(self.deviation))

    def __call__(self, template: Map) -> Map:
        """Return correlation coefficients in [-1, 1] of the image around each pixel with a template of the mask's size."""
        weight = self.mask.sum()
        centred = (template - (template * self.mask).sum() / weight) * self.mask
        norm = np.sqrt((centred**2 / np.maximum(self.mask, 1e-6)).sum() * weight)
        if norm == 0 or not self._divisor.all():
            return np.zeros(self._shape_hw, np.float32)
        return np.asarray(np.clip(self._correlate(self._spectrum, centred / norm) / self._divisor, -1, 1), np.float32)

    def _correlate(self, spectrum: NDArray[np.complex64], kernel: Map) -> Map:
        """Sum the kernel times the image, with the kernel's middle on each pixel of the image."""
        transform = np.conj(fft.rfft2(kernel.astype(np.float32), self._fast_hw))
        product = fft.irfft2(spectrum * transform, self._fast_hw, overwrite_x=True)
        # The kernel's first pixel, not its middle, lies on the padded image's: the margin of half a kernel compensates for it.
        return np.asarray(product[: self._shape_hw[0], : self._shape_hw[1]], np.float32)


def usual_surroundings(correlator: Correlator, xy: Points, usual: Points, limit: float) -> NDArray[np.bool_]:
    """Select points whose surroundings resemble those of the `usual` ones, off carbon, ice crystals and contaminants.

    The deviation under the mask must be at most `limit` times the median deviation, and the mean must differ from the median
    mean by at most `limit` times that deviation or, in uneven ice, times the spread of the means.
    """
    if len(usual) == 0:
        return np.ones(len(xy), bool)
    means, deviations = (_at(values, usual) for values in (correlator.mean, correlator.deviation))
    contrast, level = float(np.median(deviations)), float(np.median(means))
    spread = robust_deviation(means, centre=level)
    smooth = _at(correlator.deviation, xy) <= limit * contrast
    return np.asarray(smooth & (np.abs(_at(correlator.mean, xy) - level) <= limit * max(contrast, spread)))


def _at(values: Map, xy: Points) -> Map:
    """Return the values at the pixels nearest to points (n, 2)."""
    height, width = values.shape
    columns, rows = np.round(xy).astype(int).T
    return np.asarray(values[rows.clip(0, height - 1), columns.clip(0, width - 1)], np.float32)
