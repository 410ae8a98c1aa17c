"""Micrographs scaled so that particles have a fixed size, with local contrast evened out."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from cryopick.coordinates import PixelMap
from cryopick.models.contrast import local_standardise
from cryopick.preprocess.denoise import stretch
from cryopick.preprocess.padding import strip_padding
from cryopick.preprocess.resample import checked_size, crop_to_scale
from cryopick.types import Micrograph

Grey = NDArray[np.uint8]


Map = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Prepared:
    """What the network sees of a micrograph.

    Attributes
    ----------
    image : uint8 (h, w), for display.
    values : float32 (h, w), the network's input.
    to_home : where the pixels of both lie in the micrograph.
    map_to_home : where the pixels of the network's answer lie: elsewhere, when it has learnt to undo a shift.
    diameter_px : of the particles in the micrograph's pixels; None when nobody knows.
    """

    image: Grey
    values: Map
    to_home: PixelMap
    map_to_home: PixelMap
    diameter_px: float | None = None


def scaled(
    micrograph: Micrograph,
    *,
    particle_px: float,
    diameter_px: float,
    particles: Literal["dark", "light"] = "dark",
    device: str = "cpu",
) -> Prepared | None:
    """A micrograph Fourier-cropped until a particle spans `particle_px` pixels, and evened out around each of them.

    Borders without data are left out. None when a particle is larger than the picture;
    one that is too small to be seen is an error, see `checked_size`.
    """
    imaged, crop = strip_padding(micrograph.pixels)
    dark = imaged if particles == "dark" else -imaged
    if diameter_px > min(imaged.shape):
        return None
    small, shrink = crop_to_scale(dark, checked_size(diameter_px) / particle_px)
    values = evened(small, diameter_px=diameter_px / shrink.length, device=device)
    to_home = crop.then(shrink)
    return Prepared(stretch(values), values, to_home, to_home, diameter_px)


def evened(pixels: Map, *, diameter_px: float, device: str = "cpu") -> Map:
    """A picture with the mean and the deviation evened out around each pixel, see `local_standardise`; worked out on a device."""
    mean = np.float32(pixels.mean(dtype=np.float64))  # exact for a constant picture, which has to stay one
    centred = torch.from_numpy(pixels - mean).to(device)[None, None]
    scaled_to_one = centred / centred.std().clamp(min=1e-12)
    return np.asarray(local_standardise(scaled_to_one, diameter_px=diameter_px)[0, 0].cpu().numpy(), np.float32)
