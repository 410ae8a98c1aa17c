"""Micrographs and picks refuse what cannot be."""

import numpy as np
import pytest

from cryopick.errors import CryopickError
from cryopick.types import Micrograph, Picks


@pytest.mark.parametrize("shape", [(4,), (2, 3, 4), (0, 5), (5, 0)])
def test_a_micrograph_is_a_filled_plane(shape):
    with pytest.raises(CryopickError, match="a micrograph is a non-empty"):
        Micrograph(np.zeros(shape))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_micrograph_has_finite_values(value):
    with pytest.raises(CryopickError, match="NaN or infinite"):
        Micrograph(np.array([[1, value]]))


def test_the_largest_values_of_float32_are_finite_though_their_sum_is_not():
    assert Micrograph(np.full((2, 2), 3e38, np.float32)).pixels.max() == np.float32(3e38)


@pytest.mark.parametrize("pixel_size", [0, -1.0, np.nan, np.inf])
def test_a_pixel_size_is_positive_or_unknown(pixel_size):
    with pytest.raises(CryopickError, match="pixel size"):
        Micrograph(np.ones((2, 2)), pixel_size=pixel_size)


def test_pixels_become_contiguous_float32():
    pixels = Micrograph(np.arange(6, dtype=np.int16).reshape(2, 3).T).pixels
    assert pixels.dtype == np.float32
    assert pixels.flags.c_contiguous
    assert pixels.tolist() == [[0, 3], [1, 4], [2, 5]]


def test_float32_pixels_are_not_copied():
    pixels = np.ones((3, 4), np.float32)
    assert Micrograph(pixels).pixels is pixels


def test_a_diameter_is_in_angstrom_where_the_pixel_size_is_known():
    assert Picks("m", diameter=177, pixel_size=1.77).diameter_px == pytest.approx(100)
    assert Picks("m", diameter=177).diameter_px == 177
    assert Picks("m", pixel_size=1.77).diameter_px is None


def test_selecting_keeps_scores_with_their_picks():
    picks = Picks("m", [[0, 0], [1, 1], [2, 2]], [0.1, 0.9, 0.5])
    assert picks.where([2, 0]).xy.tolist() == [[2, 2], [0, 0]]
    assert picks.where([False, True, False]).scores.tolist() == pytest.approx([0.9])
    assert len(picks.where([])) == 0


@pytest.mark.parametrize(
    "wrong", [{"xy": [[0, np.nan]]}, {"xy": [[0, 1]], "scores": [0.5, 0.5]}, {"diameter": 0}, {"diameter": np.nan}]
)
def test_picks_that_cannot_be_are_refused(wrong):
    with pytest.raises(CryopickError):
        Picks("m", **wrong)
