"""Filters of contrast, on waves and steps with known answers."""

import numpy as np
import pytest

from cryopick.errors import SettingError
from cryopick.preprocess.bandpass import band_pass, for_display, standardise


def ripple(period, shape_hw=(192, 256)):
    columns = np.indices(shape_hw)[1] + 0.5
    return np.cos(2 * np.pi * columns / period).astype(np.float32)  # even about the picture's edges, so mirroring continues it


def test_details_within_the_band_pass_and_those_beyond_do_not():
    inside, fine, coarse = ripple(16), ripple(4), ripple(128)
    filtered = band_pass(5 + inside + fine + coarse, finest=8, coarsest=32)
    np.testing.assert_allclose(filtered, inside, atol=0.02)


def test_half_of_a_wave_at_the_edge_of_the_band_passes():
    filtered = band_pass(ripple(16), finest=4, coarsest=16)
    assert filtered.std() / ripple(16).std() == pytest.approx(0.5, abs=0.03)


def test_an_empty_band_is_refused():
    with pytest.raises(SettingError, match="finest < coarsest"):
        band_pass(ripple(16), finest=32, coarsest=8)


def test_standardising_a_whole_picture(rng):
    pixels = rng.normal(50, 4, size=(90, 70)).astype(np.float32)
    values = standardise(pixels, clip=10)
    assert values.mean() == pytest.approx(0, abs=1e-4)
    assert values.std() == pytest.approx(1, abs=1e-4)


def test_standardising_in_a_window_evens_out_steps_of_level_and_contrast(rng):
    pixels = rng.normal(size=(120, 240)).astype(np.float32)
    pixels[:, 120:] = 100 + 6 * pixels[:, 120:]
    values = standardise(pixels, window=31, floor=0.01)
    left, right = values[:, :100], values[:, 140:]
    assert abs(left.mean() - right.mean()) < 0.1
    assert left.std() == pytest.approx(right.std(), rel=0.1)


def test_empty_parts_are_not_blown_up(rng):
    pixels = rng.normal(size=(100, 300)).astype(np.float32)
    pixels[:, :100] *= 0.01
    assert standardise(pixels, window=21, floor=0.5)[:, :80].std() < 0.05


def test_values_are_clipped_and_a_constant_picture_is_zero(rng):
    pixels = rng.normal(size=(50, 50)).astype(np.float32)
    pixels[20, 20] = 1e4
    assert standardise(pixels, clip=3).max() == 3
    for window in (None, 9):
        assert not standardise(np.full((30, 40), 7, np.float32), window=window).any()


def test_pictures_for_the_eye_use_the_whole_range_and_keep_the_order():
    ramp = np.tile(np.linspace(-7, 5, 400, dtype=np.float32), (300, 1))
    grey = for_display(ramp)
    assert grey.dtype == np.uint8
    assert grey.shape == ramp.shape
    assert grey.min() == 0
    assert grey.max() == 255
    assert (np.diff(grey[150].astype(int)) >= 0).all()
    assert grey[150, 200] == pytest.approx(127.5, abs=2)


def test_one_hot_pixel_does_not_darken_the_rest(rng):
    pixels = rng.normal(size=(300, 300)).astype(np.float32)
    calm = for_display(pixels)
    pixels[10, 10] = 1e6
    assert abs(for_display(pixels)[50:].mean() - calm[50:].mean()) < 10


def test_a_constant_picture_is_middle_grey():
    assert (for_display(np.full((20, 30), 4, np.float32)) == 128).all()
