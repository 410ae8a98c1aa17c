"""What edits make of picks, by hand on five picks in a row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryopick.review.edits import Add, Erase, MarkBad, MarkReviewed, Move, Paint, Remove, SetThreshold
from cryopick.review.micrograph import Sheet, fold, painted
from cryopick.types import Picks

ROW = Picks("a.mrc", [(0, 0), (10, 0), (20, 0), (30, 0), (40, 0)], [0.1, 0.2, 0.3, 0.4, 0.5])


def left(*edits, threshold=None):
    state = fold(ROW, edits)
    return state.numbers[state.kept(threshold)].tolist()


def test_without_edits_the_original_picks_are_left():
    assert left() == [0, 1, 2, 3, 4]
    assert left(threshold=0.3) == [2, 3, 4]


def test_a_pick_at_the_threshold_stays_although_scores_are_float32():
    assert left(threshold=0.2) == [1, 2, 3, 4]


def test_picks_that_were_set_or_moved_by_hand_are_above_every_threshold():
    assert left(Add(5, 5, 5), Move(0, 1, 1), threshold=0.45) == [0, 4, 5]


def test_an_area_takes_the_picks_that_lie_in_it_and_gives_back_those_alone():
    area = Paint(3.0, [(8.0, 0.0), (22.0, 0.0)], 9)
    assert left(area) == [0, 3, 4]
    assert left(Remove([1]), area) == [0, 3, 4]
    assert left(Remove([1]), area, Erase(9)) == [0, 2, 3, 4]


def test_a_pick_that_is_set_into_a_bad_area_later_stays():
    assert left(Paint(3.0, [(10.0, 0.0)], 9), Add(11, 0, 10)) == [0, 2, 3, 4, 10]


def test_the_threshold_of_a_reviewed_micrograph_is_its_own_until_the_mark_is_taken_off():
    reviewed = MarkReviewed(True, 0.4)
    assert left(reviewed, threshold=0.2) == [3, 4]
    assert left(reviewed, SetThreshold(0.5), threshold=0.2) == [4]
    assert left(reviewed, MarkReviewed(False), threshold=0.2) == [1, 2, 3, 4]
    assert fold(ROW, [MarkBad(True), MarkBad(False), MarkBad(True)]).bad


@pytest.mark.parametrize(
    ("points", "inside"),
    [
        ([(0.0, 0.0)], [True, False, False, False]),
        ([(0.0, 0.0), (0.0, 0.0)], [True, False, False, False]),
        ([(-5.0, 0.0), (5.0, 0.0)], [True, True, False, False]),
        ([(-5.0, 0.0), (5.0, 0.0), (5.0, 9.0)], [True, True, True, False]),
    ],
)
def test_a_stroke_holds_what_is_no_further_from_it_than_its_radius(points, inside):
    xy = np.array([(0, 2), (7, 0), (3, 5), (5, 11.5)])
    assert painted(xy, Paint(2.0, points)).tolist() == inside


def test_picks_by_hand_get_the_best_score_and_picks_without_scores_stay_without():
    scored, bare = Sheet(ROW), Sheet(Picks("a.mrc", ROW.xy))
    high = Sheet(Picks("a.mrc", ROW.xy, [1, 2, 3, 4, 5]))
    for sheet in (scored, bare, high):
        sheet.make(0, sheet.numbered(Add(5, 5)))
    assert scored.result(0.4).scores.tolist() == pytest.approx([0.4, 0.5, 1.0])
    assert bare.result(0.4).scores is None
    assert high.result(5.0).scores.tolist() == [5.0, 5.0]


def test_numbers_are_never_given_twice_even_after_an_undo():
    sheet = Sheet(ROW)
    sheet.make(0, sheet.numbered(Add(1, 1)))
    sheet.history.undo(1)
    assert sheet.numbered(Add(2, 2)) == Add(2, 2, 6)
    assert sheet.numbered(Paint(1.0, [(0.0, 0.0)])).area == 6


def test_what_is_left_of_an_edit_on_an_older_state():
    sheet = Sheet(ROW)
    sheet.make(0, Remove([1, 2]))
    assert sheet.still_means(Remove([1, 3, 3])) == Remove([3])
    assert sheet.still_means(Remove([1, 2])) is None
    assert sheet.still_means(Move(2, 0, 0)) is None
    assert sheet.still_means(Move(99, 0, 0)) is None
    assert sheet.still_means(Erase(4)) is None
    assert sheet.still_means(MarkBad(True)) == MarkBad(True)


EDITS = st.one_of(
    st.builds(Add, st.floats(0, 40), st.floats(0, 5)),
    st.builds(Move, st.integers(0, 8), st.floats(0, 40), st.floats(0, 5)),
    st.builds(Remove, st.lists(st.integers(0, 8), min_size=1, max_size=4)),
    st.builds(Paint, st.floats(0.5, 20), st.lists(st.tuples(st.floats(0, 40), st.floats(0, 5)), min_size=1, max_size=3)),
    st.builds(Erase, st.integers(5, 9)),
    st.builds(MarkReviewed, st.booleans(), st.none() | st.floats(0, 1)),
)


@given(st.lists(EDITS, max_size=12))
def test_undoing_everything_gives_the_original_and_redoing_everything_the_result(edits):
    sheet = Sheet(ROW)
    for number, edit in enumerate(edits):
        if (meant := sheet.still_means(edit)) is not None:
            sheet.make(number, sheet.numbered(meant))
    end, made = sheet.result(0.2).xy.tolist(), len(sheet.history.done)
    for number in range(made):
        sheet.history.undo(100 + number)
    assert sheet.result(None).xy.tolist() == ROW.xy.tolist()
    for number in range(made):
        sheet.history.redo(200 + number)
    assert sheet.result(0.2).xy.tolist() == end
