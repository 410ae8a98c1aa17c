"""Blobs in an image: Laplacian-of-Gaussian responses, radial profiles, and the radius of the edge."""

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from cryopick.detection.correlation import distances
from cryopick.robust import robust_deviation

Map = NDArray[np.float32]

EXAMPLES = 1000
"""Largest number of blobs that are averaged; more would not reduce the noise noticeably."""

EDGE_LEVEL = 0.25
"""Share of a particle's depth that remains at its edge: a ball's projection falls to a quarter at 97 % of its radius."""


class BlobFilter:
    """Laplacian-of-Gaussian responses of one image to blobs of any diameter; dark blobs give high responses.

    The image is mirrored beyond its edges, up to `reach` pixels, which should be the largest diameter.
    """

    def __init__(self, pixels: Map, reach: int) -> None:
        self._reach = reach
        self._shape_hw = pixels.shape
        padded = np.pad(pixels - np.mean(pixels), reach, mode="symmetric")
        self._fast_hw = tuple(fft.next_fast_len(size, real=True) for size in padded.shape)
        self._spectrum = fft.rfft2(padded, self._fast_hw)
        rows, columns = fft.fftfreq(self._fast_hw[0]), fft.rfftfreq(self._fast_hw[1])
        self._frequency_squared = (rows[:, None] ** 2 + columns[None, :] ** 2).astype(np.float32)

    def __call__(self, diameter: float) -> Map:
        """Return the response to blobs of a diameter in pixels, in robust standard deviations from its median.

        A disc's response is largest for a Gaussian of radius / √2. The response of an image without contrast is 0 everywhere.
        """
        exponent = (np.pi * diameter / 2) ** 2 * self._frequency_squared
        response = fft.irfft2(self._spectrum * (-exponent * np.exp(-exponent)), self._fast_hw, overwrite_x=True)
        height, width = self._shape_hw
        response = response[self._reach : self._reach + height, self._reach : self._reach + width]
        sample = response[:: 1 + height // 512, :: 1 + width // 512]
        middle = np.median(sample)
        deviation = robust_deviation(sample, centre=middle)
        return np.asarray((response - middle) / deviation if deviation > 0 else np.zeros_like(response), np.float32)


def radial_profile(pixels: Map, xy: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Return the mean brightness at distances 0, 1, … `reach` from points; patches are normalised to mean 0 and deviation 1.

    The first `EXAMPLES` points are used whose patches lie inside the image; all zeros when there are none.
    """
    radius = distances(reach)
    total = np.zeros(radius.shape)
    height, width = pixels.shape
    columns, rows = np.round(xy).astype(int).T
    whole = (columns >= reach) & (rows >= reach) & (columns < width - reach) & (rows < height - reach)
    examples = list(zip(columns[whole], rows[whole], strict=True))[:EXAMPLES]
    for column, row in examples:
        patch = pixels[row - reach : row + reach + 1, column - reach : column + reach + 1]
        deviation = patch.std()
        if deviation > 0:
            total += (patch - patch.mean()) / deviation
    ring = np.round(radius).astype(int).ravel()
    return (np.bincount(ring, total.ravel()) / np.bincount(ring))[: reach + 1] / max(1, len(examples))


def edge_radius(profile: NDArray[np.float64]) -> float:
    """Return the radius of a dark particle: outside its darkest ring, the profile has recovered to a quarter of its depth."""
    darkest = int(np.argmin(profile))
    outside = darkest + int(np.argmax(profile[darkest:]))
    level = profile[outside] + EDGE_LEVEL * (profile[darkest] - profile[outside])
    beyond = darkest + int(np.argmax(profile[darkest : outside + 1] >= level))
    if beyond == darkest:
        return float(darkest)
    return float(np.interp(level, profile[beyond - 1 : beyond + 1], [beyond - 1, beyond]))
