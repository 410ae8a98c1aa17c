"""Micrographs scaled to a fixed particle size, with normalised local contrast."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from cryopick.coordinates import PixelMap
from cryopick.models.contrast import local_standardise
from cryopick.preprocess.denoise import stretch
from cryopick.preprocess.padding import strip_padding
from cryopick.preprocess.resample import checked_diameter, crop_to_scale
from cryopick.types import Micrograph

Grey = NDArray[np.uint8]


Map = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class NetworkInput:
    """A micrograph as the input of a network.

    Attributes
    ----------
    image : uint8 (h, w), for display.
    values : float32 (h, w), the network's input.
    to_home : map from the pixels of both to the micrograph's.
    map_to_home : map from the pixels of the network's output to the micrograph's; different if the network undoes a shift.
    diameter_px : particle diameter in the micrograph's pixels; None if unknown.
    """

    image: Grey
    values: Map
    to_home: PixelMap
    map_to_home: PixelMap
    diameter_px: float | None = None


def scale_to_particle(
    micrograph: Micrograph,
    *,
    particle_px: float,
    diameter_px: float,
    particles: Literal["dark", "light"] = "dark",
    device: str = "cpu",
) -> NetworkInput | None:
    """Fourier-crop a micrograph until a particle spans `particle_px` pixels, then normalise its local contrast.

    Borders without data are cut off first. Returns None if a particle is larger than the image. Raises `CryopickError` if it
    is too small to be picked, see `checked_diameter`.
    """
    imaged, crop = strip_padding(micrograph.pixels)
    dark = imaged if particles == "dark" else -imaged
    if diameter_px > min(imaged.shape):
        return None
    small, shrink = crop_to_scale(dark, checked_diameter(diameter_px) / particle_px)
    values = normalise_contrast(small, diameter_px=diameter_px / shrink.length, device=device)
    to_home = crop.then(shrink)
    return NetworkInput(stretch(values), values, to_home, to_home, diameter_px)


def normalise_contrast(pixels: Map, *, diameter_px: float, device: str = "cpu") -> Map:
    """Normalise the local mean and standard deviation of an image (h, w) on a device; see `local_standardise`."""
    mean = np.float32(pixels.mean(dtype=np.float64))  # exact for a constant image, which must stay constant
    centred = torch.from_numpy(pixels - mean).to(device)[None, None]
    scaled_to_one = centred / centred.std().clamp(min=1e-12)
    return np.asarray(local_standardise(scaled_to_one, diameter_px=diameter_px)[0, 0].cpu().numpy(), np.float32)
