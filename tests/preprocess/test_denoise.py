"""Denoising: every stage against the published programs, their shifts, and the corrected settings."""

import json

import numpy as np
import pytest
from golden_fill import golden_rng
from scipy import ndimage

from cryopick.config import preset_names
from cryopick.coordinates import PixelMap
from cryopick.errors import SettingError
from cryopick.preprocess import denoise as stages
from cryopick.preprocess.denoise import DenoiseSettings, denoise, load_denoise_settings

KERNEL = stages.gaussian_kernel(9, 3.0)


@pytest.fixture(scope="module")
def expected(golden):
    return dict(np.load(golden / "denoise_stages.npz"))


@pytest.fixture(scope="module")
def image():
    """The image that the published programs were fed: noise, a ramp and sixty dark blobs."""
    rng = golden_rng("input:denoise:512x640")
    pixels = rng.normal(0, 25, (512, 640))
    y, x = np.mgrid[:512, :640]
    pixels += 100 + 20 * x / 639 - 10 * y / 511
    for _ in range(60):
        cy, cx = rng.uniform(0, 512), rng.uniform(0, 640)
        pixels -= 40 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * 8**2))
    return pixels.astype(np.float32)


def corrected(diameter: float | None = None) -> DenoiseSettings:
    return load_denoise_settings("corrected").for_diameter(diameter)


def assert_grey_equal(found, wanted, *, levels=1):
    """At most one pixel in a thousand differs, and by no more than so many grey levels."""
    assert found.dtype == np.uint8
    difference = np.abs(found.astype(int) - wanted)
    assert difference.max() <= levels
    assert (difference > 0).mean() <= 1e-3


def blob(shape, x, y, width=6.0):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * width**2))


def centroid(weights):
    rows, columns = np.indices(weights.shape)
    return np.array([[(weights * columns).sum(), (weights * rows).sum()]]) / weights.sum()


def best_shift(result, home):
    """The (x, y) by which `result` moves to look most like `home`, found by trying."""
    inner = result[8:-8, 8:-8].ravel()
    alike = {
        (dx, dy): np.corrcoef(inner, home[8 + dy : len(home) - 8 + dy, 8 + dx : home.shape[1] - 8 + dx].ravel())[0, 1]
        for dx in range(-5, 6)
        for dy in range(-5, 6)
    }
    return max(alike, key=alike.get)


def test_the_input_is_that_of_the_published_run(image, expected):
    np.testing.assert_array_equal(image[:64, :64], expected["input_corner"])


def test_the_blur_matches_the_published_program(image, expected):
    np.testing.assert_allclose(stages.gaussian_blur(image)[:64, :64], expected["gaussian_blur"], atol=1e-4)


def test_the_stretch_matches_the_published_program(image, expected):
    assert_grey_equal(stages.stretch(stages.gaussian_blur(image)), expected["standardised_uint8"])


def test_non_local_means_matches_the_published_program(expected):
    assert_grey_equal(stages.non_local_means(expected["standardised_uint8"]), expected["nlm"])


def test_the_wiener_kernel_matches_the_published_program(expected):
    np.testing.assert_allclose(np.outer(KERNEL, KERNEL), expected["kernel"], atol=1e-12)


def test_the_wiener_stage_matches_the_published_program(expected, golden):
    found, _ = stages.wiener(expected["nlm"], KERNEL)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:64, :64], expected["wiener_corner"], atol=1e-4)
    wanted = json.loads((golden / "denoise_stages.json").read_text())["wiener"]
    statistics = {"min": found.min(), "max": found.max(), "mean": found.mean(dtype=float), "std": found.std(dtype=float)}
    assert statistics == pytest.approx(wanted, abs=1e-4)


def test_equalisation_matches_the_published_program(expected):
    found, _ = stages.wiener(expected["nlm"], KERNEL)
    assert_grey_equal(stages.equalise(stages.stretch(found)), expected["clahe"], levels=3)


def test_the_guided_filter_matches_the_published_program(expected):
    guide, _ = stages.wiener(expected["nlm"], KERNEL)
    smooth, _ = stages.guided_filter(expected["clahe"], guide)
    assert_grey_equal(stages.stretch(smooth), expected["guided"])


