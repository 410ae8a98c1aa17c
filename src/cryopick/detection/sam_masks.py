"""Segment Anything's automatic mask generator: masks of all objects in an image, from a segmenter prompted by points.

A grid of points, or given points, is decoded in batches; masks are filtered by predicted IoU, by stability against changes of
the threshold and by overlap. Source: Kirillov et al. 2023, appendix B.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from cryopick.coordinates import PixelMap, inside
from cryopick.detection.components import NONE, Instances
from cryopick.errors import SettingError
from cryopick.models.sam import long_side_hw

Grey = NDArray[np.uint8]
Box = tuple[int, int, int, int]
Points = NDArray[np.float64]

_ENLARGED_AT_ONCE = 16
_NEAR_EDGE = 20  # pixels
_EARLY_MARGIN = 0.2  # stability scores of small masks are that coarse at the decoder's resolution


class Segmenter(Protocol):
    """Model that predicts masks for points in an image in the top left corner of a square of `side` pixels."""

    side: int

    def encode(self, image: Grey, /) -> Any:
        """Encode an image uint8 (h, w) for `decode`."""
        ...

    def decode(self, code: Any, points: Points, /) -> tuple[Tensor, Tensor]:
        """Predict logits (n, m, l, l) over the square, positive inside, and IoUs (n, m), for points (n, 2) in its pixels."""
        ...


@dataclass(frozen=True)
class MaskSettings:
    """Settings of the generator; the defaults are those of the published programs.

    Attributes
    ----------
    grid : points along each side of the image.
    batch : points decoded at once.
    min_iou : smallest predicted IoU.
    min_stability : smallest stability score.
    stability_offset : the stability score compares the masks at logits above plus and minus this.
    max_overlap : of two boxes with a larger IoU, the one with the lower predicted IoU is dropped.
    crop_layers : layer i divides the image into 2^i × 2^i overlapping crops and segments each separately.
    crop_overlap : overlap of the first layer's crops as a fraction of the image's shorter side; halved with each layer.
    crop_grid_divisor : the grid has this many times fewer points a side in each further layer.
    smallest_region : holes and islands of fewer pixels are filled or removed; 0 leaves masks unchanged.
    early_stability : drop masks that are clearly unstable at the decoder's resolution before they are enlarged; the others are
        tested after enlarging, as usual.
    """

    grid: int = 32
    batch: int = 64
    min_iou: float = 0.88
    min_stability: float = 0.95
    stability_offset: float = 1.0
    max_overlap: float = 0.7
    crop_layers: int = 0
    crop_overlap: float = 512 / 1500
    crop_grid_divisor: int = 1
    smallest_region: int = 0
    early_stability: bool = False

    def __post_init__(self) -> None:
        for name in ("grid", "batch", "crop_grid_divisor"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("crop_layers", "smallest_region"):
            if getattr(self, name) < 0:
                raise SettingError(f"{name} must not be negative, got {getattr(self, name)}")


def generate_masks(
    image: Grey, segmenter: Segmenter, settings: MaskSettings | None = None, *, points: Points | None = None
) -> Instances:
    """Generate the masks of a grey image uint8 (h, w), best predicted IoU first.

    `points` (n, 2), x and y in pixels of the image, replace the grid; few points save most of the time. Empty masks are
    dropped.
    """
    settings = settings or MaskSettings()
    found, crop_areas = [], []
    for layer, crop in _crops(image.shape, settings):
        left, top, right, bottom = crop
        part = image[top:bottom, left:right]
        if points is None:
            own = _grid(part.shape, settings.grid // settings.crop_grid_divisor**layer)
        else:
            own = PixelMap.crop(left, top).from_home(points)
            own = own[inside(own, part.shape)]
        masks = _masks_of_crop(part, segmenter, own, settings)
        masks = Instances(masks.boxes + np.array([left, top, left, top]), masks.scores, masks.bitmaps)
        masks = masks.where(np.flatnonzero(~_cut_by_crop(masks.boxes, crop, image.shape)))
        found.append(masks)
        crop_areas += [(right - left) * (bottom - top)] * len(masks)
    together = _concatenated(found)
    if len(found) > 1:  # a smaller crop shows more detail
        together = together.where(suppress_boxes(together.boxes, -np.array(crop_areas), settings.max_overlap))
    if settings.smallest_region:
        together = _tidied(together, settings)
    return together


def suppress_boxes(boxes: NDArray[Any], scores: NDArray[Any], max_overlap: float) -> NDArray[np.intp]:
    """Return the indices of the boxes (n, 4) that remain after non-maximum suppression at an IoU of `max_overlap`, best first.

    Of equal scores, the first wins. Sides are last minus first pixel, as in the published programs.
    """
    order = np.argsort(-scores, kind="stable")
    corners = boxes[order].astype(np.float64)
    areas = np.prod(corners[:, 2:] - corners[:, :2], axis=1)
    alive = np.ones(len(order), bool)
    for i in range(len(order)):
        if not alive[i]:
            continue
        low = np.maximum(corners[i, :2], corners[i + 1 :, :2])
        high = np.minimum(corners[i, 2:], corners[i + 1 :, 2:])
        shared = np.prod(np.maximum(high - low, 0), axis=1)
        alive[i + 1 :] &= shared <= max_overlap * (areas[i] + areas[i + 1 :] - shared)
    return np.asarray(order[alive])


def _masks_of_crop(part: Grey, segmenter: Segmenter, points: Points, settings: MaskSettings) -> Instances:
    if not len(points):
        return NONE
    height, width = long_side_hw(part.shape, segmenter.side)
    fitted = PixelMap.resize((part.shape[1] / width, part.shape[0] / height)).from_home(points)
    code = segmenter.encode(part)
    batches = [
        _good_masks(*segmenter.decode(code, fitted[start : start + settings.batch]), part.shape, segmenter.side, settings)
        for start in range(0, len(fitted), settings.batch)
    ]
    masks = _concatenated(batches)
    return masks.where(suppress_boxes(masks.boxes, masks.scores, settings.max_overlap))


def _good_masks(logits: Tensor, iou: Tensor, shape_hw: tuple[int, int], side: int, settings: MaskSettings) -> Instances:
    """Return the masks of one batch that pass both filters; the cheap one comes first, so few masks are enlarged."""
    logits, scores = logits.flatten(0, 1), iou.flatten()
    good = torch.nonzero(scores > settings.min_iou)[:, 0]
    if settings.early_stability:
        coarse = _stability(logits[good], settings.stability_offset)
        good = good[coarse >= settings.min_stability - _EARLY_MARGIN]
    kept = []
    for few in torch.split(good, _ENLARGED_AT_ONCE):
        large = _enlarged(logits[few], shape_hw, side)
        stable = _stability(large, settings.stability_offset) >= settings.min_stability
        kept.append(_instances((large[stable] > 0).numpy(force=True), scores[few[stable]].numpy(force=True)))
    return _concatenated(kept)


def _stability(logits: Tensor, offset: float) -> Tensor:
    """Divide the pixels above `offset` by those above `-offset`, mask by mask (n, h, w); NaN if there are none."""
    return (logits > offset).sum((-2, -1)) / (logits > -offset).sum((-2, -1))


def _enlarged(logits: Tensor, shape_hw: tuple[int, int], side: int) -> Tensor:
    """Enlarge logits (n, l, l) of the square to logits (n, h, w) of the image."""
    height, width = long_side_hw(shape_hw, side)
    square = functional.interpolate(logits[:, None].float(), (side, side), mode="bilinear", align_corners=False)
    fitted = square[..., :height, :width]
    if (height, width) != shape_hw:
        fitted = functional.interpolate(fitted, shape_hw, mode="bilinear", align_corners=False)
    return fitted[:, 0]


def _instances(masks: NDArray[np.bool_], scores: NDArray[np.float32]) -> Instances:
    boxes, bitmaps, kept = [], [], []
    for i, mask in enumerate(masks):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(rows):
            continue
        boxes.append((columns[0], rows[0], columns[-1], rows[-1]))
        bitmaps.append(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].copy())
        kept.append(i)
    return Instances(np.array(boxes, np.int64).reshape(-1, 4), scores[kept], tuple(bitmaps))


def _concatenated(groups: list[Instances]) -> Instances:
    if not groups:
        return NONE
    boxes, scores = np.concatenate([g.boxes for g in groups]), np.concatenate([g.scores for g in groups])
    return Instances(boxes, scores, tuple(bitmap for g in groups for bitmap in g.bitmaps))


def _grid(shape_hw: tuple[int, int], count: int) -> Points:
    """Return `count` × `count` points (x, y) at (i + ½) / count of the width and height, row by row, as in the original."""
    fractions = (np.arange(count) + 0.5) / count
    x, y = np.meshgrid(fractions * shape_hw[1], fractions * shape_hw[0])
    return np.stack([x.ravel(), y.ravel()], axis=1)


def _crops(shape_hw: tuple[int, int], settings: MaskSettings) -> Iterator[tuple[int, Box]]:
    """Return the layer and the left, top, right, bottom (the last two exclusive) of every crop, the whole image first."""
    height, width = shape_hw
    yield 0, (0, 0, width, height)
    for layer in range(1, settings.crop_layers + 1):
        count = 2**layer
        overlap = int(settings.crop_overlap * min(height, width) * 2 / count)
        across, down = (-(-(overlap * (count - 1) + size) // count) for size in (width, height))
        for left in (column * (across - overlap) for column in range(count)):
            for top in (row * (down - overlap) for row in range(count)):
                yield layer, (left, top, min(left + across, width), min(top + down, height))


def _cut_by_crop(boxes: NDArray[np.int64], crop: Box, shape_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Return whether each box lies at an edge of its crop that is no edge of the image."""
    whole = (0, 0, shape_hw[1], shape_hw[0])
    at_crop = np.abs(boxes - np.array(crop)) <= _NEAR_EDGE
    at_edge = np.abs(boxes - np.array(whole)) <= _NEAR_EDGE
    return np.asarray((at_crop & ~at_edge).any(axis=1))


