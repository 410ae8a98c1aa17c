"""Removal of borders without data around noise."""

import numpy as np
import pytest

from cryopick.preprocess.padding import strip_padding


@pytest.fixture
def noise(rng):
    return rng.normal(size=(200, 260)).astype(np.float32)


def test_an_image_without_padding_is_returned_whole(noise):
    part, to_home = strip_padding(noise)
    assert part.shape == noise.shape
    assert to_home.shift == (0, 0)


@pytest.mark.parametrize("mode", ["constant", "edge"])
def test_constant_and_replicated_borders_are_removed(noise, mode):
    padded = np.pad(noise, ((12, 7), (20, 31)), mode=mode)
    part, to_home = strip_padding(padded)
    # An edge line that was repeated is one of the copies and the real one; either may stay.
    assert to_home.shift == pytest.approx((20, 12), abs=1)
    assert part.shape == pytest.approx((200, 260), abs=2)
    x, y = map(int, to_home.shift)
    assert np.shares_memory(part, padded)
    assert part[5, 9] == padded[5 + y, 9 + x]


def test_padding_on_a_single_side_is_removed(noise):
    part, to_home = strip_padding(np.pad(noise, ((0, 0), (16, 0))))
    assert to_home.shift == pytest.approx((16, 0), abs=1)
    assert part.shape[0] == 200


def test_two_equal_lines_are_not_padding(noise):
    noise[1] = noise[0]
    assert strip_padding(noise)[0].shape == noise.shape


@pytest.mark.parametrize("shape", [(64, 64), (1, 50), (1, 1)])
def test_a_constant_image_is_returned_whole(shape):
    assert strip_padding(np.ones(shape, np.float32))[0].shape == shape
