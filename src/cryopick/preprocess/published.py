"""The published preprocessing: the grey image that CryoSegNet and CryoTransformer resize for their networks."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from cryopick.coordinates import PixelMap
from cryopick.preprocess.denoise import DenoiseSettings, denoise, grey_window, stretch
from cryopick.preprocess.padding import strip_padding
from cryopick.types import Micrograph

Grey = NDArray[np.uint8]


@dataclass(frozen=True)
class PublishedChain:
    """Settings of the published preprocessing.

    Attributes
    ----------
    clean : before denoising, cut off padded borders and clip outliers; most micrographs have neither and do not change.
    clip : standard deviations at which `clean` clips grey values.
    label_shift : x and y, in pixels of the micrograph, by which training images were shifted relative to their labels. The
        published chain shifts images by 3 pixels but not the labels, so the published networks undo the shift.
    denoise : settings of the denoising chain; `flip_rows` is set by the file format.
    """

    clean: bool = True
    clip: float = 8.0
    label_shift: tuple[float, float] = (3.0, 3.0)
    denoise: DenoiseSettings = field(default_factory=DenoiseSettings)


@dataclass(frozen=True, eq=False)
class PublishedInput:
    """A micrograph after the published preprocessing.

    Attributes
    ----------
    grey : uint8 (h, w).
    to_home : map from its pixels to the micrograph's.
    output_to_home : map from the pixels of a network's output to the micrograph's.
    """

    grey: Grey
    to_home: PixelMap
    output_to_home: PixelMap


def published_input(
    micrograph: Micrograph, chain: PublishedChain, *, denoised: bool = False, diameter_px: float | None = None
) -> PublishedInput:
    """Preprocess a micrograph as the published programs do, at its own size.

    MRC files are flipped, because the published networks were trained on flipped ones; other files are not. The shift
    `label_shift` is undone in the flipped image. With `denoised`, the micrograph has been denoised before, and its grey values
    are used as they are.
    """
    if denoised:
        return PublishedInput(_as_grey(micrograph.pixels), PixelMap(), PixelMap())
    pixels, to_home = micrograph.pixels, PixelMap()
    if chain.clean:
        pixels, to_home = strip_padding(pixels)
        pixels = np.clip(pixels, *grey_window(pixels, chain.clip))
    upside_down = micrograph.kind == "mrc"
    grey, change = denoise(pixels, replace(chain.denoise.for_diameter(diameter_px), flip_rows=upside_down))
    seen = to_home.then(change)
    shift_x, shift_y = chain.label_shift
    return PublishedInput(grey, seen, seen.then(PixelMap.crop(-shift_x, -shift_y)))


def _as_grey(pixels: NDArray[np.float32]) -> Grey:
    """Return grey values from 0 to 255 as they are, and stretch any others."""
    low, high = float(pixels.min()), float(pixels.max())
    return pixels.astype(np.uint8) if low >= 0 and 1 < high <= 255 else stretch(pixels)
