"""One-to-one matching, on micrographs small enough to match by hand."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryopick.errors import CryopickError, SettingError
from cryopick.evaluate.matching import match_picks, match_points, true_by_score
from cryopick.types import Picks

point = st.tuples(st.integers(0, 12), st.integers(0, 12))
points = st.lists(point, max_size=6)


def test_each_pick_takes_the_particle_it_lies_on():
    match = match_points([[50, 50], [10, 13]], [[10, 10], [54, 53]], radius_px=6)
    assert match.pairs.tolist() == [[1, 0], [0, 1]]
    assert match.distances.tolist() == [3, 5]
    assert (match.missed.tolist(), match.extra.tolist(), match.duplicates.tolist()) == ([], [], [])


def test_a_pick_exactly_at_the_radius_is_too_far():
    # 3-4-5 triangle: the distance is 5 without rounding.
    assert len(match_points([[3, 4]], [[0, 0]], radius_px=5).pairs) == 0
    assert len(match_points([[3, 4]], [[0, 0]], radius_px=5.001).pairs) == 1


def test_a_second_pick_on_one_particle_is_a_duplicate_and_a_third_far_away_is_not():
    match = match_points([[0, 4], [0, 1], [90, 0]], [[0, 0]], radius_px=5)
    assert match.pairs.tolist() == [[1, 0]]
    assert match.extra.tolist() == [0, 2]
    assert match.duplicates.tolist() == [0]


def test_two_pairs_are_found_where_nearest_first_would_leave_one():
    # Pick 0 is nearest to truth 0 (1 px), but only it reaches truth 1 (4 px); pick 1 reaches truth 0 alone (3 px).
    match = match_points([[1, 0], [-3, 0]], [[0, 0], [5, 0]], radius_px=5)
    assert match.pairs.tolist() == [[1, 0], [0, 1]]
    assert match.distances.tolist() == [3, 4]


def test_of_two_ways_to_pair_all_the_shorter_sum_is_taken():
    match = match_points([[0, 0], [3, 1]], [[2, 0], [3, 2]], radius_px=10)
    # Straight: 2 + 1 = 3; crossed: sqrt(13) + sqrt(2) = 5.02.
    assert match.pairs.tolist() == [[0, 0], [1, 1]]
    assert match.distances.tolist() == [2, 1]


def test_a_pick_right_on_its_particle_is_paired():
    assert match_points([[7, 7]], [[7, 7]], radius_px=1).distances.tolist() == [0]


@pytest.mark.parametrize(("found", "truth"), [(0, 0), (0, 3), (3, 0)])
def test_an_empty_side_gives_no_pairs(found: int, truth: int):
    match = match_points(np.ones((found, 2)), np.ones((truth, 2)), radius_px=5)
    assert match.pairs.shape == (0, 2)
    assert (len(match.missed), len(match.extra), len(match.duplicates)) == (truth, found, 0)


def test_the_radius_is_in_angstrom_when_a_pixel_size_is_known():
    # 4 px at 2 Å/px are 8 Å.
    truth = Picks("m", [[0, 0]], pixel_size=2.0)
    found = Picks("m", [[4, 0]])
    assert len(match_picks(found, truth, radius=8.1).pairs) == 1
    assert len(match_picks(found, truth, radius=7.9).pairs) == 0
    assert len(match_picks(truth, found, radius=7.9).pairs) == 0
    assert match_picks(found, truth, radius=8.1).distances.tolist() == [4]


def test_the_radius_is_in_pixels_when_no_pixel_size_is_known():
    assert len(match_picks(Picks("m", [[4, 0]]), Picks("m", [[0, 0]]), radius=4.1).pairs) == 1


def test_two_pixel_sizes_for_one_micrograph_are_refused():
    with pytest.raises(CryopickError, match=r"1\.77 Å/px.*3\.54 Å/px"):
        match_picks(Picks("m", pixel_size=1.77), Picks("m", pixel_size=3.54), radius=5)


def test_two_pixel_sizes_may_differ_by_a_hundredth_as_calibrations_do_and_no_more():
    truth = Picks("m", [[4, 0]], pixel_size=2.0)
    assert match_picks(Picks("m", [[0, 0]], pixel_size=2.01), truth, radius=8.01).distances.tolist() == [4]
    with pytest.raises(CryopickError, match=r"2\.03 Å/px"):
        match_picks(Picks("m", pixel_size=2.03), truth, radius=5)


@pytest.mark.parametrize("radius", [0.0, -1.0, np.nan, np.inf])
def test_an_invalid_radius_is_refused(radius: float):
    with pytest.raises(SettingError, match="radius"):
        match_points([[0, 0]], [[0, 0]], radius_px=radius)


def exhaustive(found: np.ndarray, truth: np.ndarray, radius: float) -> tuple[int, float]:
    """Most pairs and their least total distance, by trying every way to give picks to truths."""
    padded = list(range(len(found))) + [None] * len(truth)
    best = (0, 0.0)
    for chosen in set(permutations(padded, len(truth))) if len(truth) else []:
        lengths = [np.hypot(*(found[i] - truth[j])) for j, i in enumerate(chosen) if i is not None]
        if all(length < radius for length in lengths):
            best = min(best, (-len(lengths), sum(lengths)))
    return -best[0], best[1]


@settings(max_examples=60, deadline=None)
@given(st.lists(point, max_size=4), st.lists(point, max_size=3), st.floats(0.5, 9))
def test_no_other_way_to_pair_gives_more_pairs_or_a_shorter_sum(found, truth, radius):
    found, truth = np.reshape(found, (-1, 2)), np.reshape(truth, (-1, 2))
    match = match_points(found, truth, radius_px=radius)
    count, total = exhaustive(found, truth, radius)
    assert len(match.pairs) == count
    assert match.distances.sum() == pytest.approx(total)


@settings(max_examples=60, deadline=None)
@given(points, points, st.floats(0.5, 9), st.randoms(use_true_random=False))
def test_counts_add_up_and_do_not_depend_on_the_order(found, truth, radius, random):
    match = match_points(found, truth, radius_px=radius)
    assert len(match.pairs) + len(match.missed) == len(truth)
    assert len(match.pairs) + len(match.extra) == len(found)
    assert sorted([*match.pairs[:, 0], *match.extra]) == list(range(len(found)))
    assert sorted([*match.pairs[:, 1], *match.missed]) == list(range(len(truth)))
    assert set(match.duplicates) <= set(match.extra)
    assert (match.distances < radius).all()
    shuffled = match_points(random.sample(found, len(found)), random.sample(truth, len(truth)), radius_px=radius)
    assert len(shuffled.pairs) == len(match.pairs)
    assert len(shuffled.duplicates) == len(match.duplicates)
    assert shuffled.distances.sum() == pytest.approx(match.distances.sum())


def test_the_best_scored_pick_of_a_particle_is_the_true_one():
    true = true_by_score([[0, 1], [0, 3], [90, 0]], [[0, 0]], [0.5, 0.9, 0.7], radius_px=5)
    assert true.tolist() == [False, True, False]


def test_a_later_pick_may_move_an_earlier_one_to_another_particle():
    # As above: the best pick alone would take truth 0, the second then moves it to truth 1 and both are true.
    assert true_by_score([[1, 0], [-3, 0]], [[0, 0], [5, 0]], [0.9, 0.1], radius_px=5).tolist() == [True, True]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(point, st.integers(0, 4)), max_size=9), points, st.floats(0.5, 9))
def test_the_true_picks_above_any_threshold_are_as_many_as_pairs_can_be_made_of_them(scored, truth, radius):
    found = np.array([where for where, _ in scored]).reshape(-1, 2)
    scores = np.array([score for _, score in scored])
    true = true_by_score(found, truth, scores, radius_px=radius)
    for threshold in range(5):
        above = scores >= threshold
        assert true[above].sum() == len(match_points(found[above], truth, radius_px=radius).pairs)
