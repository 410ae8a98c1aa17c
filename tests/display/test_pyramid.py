"""Tiles of micrographs, and the memory of their cache."""

import threading

import cv2
import numpy as np
import pytest

from cryopick.display.pyramid import Pyramid, PyramidCache, build, build_denoised, level_count, tile
from cryopick.types import Micrograph


def decoded(content):
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize(("shape", "count"), [((1, 1), 1), ((256, 256), 1), ((257, 10), 2), ((1024, 700), 3), ((8192, 8192), 6)])
def test_levels_are_halved_until_the_longest_side_is_small(shape, count):
    assert level_count(shape) == count


def test_a_pixel_of_each_level_covers_a_square_of_the_micrograph_odd_sizes_too():
    pixels = np.zeros((601, 303), np.float32)
    pixels[:, 160:] = 1.0
    levels = build(Micrograph(pixels)).levels
    assert [level.shape for level in levels] == [(601, 303), (301, 152), (151, 76)]
    assert levels[2][:, :40].max() == 0  # 160 / 4
    assert levels[2][:, 40:].min() == 255


def test_hot_pixels_do_not_flatten_the_contrast(rng):
    pixels = rng.normal(size=(300, 300)).astype(np.float32)
    pixels[5, 5] = 1e6
    assert build(Micrograph(pixels)).levels[0].std() > 30


def test_tiles_join_to_the_level_and_there_are_no_others(rng):
    smooth = cv2.GaussianBlur(rng.normal(size=(700, 1100)).astype(np.float32), (0, 0), 8)
    pyramid = build(Micrograph(smooth))
    whole = np.vstack([np.hstack([decoded(tile(pyramid, 0, column, row)) for column in range(3)]) for row in range(2)])
    assert whole.shape == (700, 1100)
    assert np.abs(whole.astype(int) - pyramid.levels[0]).mean() < 2  # JPEG
    for level, column, row in [(0, 3, 0), (0, 0, 2), (0, -1, 0), (9, 0, 0), (-1, 0, 0)]:
        assert tile(pyramid, level, column, row) is None


def test_a_low_pass_has_no_seams_between_tiles_and_is_the_gaussian_of_the_whole(rng):
    pyramid = build(Micrograph(rng.normal(size=(600, 1030)).astype(np.float32)))
    left, right = (decoded(tile(pyramid, 0, column, 0, blur=6.0)).astype(int) for column in (0, 1))
    assert np.abs(left[:, -1] - right[:, 0]).mean() < 6
    whole = cv2.GaussianBlur(pyramid.levels[0].astype(np.float32), (0, 0), 6.0, borderType=cv2.BORDER_REFLECT)[:512, :512]
    assert np.corrcoef(left.ravel(), whole.ravel())[0, 1] > 0.99


def test_the_denoised_pyramid_begins_at_a_level_that_is_quick_to_compute(rng):
    pixels = rng.normal(size=(2100, 300)).astype(np.float32)
    pyramid = build_denoised(Micrograph(pixels), diameter_px=60)
    assert (pyramid.first, pyramid.levels[0].shape) == (1, (1050, 150))
    assert tile(pyramid, 0, 0, 0) is None
    assert tile(pyramid, 1, 0, 0) is not None


def small(side):
    return Pyramid((np.zeros((side, side), np.uint8),))


def test_the_cache_drops_the_least_recently_used_and_stays_within_its_limit():
    cache, built = PyramidCache(25_000), []

    def make(key):
        built.append(key)
        return small(100)

    for index in (0, 1, 0, 2, 0, 1):
        cache.get((index, "plain"), lambda index=index: make(index))
        assert cache.size <= 25_000
    assert built == [0, 1, 2, 1]


def test_a_pyramid_larger_than_the_limit_is_cached_until_the_next_one():
    cache = PyramidCache(100)
    assert cache.get((0, "plain"), lambda: small(50)) is cache.get((0, "plain"), lambda: small(60))


def test_threads_that_ask_at_once_wait_for_the_one_that_builds():
    cache, built, gate = PyramidCache(10**6), [], threading.Event()

    def make():
        gate.wait(5)
        built.append(1)
        return small(10)

    threads = [threading.Thread(target=cache.get, args=((0, "plain"), make)) for _ in range(6)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()
    assert built == [1]


def test_an_error_while_building_is_raised_and_the_next_call_tries_again():
    cache = PyramidCache(10**6)

    def fail():
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        cache.get((0, "plain"), fail)
    assert cache.get((0, "plain"), lambda: small(5)).size == 25
