"""Averages over micrographs, and the montage of single picks."""

import numpy as np
import pytest

from cryopick.display.thumbnails import BANDS, CROP_SIDE, Thumbnail
from cryopick.report.averages import MONTAGE_COLUMNS, MONTAGE_SIZE, PickAverages, draw_averages, rotationally_averaged


def seen(value: float, count: int, *, crops: int = 0) -> Thumbnail:
    """A thumbnail whose means are all `value`, of `count` particles each."""
    means = np.full((BANDS, CROP_SIDE, CROP_SIDE), value, np.float32)
    images = np.full((crops, CROP_SIDE, CROP_SIDE), 10, np.uint8)
    return Thumbnail(b"", images, np.arange(crops), means, np.full(BANDS, count))


def test_micrographs_are_weighted_by_their_number_of_picks():
    averages = PickAverages(2)
    averages.add(seen(1.0, 30), None)
    averages.add(seen(5.0, 10), None)
    assert averages.counts.tolist() == [40] * BANDS
    assert np.unique(averages.means).tolist() == [2.0]  # (30 · 1 + 10 · 5) / 40


def test_every_micrograph_contributes_an_equal_share_of_the_montage():
    averages = PickAverages(9)
    for number in range(9):
        averages.add(seen(0, 1, crops=16), [number + index / 100 for index in range(16)])
        assert len(averages.crops) == (number + 1) * MONTAGE_SIZE // 9
    image, scores = averages.montage()
    assert image.shape == (MONTAGE_SIZE // MONTAGE_COLUMNS * CROP_SIDE, MONTAGE_COLUMNS * CROP_SIDE)
    assert scores == sorted(scores, reverse=True)
    assert {int(score) for score in scores} == set(range(9))


def test_without_crops_the_montage_is_grey():
    image, scores = PickAverages(0).montage()
    assert scores == []
    assert np.unique(image).tolist() == [128]


def test_a_rotational_average_keeps_rings_and_cancels_everything_else():
    y, x = np.mgrid[:CROP_SIDE, :CROP_SIDE] - (CROP_SIDE - 1) / 2
    ring = np.exp(-((np.hypot(x, y) - 12) ** 2) / 18).astype(np.float32)
    inside = np.hypot(x, y) < CROP_SIDE / 2 - 1
    assert rotationally_averaged(ring)[inside] == pytest.approx(ring[inside], abs=0.06)
    assert np.abs(rotationally_averaged(x.astype(np.float32))).max() < 1e-5  # as much to the left as to the right


def test_the_background_is_grey_and_averages_lie_above_their_rotational_averages():
    means = np.zeros((BANDS, CROP_SIDE, CROP_SIDE), np.float32)
    means[0, 20:28, 20:28] = -1
    image = draw_averages(means)
    assert image.shape == (2 * CROP_SIDE, BANDS * CROP_SIDE)
    assert image[0, 0] == 128
    assert image[24, 24] == 1
    assert np.unique(image[:, CROP_SIDE:]).tolist() == [128]
