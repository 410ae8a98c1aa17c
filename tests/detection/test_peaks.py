"""Peaks and their suppression, on maps small enough to read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryopick.detection.peaks import find_peaks, suppress


def test_a_better_point_takes_away_those_closer_than_the_spacing():
    xy = np.array([[0.0, 0], [3, 0], [6, 0], [9, 0]])
    # 0.9 at x=3 takes 0 and 6 (3 away, under 4); 9 is 6 away from 3 and stays, though 6 would have taken it.
    assert suppress(xy, np.array([0.5, 0.9, 0.8, 0.1], np.float32), 4).tolist() == [1, 3]


def test_points_at_exactly_the_spacing_both_stay():
    xy = np.array([[0.0, 0], [4, 0]])
    assert suppress(xy, np.array([0.2, 0.7], np.float32), 4).tolist() == [1, 0]


def test_equal_scores_rank_by_place():
    xy = np.array([[0.0, 0], [1, 0], [2, 0]])
    assert suppress(xy, np.ones(3, np.float32), 1.5).tolist() == [0, 2]


@pytest.mark.parametrize("count", [0, 1])
def test_none_and_one_are_left_alone(count):
    assert len(suppress(np.zeros((count, 2)), np.ones(count, np.float32), 5)) == count


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 5))
def test_what_remains_is_apart_and_what_went_was_close_to_a_better_one(seed, spacing):
    rng = np.random.default_rng(seed)
    xy, scores = rng.uniform(0, 12, (40, 2)), rng.permutation(40).astype(np.float32)
    kept = suppress(xy, scores, spacing)
    assert (np.diff(scores[kept]) < 0).all()
    distance = np.hypot(*(xy[:, None] - xy[kept]).transpose(2, 0, 1))
    for index in range(40):
        near_better = (distance[index] < spacing) & (scores[kept] > scores[index])
        assert near_better.any() != (index in kept)


def test_a_peak_between_pixels_is_found_between_them():
    rows, columns = np.indices((20, 30))
    hill = (1 - 0.01 * (columns - 12.3) ** 2 - 0.02 * (rows - 7.8) ** 2).astype(np.float32)
    found = find_peaks(hill, spacing=3)
    np.testing.assert_allclose(found.xy, [[12.3, 7.8]], atol=1e-3)  # parabolas are found exactly
    assert found.scores[0] == hill.max()


def test_a_flat_top_counts_once_at_its_middle():
    score = np.zeros((9, 12), np.float32)
    score[3:6, 4:9] = 1
    found = find_peaks(score, spacing=1, threshold=0.5)
    assert found.xy.tolist() == [[6, 4]]


def test_a_flat_top_of_two_pixels_is_not_drawn_to_its_higher_side():
    score = np.array([[0, 0, 0, 0], [0, 4, 4, 0], [0, 5, 5, 0], [0, 0, 0, 0]], np.float32)
    assert find_peaks(score, spacing=1).xy.tolist() == [[1.5, 2]]


def test_peaks_in_the_corners_stay_on_the_image():
    score = np.zeros((6, 8), np.float32)
    score[0, 0], score[5, 7] = 1, 2
    found = find_peaks(score, spacing=2, threshold=0.5)
    assert found.xy.tolist() == [[7, 5], [0, 0]]
    assert found.scores.tolist() == [2, 1]


def test_peaks_must_exceed_the_threshold():
    score = np.zeros((5, 9), np.float32)
    score[2, 2], score[2, 6] = 0.5, 0.6
    assert find_peaks(score, spacing=1, threshold=0.5).xy.tolist() == [[6, 2]]


@pytest.mark.parametrize("shape", [(0, 5), (4, 4), (1, 1)])
def test_empty_and_constant_maps_have_no_peaks(shape):
    assert len(find_peaks(np.full(shape, 0.7, np.float32), spacing=2).xy) == 0


def test_a_thousand_peaks_of_a_lattice_are_all_found():
    rows, columns = np.indices((320, 250))
    lattice = (np.cos(2 * np.pi * columns / 10) + np.cos(2 * np.pi * rows / 8)).astype(np.float32)
    found = find_peaks(lattice, spacing=7.5, threshold=1.9)
    assert len(found.xy) == 25 * 40
    np.testing.assert_allclose(found.xy / (10, 8), np.round(found.xy / (10, 8)), atol=0.02)
