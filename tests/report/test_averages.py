"""Averages over micrographs, and the sheet of single picks."""

import numpy as np
import pytest

from cryopick.display.thumbnails import BANDS, CROP_SIDE, Thumbnail
from cryopick.report.averages import COLUMNS, SHOWN, Averages, rotational, side_by_side


def seen(value: float, count: int, *, crops: int = 0) -> Thumbnail:
    """A thumbnail whose means are all `value`, of `count` particles each."""
    means = np.full((BANDS, CROP_SIDE, CROP_SIDE), value, np.float32)
    sheet = np.full((crops, CROP_SIDE, CROP_SIDE), 10, np.uint8)
    return Thumbnail(b"", sheet, np.arange(crops), means, np.full(BANDS, count))


def test_micrographs_count_by_their_particles():
    averages = Averages(2)
    averages.add(seen(1.0, 30), None)
    averages.add(seen(5.0, 10), None)
    assert averages.counts.tolist() == [40] * BANDS
    assert np.unique(averages.means).tolist() == [2.0]  # (30 · 1 + 10 · 5) / 40


def test_every_micrograph_gives_its_share_of_the_crops():
    averages = Averages(9)
    for number in range(9):
        averages.add(seen(0, 1, crops=16), [number + index / 100 for index in range(16)])
        assert len(averages.crops) == (number + 1) * SHOWN // 9
    sheet, scores = averages.montage()
    assert sheet.shape == (SHOWN // COLUMNS * CROP_SIDE, COLUMNS * CROP_SIDE)
    assert scores == sorted(scores, reverse=True)
    assert {int(score) for score in scores} == set(range(9))


def test_no_crops_are_an_empty_sheet():
    sheet, scores = Averages(0).montage()
    assert scores == []
    assert np.unique(sheet).tolist() == [128]


def test_a_rotational_mean_keeps_rings_and_evens_out_what_is_no_ring():
    y, x = np.mgrid[:CROP_SIDE, :CROP_SIDE] - (CROP_SIDE - 1) / 2
    ring = np.exp(-((np.hypot(x, y) - 12) ** 2) / 18).astype(np.float32)
    inside = np.hypot(x, y) < CROP_SIDE / 2 - 1
    assert rotational(ring)[inside] == pytest.approx(ring[inside], abs=0.06)
    assert np.abs(rotational(x.astype(np.float32))).max() < 1e-5  # as much to the left as to the right


def test_grey_is_the_background_and_averages_lie_above_their_rotational_means():
    means = np.zeros((BANDS, CROP_SIDE, CROP_SIDE), np.float32)
    means[0, 20:28, 20:28] = -1
    sheet = side_by_side(means)
    assert sheet.shape == (2 * CROP_SIDE, BANDS * CROP_SIDE)
    assert sheet[0, 0] == 128
    assert sheet[24, 24] == 1
    assert np.unique(sheet[:, CROP_SIDE:]).tolist() == [128]