def test_the_whole_chain_matches_the_published_program(image, expected):
    assert_grey_equal(denoise(image)[0], expected["guided"])


def test_the_whole_chain_matches_the_published_program_on_8_bit_input(image, expected):
    eight_bits = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    assert_grey_equal(denoise(eight_bits)[0], expected["guided_from_uint8_input"])


def test_flip_rows_is_the_same_chain_on_reversed_rows(image):
    flipped, to_home = denoise(image, DenoiseSettings(flip_rows=True))
    np.testing.assert_array_equal(flipped, denoise(image[::-1])[0])
    # Pixel (0, 0) shows what lies three columns from the left and three rows above the last one.
    np.testing.assert_allclose(to_home.to_home([[0, 0], [10, 20]]), [[3, 508], [13, 488]])


@pytest.mark.parametrize("origin", ["corner", "centre"])
@pytest.mark.parametrize("shape", [(64, 64), (37, 50), (50, 37), (11, 9)])
def test_wiener_matches_the_formula_in_double_precision(rng, shape, origin):
    grey = rng.integers(0, 256, shape, dtype=np.uint8)
    padded = np.zeros(shape)
    padded[:9, :9] = np.outer(KERNEL, KERNEL)
    if origin == "centre":
        padded = np.roll(padded, (-4, -4), axis=(0, 1))
    transfer = np.fft.fft2(padded)
    wanted = np.abs(np.fft.ifft2(np.fft.fft2(grey) * transfer.conj() / (np.abs(transfer) ** 2 + 30)))
    found, _ = stages.wiener(grey, KERNEL, origin=origin)
    np.testing.assert_allclose(found, wanted, atol=3e-6)


@pytest.mark.parametrize("size", [20, 5])
def test_the_guided_filter_matches_the_formula_across_strips(rng, size, monkeypatch):
    monkeypatch.setattr(stages, "STRIP", 32)
    image = rng.integers(0, 256, (101, 40), dtype=np.uint8)
    guide = rng.uniform(0, 255, (101, 40)).astype(np.float32)

    def mean(values):
        return ndimage.uniform_filter(values, size, mode="mirror")

    p, i = image / 255, guide.astype(float) / 255
    slope = (mean(i * p) - mean(i) * mean(p)) / (mean(i * i) - mean(i) ** 2 + 0.1)
    wanted = mean(slope) * i + mean(mean(p) - slope * mean(i))
    np.testing.assert_allclose(stages.guided_filter(image, guide, size=size)[0], wanted, atol=1e-5)


@pytest.mark.parametrize("origin", ["corner", "centre"])
def test_the_map_of_the_wiener_stage_records_its_shift(origin):
    grey = np.rint(200 * blob((90, 110), 60, 40)).astype(np.uint8)
    result, to_home = stages.wiener(grey, KERNEL, origin=origin)
    assert to_home == (PixelMap(shift=(4, 4)) if origin == "corner" else PixelMap())
    np.testing.assert_allclose(to_home.to_home(centroid(result)), [[60, 40]], atol=0.01)


@pytest.mark.parametrize("size", [20, 21])
def test_the_map_of_the_guided_filter_records_its_shift(size):
    image = np.rint(200 * blob((120, 130), 60, 50)).astype(np.uint8)
    result, to_home = stages.guided_filter(image, np.ones((120, 130), np.float32), size=size)
    np.testing.assert_allclose(to_home.to_home(centroid(result)), [[60, 50]], atol=0.01)


def test_the_published_chain_shifts_the_image_by_three_pixels_and_the_corrected_one_does_not(image):
    smooth = ndimage.gaussian_filter(image, 8)
    for settings, shift in [(DenoiseSettings(), (3, 3)), (corrected(), (0, 0))]:
        result, to_home = denoise(image, settings)
        assert to_home == PixelMap(shift=shift)
        assert best_shift(result, smooth) == shift


def test_a_hot_pixel_flattens_the_published_contrast_but_not_the_corrected_one(image):
    part = image[:256, :256]
    hot = part.copy()
    hot[60, 60] = 1e6
    far = np.s_[140:, 140:]
    assert stages.stretch(stages.gaussian_blur(hot))[far].std() < 1
    difference = denoise(hot, corrected())[0][far].astype(int) - denoise(part, corrected())[0][far]
    assert np.abs(difference).max() <= 12


