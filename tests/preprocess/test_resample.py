"""Resampling against waves with known values and means worked out by hand."""

import numpy as np
import pytest

from cryopick.errors import SettingError
from cryopick.preprocess.resample import crop_to_scale, fourier_crop, resize


def wave(shape_hw, cycles_xy, *, to_home=None, home_hw=None):
    """A cosine with whole cycles over the home image, taken at the pixels of a changed one."""
    rows, columns = np.indices(shape_hw)
    xy = np.column_stack([columns.ravel(), rows.ravel()])
    xy = xy if to_home is None else to_home.to_home(xy)
    height, width = home_hw or shape_hw
    phase = 2 * np.pi * (cycles_xy[0] * xy[:, 0] / width + cycles_xy[1] * xy[:, 1] / height) + 0.4
    return (3 + np.cos(phase)).reshape(shape_hw).astype(np.float32)


@pytest.mark.parametrize("home", [(48, 60), (47, 61), (48, 61)])
@pytest.mark.parametrize("new", [(24, 30), (23, 31), (16, 45), (48, 20), (96, 90)])
def test_a_wave_below_the_new_nyquist_frequency_keeps_its_values_at_mapped_positions(home, new):
    small, to_home = fourier_crop(wave(home, (5, -3)), new)
    assert small.dtype == np.float32
    np.testing.assert_allclose(small, wave(new, (5, -3), to_home=to_home, home_hw=home), atol=2e-5)


def test_a_wave_above_the_new_nyquist_frequency_leaves_only_the_mean():
    small, _ = fourier_crop(wave((64, 64), (20, 0)), (32, 32))
    np.testing.assert_allclose(small, 3, atol=1e-5)


def test_the_nyquist_wave_of_the_new_size_is_dropped():
    small, _ = fourier_crop(wave((64, 64), (16, 0)), (32, 32))
    np.testing.assert_allclose(small, 3, atol=1e-5)


@pytest.mark.parametrize("shape", [(31, 40), (1, 7), (600, 3)])
def test_the_same_size_gives_the_same_image(rng, shape):
    pixels = rng.normal(size=shape).astype(np.float32)
    same, to_home = fourier_crop(pixels, shape)
    np.testing.assert_allclose(same, pixels, atol=1e-5)
    assert to_home.scale == (1, 1)


def test_the_mean_is_kept(rng):
    pixels = (1000 + rng.normal(size=(37, 53))).astype(np.float32)
    for new in [(1, 1), (5, 8), (36, 52)]:
        assert fourier_crop(pixels, new)[0].mean() == pytest.approx(pixels.mean(dtype=np.float64), rel=1e-6)


def test_cropping_to_scale_mirrors_the_far_edges_and_crops_them_again():
    # 101 and 127 are prime: padded to 108 and 128, cropped by 4 to 27 and 32, of which 0 … 100 and 0 … 126 hold 26 and 32.
    small, to_home = crop_to_scale(np.full((101, 127), 7, np.float32), 4)
    assert small.shape == (26, 32)
    assert to_home.scale == (4, 4)
    np.testing.assert_allclose(small, 7, atol=1e-5)


def test_a_dot_is_at_its_mapped_position_after_cropping_to_scale():
    rows, columns = np.indices((307, 411))
    dot = np.exp(-((columns - 200.0) ** 2 + (rows - 90.0) ** 2) / (2 * 12.0**2)).astype(np.float32)
    small, to_home = crop_to_scale(dot, 5.3)
    assert to_home.length == pytest.approx(5.3, rel=0.01)
    total = small.sum()
    rows, columns = np.indices(small.shape)
    middle = to_home.to_home([[(columns * small).sum() / total, (rows * small).sum() / total]])[0]
    np.testing.assert_allclose(middle, [200, 90], atol=0.1)


def test_a_factor_below_one_enlarges():
    large, to_home = crop_to_scale(np.ones((20, 30), np.float32), 0.5)
    assert large.shape == (39, 59)  # pixels 0 … 19 and 0 … 29 in steps of a half
    assert to_home.scale == (0.5, 0.5)


def test_resizing_keeps_the_edges_aligned():
    pixels = np.arange(8, dtype=np.float32).reshape(2, 4)
    small, to_home = resize(pixels, (1, 2))
    assert small.tolist() == [[2.5, 4.5]]
    assert to_home.to_home([[0, 0], [1, 0]]).tolist() == [[0.5, 0.5], [2.5, 0.5]]
    large, to_home = resize(pixels, (2, 8))
    assert to_home.to_home([[3, 0]]).tolist() == [[1.25, 0]]
    assert large[0, 3] == pytest.approx(1.25)  # the row is 0 1 2 3: bilinear values are the columns themselves


@pytest.mark.parametrize(
    "call",
    [
        lambda p: fourier_crop(p, (0, 4)),
        lambda p: resize(p, (4, 0)),
        lambda p: crop_to_scale(p, 0),
        lambda p: crop_to_scale(p, float("nan")),
    ],
)
def test_invalid_sizes_raise(call):
    with pytest.raises(SettingError):
        call(np.ones((8, 8), np.float32))


@pytest.mark.parametrize("value", [7.0, 300.7, -1e-3])
def test_a_constant_image_stays_constant(value):
    small, _ = crop_to_scale(np.full((1000, 1024), value, np.float32), 9.5)
    assert (small == np.float32(value)).all()
