"""The picture that both published networks see before they resize it, and where its pixels lie in the micrograph."""

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
    """How a micrograph becomes 8-bit grey values.

    Attributes
    ----------
    clean : before denoising, leave padded borders out and clip grey values at `clip` standard deviations; most micrographs have
        neither, and are not changed by this.
    clip : see `clean`.
    learnt_shift : x and y, in pixels of the micrograph, by which training pictures lay off their labels. The published chain
        moves pictures by 3 and its labels stay, so that the published networks put their answers right again.
    denoise : settings of the denoising chain, the rows' order apart.
    """

    clean: bool = True
    clip: float = 8.0
    learnt_shift: tuple[float, float] = (3.0, 3.0)
    denoise: DenoiseSettings = field(default_factory=DenoiseSettings)


@dataclass(frozen=True, eq=False)
class ChainPicture:
    """Grey values uint8 (h, w), where they lie in the micrograph, and where a network's answers to them lie."""

    grey: Grey
    to_home: PixelMap
    answer_to_home: PixelMap


def chain_picture(
    micrograph: Micrograph, chain: PublishedChain, *, denoised: bool = False, diameter_px: float | None = None
) -> ChainPicture:
    """A micrograph as the published programs show it to their networks, at its own size.

    MRC files are turned upside down, because the published networks were trained on them so; other files are taken as they are,
    and so are `denoised` ones of any kind, whose grey values are kept: `learnt_shift` is undone along the rows in which the chain
    saw them.
    """
    if denoised:
        return ChainPicture(_as_grey(micrograph.pixels), PixelMap(), PixelMap())
    pixels, to_home = micrograph.pixels, PixelMap()
    if chain.clean:
        pixels, to_home = strip_padding(pixels)
        pixels = np.clip(pixels, *grey_window(pixels, chain.clip))
    upside_down = micrograph.kind == "mrc"
    grey, change = denoise(pixels, replace(chain.denoise.for_diameter(diameter_px), flip_rows=upside_down))
    seen = to_home.then(change)
    shift_x, shift_y = chain.learnt_shift
    return ChainPicture(grey, seen, seen.then(PixelMap.crop(-shift_x, -shift_y)))


def _as_grey(pixels: NDArray[np.float32]) -> Grey:
    """Grey values as they are where they are such, 0 to 255; else stretched."""
    low, high = float(pixels.min()), float(pixels.max())
    return pixels.astype(np.uint8) if low >= 0 and 1 < high <= 255 else stretch(pixels)
