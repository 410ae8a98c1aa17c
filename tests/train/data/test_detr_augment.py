"""Boxes follow their images through every augmentation."""

import numpy as np
import pytest
import torch

from cryopick.coordinates import PixelMap
from cryopick.errors import CryopickError, SettingError
from cryopick.train.data.detr_augment import DetrAugmentation, augment, fraction_boxes
from cryopick.types import Picks

SMALL = DetrAugmentation(short_sides=(64, 80, 96), long_side=160, crop_from=(70, 90), crop_sides=(60, 90))


def squares(centres, side, shape=(120, 160)) -> torch.Tensor:
    """Bright squares of `side` pixels, whose centres are between pixels when the side is even."""
    grey = torch.full(shape, 20, dtype=torch.uint8)
    for x, y in centres:
        grey[round(y - (side - 1) / 2) : round(y + (side + 1) / 2), round(x - (side - 1) / 2) : round(x + (side + 1) / 2)] = 240
    return grey


def test_a_box_matches_values_worked_out_by_hand():
    # An image of 20 × 10 pixels: the square of 4 pixels about (5, 3) spans columns 3.5 to 7.5 counted from the edge.
    boxes = fraction_boxes(Picks("m", [[5, 3]], diameter=4), PixelMap(), (10, 20))
    assert boxes.tolist() == pytest.approx([pytest.approx([5.5 / 20, 3.5 / 10, 4 / 20, 4 / 10])])


def test_a_box_in_a_mirrored_half_size_crop_matches_values_worked_out_by_hand():
    # From column 4 and row 2 on, 16 × 8 pixels at half size, mirrored: (5, 3) spans 8 − (7.5 − 4) / 2 = 6.25 to 8.25, cut at 8.
    to_home = PixelMap.crop(4, 2).then(PixelMap.resize((2, 2))).then(PixelMap.flip_columns(8))
    boxes = fraction_boxes(Picks("m", [[5, 3]], diameter=4), to_home, (4, 8))
    # Rows −0.5 to 1.75 … from (1.5 − 2) / 2 = −0.25, cut at 0, to (5.5 − 2) / 2 = 1.75.
    assert boxes.tolist() == [pytest.approx([(6.25 + 8) / 2 / 8, 1.75 / 2 / 4, 1.75 / 8, 1.75 / 4])]


def test_boxes_outside_the_image_are_dropped_and_no_particles_give_no_boxes():
    picks = Picks("m", [[5, 3], [50, 3]], diameter=4)
    assert len(fraction_boxes(picks, PixelMap(), (10, 20))) == 1
    assert fraction_boxes(Picks("m", diameter=4), PixelMap(), (10, 20)).shape == (0, 4)
    with pytest.raises(CryopickError, match="diameter"):
        fraction_boxes(Picks("m", [[1, 1]]), PixelMap(), (10, 20))


def test_boxes_follow_bright_squares_through_any_augmentation():
    centres, side = [(30, 20), (120, 30), (70, 90)], 15
    grey = squares(centres, side)
    picks = Picks("m", centres, diameter=side)
    changed = set()
    for seed in range(40):
        image, to_home = augment(grey, SMALL, rng=np.random.default_rng(seed))
        height, width = image.shape
        drawn = np.zeros((height, width), bool)
        for cx, cy, w, h in fraction_boxes(picks, to_home, (height, width)).numpy() * [width, height, width, height]:
            rows = slice(max(0, round(cy - h / 2)), round(cy + h / 2))
            drawn[rows, max(0, round(cx - w / 2)) : round(cx + w / 2)] = True
        bright = image.numpy() > 130
        # Corners are rounded, by up to half a pixel along each edge, of squares about ten pixels wide.
        assert (drawn != bright).sum() <= 0.25 * bright.sum() + 4
        assert drawn.any() == bright.any()
        changed.add((height, width, to_home.scale[0] < 0))
    assert len(changed) > 15


def test_sides_are_drawn_from_the_published_sizes_and_the_longer_side_is_limited():
    settings = DetrAugmentation()
    assert settings.short_sides == tuple(range(480, 801, 32))
    sizes = [augment(squares([], 1, (800, 900)), settings, rng=np.random.default_rng(seed))[0].shape for seed in range(12)]
    assert {min(size) for size in sizes} <= set(settings.short_sides)
    assert len({min(size) for size in sizes}) > 3
    long = DetrAugmentation(cropped=0.0)
    assert max(augment(squares([], 1, (300, 900)), long, rng=np.random.default_rng(0))[0].shape) <= 1333


def test_augmentation_is_reproducible():
    grey = squares([(30, 20)], 9)
    first, again, other = (augment(grey, SMALL, rng=np.random.default_rng(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert first.shape != other.shape or not torch.equal(first, other)


def test_invalid_sizes_raise():
    with pytest.raises(SettingError, match="crop_sides"):
        DetrAugmentation(crop_sides=(600, 384))
    with pytest.raises(SettingError, match="short_sides"):
        DetrAugmentation(short_sides=())
