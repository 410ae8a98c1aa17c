"""The published augmentations of DETR and CryoTransformer: mirrored, resized along a ladder of sizes, or cropped and resized."""

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
    """How pictures are changed; the defaults are the published numbers. Sides are in pixels.

    Attributes
    ----------
    mirrored : share of the pictures that are mirrored left to right.
    short_sides : one of these is drawn for the shorter side. `long_side` : the most that the longer side may then have.
    cropped : share of the pictures that are cropped before that: resized so that the shorter side is one of `crop_from`, and cut
        at random to sides within `crop_sides`.
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
            raise SettingError("short_sides and crop_from must name sizes of at least 1 pixel, and crop_sides a range of them")


def augment(grey: Tensor, settings: DetrAugmentation, *, rng: np.random.Generator) -> tuple[Tensor, PixelMap]:
    """A picture uint8 (h, w) changed at random, and where its pixels lie in the one that was given."""
    to_home = PixelMap()
    if rng.random() < settings.mirrored:
        grey, to_home = grey.flip(1), PixelMap.flip_columns(grey.shape[1])
    if rng.random() < settings.cropped:
        grey, change = _resize(grey, _one_of(settings.crop_from, rng))
        to_home = to_home.then(change)
        grey, change = _crop(grey, settings.crop_sides, rng)
        to_home = to_home.then(change)
    grey, change = _resize(grey, _one_of(settings.short_sides, rng), settings.long_side)
    return grey, to_home.then(change)


def fraction_boxes(picks: Picks, to_home: PixelMap, shape_hw: tuple[int, int]) -> Tensor:
    """The particles of a micrograph as boxes float32 (n, 4) in a picture of it: centre x, centre y, width, height as fractions.

    A box is as wide as the particle; the picture's edge cuts it, and those outside are left out. `to_home` leads from the
    picture to the micrograph. Raises `CryopickError` where the particles' diameter is unknown.
    """
    if picks.diameter_px is None:
        raise CryopickError(f"{picks.micrograph}: boxes need the particles' diameter; give it")
    from_edges, fractions = to_home.then(PixelMap.from_edges()), Frame(unit="fraction")
    half = picks.diameter_px / 2
    ends = [fractions.from_image(from_edges.from_home(picks.xy + side), shape_hw=shape_hw) for side in (-half, half)]
    low, high = (np.clip(end, 0, 1) for end in (np.minimum(*ends), np.maximum(*ends)))
    seen = (high > low).all(axis=1)
    boxes = np.concatenate([(low + high) / 2, high - low], axis=1)[seen]
    return torch.from_numpy(boxes.astype(np.float32))


def _one_of(sizes: Sequence[int], rng: np.random.Generator) -> int:
    return sizes[int(rng.integers(len(sizes)))]


def _resize(grey: Tensor, short_side: int, long_side: int | None = None) -> tuple[Tensor, PixelMap]:
    height, width = grey.shape
    new_height, new_width = fitted_hw((height, width), short_side=short_side, long_side=long_side)
    return resized(grey, (new_height, new_width)), PixelMap.resize((width / new_width, height / new_height))


def _crop(grey: Tensor, sides: tuple[int, int], rng: np.random.Generator) -> tuple[Tensor, PixelMap]:
    """A part of sides drawn from a range, or the whole side where it is shorter, at a place drawn from all there are."""
    height, width = (int(rng.integers(min(sides[0], side), min(sides[1], side) + 1)) for side in grey.shape)
    top, left = (int(rng.integers(old - new + 1)) for old, new in zip(grey.shape, (height, width), strict=True))
    return grey[top : top + height, left : left + width], PixelMap.crop(left, top)
