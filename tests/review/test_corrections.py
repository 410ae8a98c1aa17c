"""Corrections from other programs become edits of the review."""

from cryopick.review.corrections import apply_corrections
from cryopick.review.edits import Add, EditRequest, MarkBad, MarkReviewed, Move, Remove, SetThreshold
from cryopick.types import Picks

# Picks of 40 px: (100, 80), (200, 80), (300, 80), (100, 300), (500, 300), with scores 0.1, 0.3, 0.5, 0.7, 0.9
TRUTH = [(100.4, 80.0), (205.0, 80.0), (400.0, 200.0), (100.0, 321.0)]


def test_picks_are_kept_moved_removed_and_added_to_match_the_corrected_ones(review):
    assert apply_corrections(review, [Picks("b.mrc", TRUTH)]) == [1]
    edits = [edit for _, edit in review.edited_picks(1).history.done]
    assert edits[:2] == [Remove([2, 3, 4]), Move(1, 205.0, 80.0)]  # 21 px are more than half of 40
    assert [(edit.x, edit.y) for edit in edits[2:4] if isinstance(edit, Add)] == [(400.0, 200.0), (100.0, 321.0)]
    assert isinstance(edits[4], MarkReviewed)
    assert review.result(1).xy.tolist() == [[100, 80], [205, 80], [400, 200], [100, 321]]
    assert review.edited_picks(1).rejected().xy.tolist() == [[300, 80], [100, 300], [500, 300]]
    assert not review.edited_picks(0).was_edited


def test_applying_the_same_corrections_twice_changes_nothing(review):
    apply_corrections(review, [Picks("a.mrc", TRUTH)])
    number = review.entry_count
    assert apply_corrections(review, [Picks("a.mrc", TRUTH)]) == [0]
    assert review.entry_count == number


def test_a_micrograph_without_particles_is_reviewed_and_a_bad_one_stays_unchanged(review):
    review.submit(2, EditRequest("key-bad00", MarkBad(True)))
    assert apply_corrections(review, [Picks("a.mrc"), Picks("c.mrc", TRUTH)]) == [0]
    assert len(review.result(0)) == 0
    assert review.edited_picks(0).state.reviewed
    assert not review.edited_picks(2).state.reviewed


def test_a_particle_whose_pick_is_below_the_threshold_is_added(review):
    review.submit(0, EditRequest("key-least", SetThreshold(0.6)))
    apply_corrections(review, [Picks("a.mrc", [(100.0, 80.0), (500.0, 300.0)])])
    assert sorted(map(tuple, review.result(0).xy.tolist())) == [(100, 80), (500, 300)]
