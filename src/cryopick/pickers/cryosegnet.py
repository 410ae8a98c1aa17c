"""How a micrograph becomes the input of a U-Net: denoised as published, or scaled by the particle."""

import cv2
import numpy as np

from cryopick.coordinates import PixelMap
from cryopick.models.sam import fitted_hw
from cryopick.pickers.unet_settings import SegnetSettings
from cryopick.preprocess.particle_scaled import Prepared
from cryopick.preprocess.published import PublishedChain, chain_picture
from cryopick.types import Micrograph


def denoised(micrograph: Micrograph, settings: SegnetSettings, *, diameter_px: float | None = None) -> Prepared:
    """A micrograph denoised and resized as published; its grey values, divided by 255, are the network's input.

    See `chain_picture` for the rows' order.
    """
    chain = PublishedChain(settings.clean, settings.clip, settings.learnt_shift, settings.denoise)
    shown = chain_picture(micrograph, chain, denoised=settings.denoised, diameter_px=diameter_px)
    grey, seen, answer = shown.grey, shown.to_home, shown.answer_to_home
    height, width = fitted_hw(grey.shape, settings.side) if settings.aspect == "kept" else (settings.side, settings.side)
    # The published programs resize so: bilinear without smoothing, rounded to whole grey values.
    picture = np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    fit = PixelMap.resize((grey.shape[1] / width, grey.shape[0] / height))
    return Prepared(picture, picture.astype(np.float32) / np.float32(255), seen.then(fit), answer.then(fit), diameter_px)
