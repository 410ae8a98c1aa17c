"""What DETR sees of grey pictures: resized, three equal channels scaled as ImageNet's, padded to one size.

In torch, so that training on a GPU and picking run the same code.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def fitted_hw(shape_hw: tuple[int, int], *, short_side: int, long_side: int | None = None) -> tuple[int, int]:
    """Height and width with the shorter side at `short_side`, or less where the longer one would pass `long_side`.

    Rounded as the published programs do: the shorter side to the nearest pixel, the longer one down.
    """
    low, high = sorted(shape_hw)
    if long_side is not None and high * short_side > long_side * low:
        short_side = round(long_side * low / high)
    longer = int(short_side * high / low)
    return (short_side, longer) if shape_hw[0] <= shape_hw[1] else (longer, short_side)


def resized(grey: Tensor, shape_hw: tuple[int, int]) -> Tensor:
    """A picture uint8 (h, w) at another size, smoothed where it shrinks, as Pillow does it (bilinear)."""
    whole = F.interpolate(grey[None, None], shape_hw, mode="bilinear", antialias=True)
    return whole[0, 0]


def as_batch(greys: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Pictures uint8 (h, w) of any sizes as float32 (B, 3, H, W), zero beyond each picture, and where that is: bool (B, H, W)."""
    height, width = (max(grey.shape[axis] for grey in greys) for axis in (0, 1))
    device = greys[0].device
    pictures = torch.zeros(len(greys), 3, height, width, device=device)
    padding = torch.ones(len(greys), height, width, dtype=torch.bool, device=device)
    mean, deviation = (torch.tensor(values, device=device)[:, None, None] for values in (MEAN, DEVIATION))
    for picture, hidden, grey in zip(pictures, padding, greys, strict=True):
        rows, columns = grey.shape
        picture[:, :rows, :columns] = (grey / 255 - mean) / deviation
        hidden[:rows, :columns] = False
    return pictures, padding
