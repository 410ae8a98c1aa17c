"""Input of DETR: grey images resized, normalised with ImageNet's statistics in three channels, and padded to one size.

Written in torch, so that training on a GPU and picking share it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's red, green and blue, for values in [0, 1]."""


def fitted_hw(shape_hw: tuple[int, int], *, short_side: int, long_side: int | None = None) -> tuple[int, int]:
    """Return the height and width that make the shorter side `short_side`, or smaller if the longer would exceed `long_side`.

    Rounded as in the published programs: the shorter side to the nearest pixel, the longer side down.
    """
    low, high = sorted(shape_hw)
    if long_side is not None and high * short_side > long_side * low:
        short_side = round(long_side * low / high)
    longer = int(short_side * high / low)
    return (short_side, longer) if shape_hw[0] <= shape_hw[1] else (longer, short_side)


def resized(grey: Tensor, shape_hw: tuple[int, int]) -> Tensor:
    """Resize an image uint8 (h, w) bilinearly with antialiasing, as Pillow does."""
    whole = F.interpolate(grey[None, None], shape_hw, mode="bilinear", antialias=True)
    return whole[0, 0]


def as_batch(greys: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Normalise images uint8 (h, w) of any sizes and pad them with zeros to one size.

    Returns the batch float32 (B, 3, H, W) and its padding bool (B, H, W), true outside the images.
    """
    height, width = (max(grey.shape[axis] for grey in greys) for axis in (0, 1))
    device = greys[0].device
    images = torch.zeros(len(greys), 3, height, width, device=device)
    padding = torch.ones(len(greys), height, width, dtype=torch.bool, device=device)
    mean, deviation = (torch.tensor(values, device=device)[:, None, None] for values in (MEAN, DEVIATION))
    for image, hidden, grey in zip(images, padding, greys, strict=True):
        rows, columns = grey.shape
        image[:, :rows, :columns] = (grey / 255 - mean) / deviation
        hidden[:rows, :columns] = False
    return images, padding
