"""Edits of five picks in a row, checked by hand."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryopick.review.edits import Add, Erase, MarkBad, MarkReviewed, Move, Paint, Remove, SetThreshold
from cryopick.review.micrograph import EditedPicks, apply_edits, inside_area
from cryopick.types import Picks

ROW = Picks("a.mrc", [(0, 0), (10, 0), (20, 0), (30, 0), (40, 0)], [0.1, 0.2, 0.3, 0.4, 0.5])


def kept(*edits, threshold=None):
    state = apply_edits(ROW, edits)
    return state.numbers[state.kept(threshold)].tolist()


def test_without_edits_the_original_picks_are_kept():
    assert kept() == [0, 1, 2, 3, 4]
    assert kept(threshold=0.3) == [2, 3, 4]


def test_a_pick_at_the_threshold_is_kept_although_scores_are_float32():
    assert kept(threshold=0.2) == [1, 2, 3, 4]


def test_picks_added_or_moved_by_hand_pass_every_threshold():
    assert kept(Add(5, 5, 5), Move(0, 1, 1), threshold=0.45) == [0, 4, 5]


def test_a_bad_area_removes_its_picks_and_erasing_it_restores_only_those():
    area = Paint(3.0, [(8.0, 0.0), (22.0, 0.0)], 9)
    assert kept(area) == [0, 3, 4]
    assert kept(Remove([1]), area) == [0, 3, 4]
    assert kept(Remove([1]), area, Erase(9)) == [0, 2, 3, 4]


def test_a_pick_added_to_a_bad_area_later_stays():
    assert kept(Paint(3.0, [(10.0, 0.0)], 9), Add(11, 0, 10)) == [0, 2, 3, 4, 10]


def test_a_reviewed_micrograph_keeps_its_threshold_until_it_is_unmarked():
    reviewed = MarkReviewed(True, 0.4)
    assert kept(reviewed, threshold=0.2) == [3, 4]
    assert kept(reviewed, SetThreshold(0.5), threshold=0.2) == [4]
    assert kept(reviewed, MarkReviewed(False), threshold=0.2) == [1, 2, 3, 4]
    assert apply_edits(ROW, [MarkBad(True), MarkBad(False), MarkBad(True)]).bad


@pytest.mark.parametrize(
    ("points", "inside"),
    [
        ([(0.0, 0.0)], [True, False, False, False]),
        ([(0.0, 0.0), (0.0, 0.0)], [True, False, False, False]),
        ([(-5.0, 0.0), (5.0, 0.0)], [True, True, False, False]),
        ([(-5.0, 0.0), (5.0, 0.0), (5.0, 9.0)], [True, True, True, False]),
    ],
)
def test_an_area_contains_the_points_within_its_radius_of_its_line(points, inside):
    xy = np.array([(0, 2), (7, 0), (3, 5), (5, 11.5)])
    assert inside_area(xy, Paint(2.0, points)).tolist() == inside


def test_added_picks_get_the_highest_score_unless_picks_have_none():
    scored, bare = EditedPicks(ROW), EditedPicks(Picks("a.mrc", ROW.xy))
    high = EditedPicks(Picks("a.mrc", ROW.xy, [1, 2, 3, 4, 5]))
    for edited in (scored, bare, high):
        edited.add(0, edited.with_number(Add(5, 5)))
    assert scored.result(0.4).scores.tolist() == pytest.approx([0.4, 0.5, 1.0])
    assert bare.result(0.4).scores is None
    assert high.result(5.0).scores.tolist() == [5.0, 5.0]


def test_numbers_are_not_reused_even_after_an_undo():
    edited = EditedPicks(ROW)
    edited.add(0, edited.with_number(Add(1, 1)))
    edited.history.undo(1)
    assert edited.with_number(Add(2, 2)) == Add(2, 2, 6)
    assert edited.with_number(Paint(1.0, [(0.0, 0.0)])).area == 6


def test_an_edit_of_an_older_state_applies_to_what_is_still_there():
    edited = EditedPicks(ROW)
    edited.add(0, Remove([1, 2]))
    assert edited.applicable(Remove([1, 3, 3])) == Remove([3])
    assert edited.applicable(Remove([1, 2])) is None
    assert edited.applicable(Move(2, 0, 0)) is None
    assert edited.applicable(Move(99, 0, 0)) is None
    assert edited.applicable(Erase(4)) is None
    assert edited.applicable(MarkBad(True)) == MarkBad(True)


EDITS = st.one_of(
    st.builds(Add, st.floats(0, 40), st.floats(0, 5)),
    st.builds(Move, st.integers(0, 8), st.floats(0, 40), st.floats(0, 5)),
    st.builds(Remove, st.lists(st.integers(0, 8), min_size=1, max_size=4)),
    st.builds(Paint, st.floats(0.5, 20), st.lists(st.tuples(st.floats(0, 40), st.floats(0, 5)), min_size=1, max_size=3)),
    st.builds(Erase, st.integers(5, 9)),
    st.builds(MarkReviewed, st.booleans(), st.none() | st.floats(0, 1)),
)


@given(st.lists(EDITS, max_size=12))
def test_undoing_everything_restores_the_original_and_redoing_everything_the_result(edits):
    edited = EditedPicks(ROW)
    for number, edit in enumerate(edits):
        if (meant := edited.applicable(edit)) is not None:
            edited.add(number, edited.with_number(meant))
    end, made = edited.result(0.2).xy.tolist(), len(edited.history.done)
    for number in range(made):
        edited.history.undo(100 + number)
    assert edited.result(None).xy.tolist() == ROW.xy.tolist()
    for number in range(made):
        edited.history.redo(200 + number)
    assert edited.result(0.2).xy.tolist() == end


@given(st.lists(EDITS | st.sampled_from(["undo", "redo", "look"]), max_size=20))
def test_edits_one_by_one_give_what_all_of_them_give_at_once(steps):
    edited = EditedPicks(ROW)
    for number, step in enumerate(steps):
        if step == "look":
            edited.state  # noqa: B018
        elif step == "undo" and edited.history.done:
            edited.history.undo(number)
        elif step == "redo" and edited.history.undone:
            edited.history.redo(number)
        elif not isinstance(step, str) and (meant := edited.applicable(step)) is not None:
            edited.add(number, edited.with_number(meant))
    state, expected = edited.state, apply_edits(ROW, [edit for _, edit in edited.history.done])
    for name in ("numbers", "xy", "scores", "by_hand", "present"):
        np.testing.assert_array_equal(getattr(state, name), getattr(expected, name))
    for name in ("areas", "bad", "reviewed", "threshold"):
        assert getattr(state, name) == getattr(expected, name)


def test_each_stroke_is_applied_once_however_many_there_are(monkeypatch):
    computed = []

    def counting(xy, area):
        computed.append(area.area)
        return inside_area(xy, area)

    monkeypatch.setattr("cryopick.review.micrograph.inside_area", counting)
    edited = EditedPicks(ROW)
    for number in range(30):
        edited.add(number, edited.with_number(Paint(1.0, [(0.0, float(number))])))
        assert len(edited.state.areas) == number + 1
    edited.history.undo(30)
    assert len(edited.state.areas) == 29
    assert computed == list(range(5, 35))


UNFIT = [Move(9, 1, 1), Remove([0, 9]), Erase(9), Add(1, 1, 0), Add(1, 1, 2**60), Paint(1.0, [(0.0, 0.0)], 2**60)]


@pytest.mark.parametrize("edit", UNFIT)
def test_an_edit_that_does_not_fit_is_refused_and_changes_nothing(edit):
    edited = EditedPicks(ROW)
    with pytest.raises((LookupError, ValueError)):
        edited.add(0, edit)
    assert edited.history.done == []
    assert edited.state.present.tolist() == [True] * 5


@given(st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=1, max_size=6), st.floats(0.1, 30))
def test_an_area_is_the_same_whether_far_picks_are_looked_at_or_not(points, radius):
    rng = np.random.default_rng(0)
    xy = rng.uniform(-90, 90, (200, 2))
    line = np.array(points)
    distance = np.full(200, np.inf)
    for start, end in pairwise(line) if len(line) > 1 else [(line[0], line[0])]:
        for along in np.linspace(0, 1, 2001):
            distance = np.minimum(distance, np.hypot(*(xy - start - along * (end - start)).T))
    inside, clear = inside_area(xy, Paint(radius, points)), np.abs(distance - radius) > 0.05
    np.testing.assert_array_equal(inside[clear], (distance <= radius)[clear])
