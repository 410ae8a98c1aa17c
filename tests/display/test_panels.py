"""Panels of images that were flipped, moved and resized show the same place of the micrograph at the same place."""

import cv2
import numpy as np
import pytest

from cryopick.coordinates import PixelMap
from cryopick.display.panels import Panel, write_panels
from cryopick.types import Picks


def drawn(panels, shape_hw, path):
    """Every panel's part of the figure, RGB, by halves."""
    write_panels(panels, shape_hw, path)
    picture = cv2.imread(str(path))[..., ::-1].astype(int)
    middle = picture.shape[1] // 2
    return picture[:, :middle], picture[:, middle:]


def middle_of(mask):
    return np.argwhere(mask).mean(axis=0)


def test_a_flipped_and_reduced_image_lies_on_its_original(tmp_path):
    whole = np.zeros((100, 160), np.float32)
    whole[20:30, 100:120] = 1
    small = cv2.resize(whole[::-1], (80, 50), interpolation=cv2.INTER_AREA)
    to_home = PixelMap.flip_rows(100).then(PixelMap.resize((2, 2)))
    left, right = drawn([Panel("", whole, PixelMap()), Panel("", small, to_home)], (100, 160), tmp_path / "a.png")
    # Inside the frames, so that its black lines and the white of the page do not count.
    spots = [middle_of(half[40:-40, 40:-40].min(axis=2) > 200) for half in (left, right)]
    np.testing.assert_allclose(spots[0], spots[1], atol=4)


def test_picks_are_circled_where_they_are(tmp_path):
    whole = np.zeros((100, 100), np.float32)
    whole[68:73, 28:33] = 1
    picks = Picks("m", [[30, 70]], diameter=30)
    left, right = drawn([Panel("", whole, PixelMap()), Panel("", whole, PixelMap(), picks)], (100, 100), tmp_path / "a.png")
    spot = middle_of(left[60:-60, 60:-60].min(axis=2) > 200)
    green = right[60:-60, 60:-60, 1] - right[60:-60, 60:-60, 0] > 60
    np.testing.assert_allclose(middle_of(green), spot, atol=4)
    size = np.ptp(np.argwhere(green), axis=0)
    assert abs(size[0] - size[1]) <= 2


@pytest.mark.parametrize("picks", [None, Picks("m"), Picks("m", [[3, 4]])])
def test_picks_may_be_absent_none_or_of_unknown_size(tmp_path, picks):
    path = tmp_path / "figure.jpg"
    write_panels([Panel("only one", np.eye(20, dtype=np.float32), PixelMap(), picks)], (20, 20), path)
    assert cv2.imread(str(path)) is not None
