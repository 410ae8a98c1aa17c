"""Augmentations of DETR and CryoTransformer as published: mirroring, resizing to one of several sizes, cropping."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cryopick.coordinates import Frame, PixelMap
from cryopick.errors import CryopickError, SettingError
from cryopick.models.detr_input import fitted_hw, resized
from cryopick.types import Picks


@dataclass(frozen=True)
class DetrAugmentation:
    """Settings of the augmentation; the defaults are the published ones. Sides are in pixels.

    Attributes
    ----------
    mirrored : share of the images that are mirrored left to right.
    short_sides : lengths from which the shorter side is drawn.
    long_side : largest length of the longer side.
    cropped : share of the images that are cropped before they are resized.
    crop_from : lengths from which the shorter side is drawn before cropping.
    crop_sides : range of the sides of a crop.
    """

    mirrored: float = 0.5
    short_sides: tuple[int, ...] = (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800)
    long_side: int = 1333
    cropped: float = 0.5
    crop_from: tuple[int, ...] = (400, 500, 600)
    crop_sides: tuple[int, int] = (384, 600)

    def __post_init__(self) -> None:
        sides = (*self.short_sides, self.long_side, *self.crop_from, *self.crop_sides)
        if not (self.short_sides and self.crop_from) or min(sides) < 1 or self.crop_sides[0] > self.crop_sides[1]:
            raise SettingError(
                "short_sides and crop_from must hold lengths of at least 1 pixel, and crop_sides the lower and the upper length, "
                f"got {self.short_sides}, {self.crop_from} and {self.crop_sides}"
            )


def augment(grey: Tensor, settings: DetrAugmentation, *, rng: np.random.Generator) -> tuple[Tensor, PixelMap]:
    """Augment an image uint8 (h, w) at random; return it and the map from its pixels to those of the original."""
    to_home = PixelMap()
    if rng.random() < settings.mirrored:
        grey, to_home = grey.flip(1), PixelMap.flip_columns(grey.shape[1])
    if rng.random() < settings.cropped:
        grey, change = _resize(grey, _draw(settings.crop_from, rng))
        to_home = to_home.then(change)
        grey, change = _crop(grey, settings.crop_sides, rng)
        to_home = to_home.then(change)
    grey, change = _resize(grey, _draw(settings.short_sides, rng), settings.long_side)
    return grey, to_home.then(change)


def fraction_boxes(picks: Picks, to_home: PixelMap, shape_hw: tuple[int, int]) -> Tensor:
    """Convert particles to boxes float32 (n, 4) in an image of their micrograph: centre x and y, width, height as fractions.

    Boxes are as wide as the particle, clipped at the edges of the image; boxes outside it are dropped. `to_home` maps
    pixels of the image to those of the micrograph. Raises `CryopickError` if the particle diameter is unknown.
    """
    if picks.diameter_px is None:
        raise CryopickError(f"{picks.micrograph}: the particle diameter is unknown; give it with --diameter")
    from_edges, fractions = to_home.then(PixelMap.from_edges()), Frame(unit="fraction")
    half = picks.diameter_px / 2
    ends = [fractions.from_image(from_edges.from_home(picks.xy + side), shape_hw=shape_hw) for side in (-half, half)]
    low, high = (np.clip(end, 0, 1) for end in (np.minimum(*ends), np.maximum(*ends)))
    seen = (high > low).all(axis=1)
    boxes = np.concatenate([(low + high) / 2, high - low], axis=1)[seen]
    return torch.from_numpy(boxes.astype(np.float32))


def _draw(sizes: Sequence[int], rng: np.random.Generator) -> int:
    return sizes[int(rng.integers(len(sizes)))]


def _resize(grey: Tensor, short_side: int, long_side: int | None = None) -> tuple[Tensor, PixelMap]:
    height, width = grey.shape
    new_height, new_width = fitted_hw((height, width), short_side=short_side, long_side=long_side)
    return resized(grey, (new_height, new_width)), PixelMap.resize((width / new_width, height / new_height))


def _crop(grey: Tensor, sides: tuple[int, int], rng: np.random.Generator) -> tuple[Tensor, PixelMap]:
    """Crop at a random position to sides drawn from a range; shorter sides are not cropped."""
    height, width = (int(rng.integers(min(sides[0], side), min(sides[1], side) + 1)) for side in grey.shape)
    top, left = (int(rng.integers(old - new + 1)) for old, new in zip(grey.shape, (height, width), strict=True))
    return grey[top : top + height, left : left + width], PixelMap.crop(left, top)