def test_a_dead_border_flattens_the_published_contrast_but_not_the_corrected_one(image):
    part = image[:256, :256]
    dead = part.copy()
    dead[:8] = dead[:, -8:] = -1e4
    inside = np.s_[90:-40, 40:-90]
    assert stages.stretch(stages.gaussian_blur(dead))[inside].std() < 1
    assert denoise(dead, corrected())[0][inside].std() > 0.5 * denoise(part, corrected())[0][inside].std()


def test_a_grey_window_is_centred_on_the_median_with_a_width_from_the_quartiles():
    values = np.concatenate([np.arange(-10.0, 11.0), [1e9]]).astype(np.float32).reshape(1, -1)
    low, high = stages.grey_window(values, 1.0)
    # 22 values: quartiles at positions 5.25, 10.5 and 15.75: -4.75, 0.5 and 5.75.
    assert (low, high) == pytest.approx((0.5 - 10.5 / 1.349, 0.5 + 10.5 / 1.349))


def test_a_grey_window_is_limited_to_the_range_of_the_image():
    assert stages.grey_window(np.arange(9, dtype=np.float32).reshape(3, 3), 100.0) == (0, 8)
    mostly = np.zeros((10, 10), np.float32)
    mostly[0, 0], mostly[1, 1] = -3, 7
    assert stages.grey_window(mostly, 5.0) == (-3, 7)


def test_stretching_truncates_to_whole_grey_levels():
    values = np.array([[-1.0, 0.0, 0.5, 1.0]], np.float32)
    np.testing.assert_array_equal(stages.stretch(values), [[0, 127, 191, 255]])
    np.testing.assert_array_equal(stages.stretch(values, (0.0, 0.5)), [[0, 0, 255, 255]])


@pytest.mark.parametrize("settings", [DenoiseSettings(), corrected()], ids=["published", "corrected"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (41, 2)])
def test_small_and_constant_images_are_denoised(shape, settings, rng):
    assert denoise(rng.normal(size=shape).astype(np.float32), settings)[0].shape == shape
    np.testing.assert_array_equal(denoise(np.full(shape, 7, np.float32), settings)[0], 0)


def test_denoising_does_not_change_its_input(image):
    before = image.copy()
    denoise(image, corrected())
    np.testing.assert_array_equal(image, before)


def test_lengths_scale_with_the_diameter():
    # 82 pixels are half of the 164 that the preset is designed for; kernel sides are the nearest odd numbers.
    half = corrected(82.0)
    assert (half.blur_sigma, half.kernel_sigma) == pytest.approx((0.83, 1.5))
    assert (half.blur_size, half.kernel_size, half.guided_size) == (5, 5, 11)
    assert corrected(None) == corrected(164.0)
    assert DenoiseSettings().for_diameter(82.0) == DenoiseSettings()


def test_the_published_preset_is_the_default_and_every_preset_loads():
    assert set(preset_names("denoise")) == {"published", "corrected"}
    assert load_denoise_settings("published") == DenoiseSettings()


@pytest.mark.parametrize(
    "wrong",
    [
        {"kernel_size": 8},
        {"nlm_patch": 0},
        {"blur_size": -1},
        {"guided_size": 0},
        {"noise_to_signal": 0.0},
        {"clip": 0.0},
        {"blur_sigma": -1.0},
    ],
)
def test_invalid_settings_are_named_in_the_error(wrong):
    with pytest.raises(SettingError, match=next(iter(wrong))):
        DenoiseSettings(**wrong)


@pytest.mark.filterwarnings("ignore:the .* deprecated:DeprecationWarning")
@pytest.mark.parametrize(("former", "name"), [("faithful", "published"), ("robust", "corrected")])
def test_former_names_of_presets_work_with_a_warning(former, name, caplog):
    assert load_denoise_settings(former) == load_denoise_settings(name)
    assert [record.message for record in caplog.records] == [
        f"the denoising preset {former} is deprecated and will be removed in the next version: use {name}"
    ]