def _tidied(masks: Instances, settings: MaskSettings) -> Instances:
    """Remove small holes and islands; of masks that then overlap too much, keep those that had none."""
    tidied, unchanged = [], []
    for box, bitmap, score in zip(masks.boxes, masks.bitmaps, masks.scores, strict=True):
        margin = int(settings.smallest_region**0.5) + 1  # the background around the box must not count as a small hole
        holes_gone = ~_without_small(~np.pad(bitmap, margin), settings.smallest_region)
        filled = holes_gone[margin:-margin, margin:-margin]
        clean = _without_small(filled, settings.smallest_region)
        moved = _instances(clean[None], np.array([score], np.float32))
        tidied.append(Instances(moved.boxes + np.tile(box[:2], 2), moved.scores, moved.bitmaps))
        unchanged.append(bool((clean == bitmap).all()))
    result = _concatenated(tidied)
    return result.where(suppress_boxes(result.boxes, np.array(unchanged, np.float32), settings.max_overlap))


def _without_small(mask: NDArray[np.bool_], smallest: int) -> NDArray[np.bool_]:
    """Remove connected regions of fewer than `smallest` pixels from a mask; if all are small, keep the largest."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if count <= 1 or (areas >= smallest).all():
        return mask
    large = areas >= smallest if (areas >= smallest).any() else areas == areas.max()
    return np.asarray(np.concatenate([[False], large])[labels])
