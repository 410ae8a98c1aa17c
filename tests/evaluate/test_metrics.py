"""Evaluation over micrographs, with counts worked out by hand."""

import numpy as np
import pytest

from cryopick.errors import CryopickError, NameMatchError, SettingError
from cryopick.evaluate import Evaluation, evaluate_picks
from cryopick.types import Picks

SHAPE = (100, 200)


def counts(evaluation: Evaluation) -> tuple[int, int, int]:
    pooled = evaluation.counts
    return pooled.true_positive, pooled.false_positive, pooled.false_negative


def test_pooled_numbers_weigh_particles_and_means_weigh_micrographs():
    # a: 1 of 1 found, no false. b: 1 of 4 found, 1 false.
    truth = [Picks("a", [[10, 10]]), Picks("b", [[10, 10], [30, 10], [50, 10], [70, 10]])]
    found = [Picks("a", [[11, 10]]), Picks("b", [[10, 12], [90, 90]])]
    evaluation = evaluate_picks(found, truth, diameter=10)
    assert counts(evaluation) == (2, 1, 3)
    assert (evaluation.precision, evaluation.recall) == (2 / 3, 2 / 5)
    assert evaluation.f1 == pytest.approx(2 * (2 / 3) * (2 / 5) / (2 / 3 + 2 / 5))
    assert (evaluation.mean_precision, evaluation.mean_recall) == (3 / 4, 5 / 8)
    assert evaluation.mean_f1 == pytest.approx((1 + 2 * 1 / (2 + 4)) / 2)
    assert evaluation.errors_px.tolist() == [1, 2]
    assert evaluation.errors_angstrom is None
    assert [one.name for one in evaluation.per_micrograph] == ["a", "b"]


def test_a_micrograph_without_found_picks_has_missed_all_of_its_particles():
    evaluation = evaluate_picks([Picks("a", [[10, 10]])], [Picks("a", [[10, 10]]), Picks("b", [[1, 1], [2, 2]])], diameter=5)
    assert counts(evaluation) == (1, 0, 2)
    # No pick of b is right or wrong: its precision is unknown and left out of the mean; its recall and F1 are 0.
    assert (evaluation.mean_precision, evaluation.mean_recall, evaluation.mean_f1) == (1, 0.5, 0.5)


def test_picks_on_a_micrograph_without_particles_are_all_false():
    evaluation = evaluate_picks([Picks("a", [[10, 10], [20, 20]])], [Picks("a")])
    assert counts(evaluation) == (0, 2, 0)
    assert evaluation.precision == 0
    assert np.isnan(evaluation.recall)


def test_picks_on_a_micrograph_without_ground_truth_are_named_and_not_counted():
    evaluation = evaluate_picks([Picks("a", [[1, 1]]), Picks("other", [[5, 5]])], [Picks("a", [[1, 1]])], diameter=5)
    assert counts(evaluation) == (1, 0, 0)
    assert evaluation.without_truth == ("other",)


def test_names_match_without_folder_extension_and_cryosparc_prefix():
    truth = [Picks("data/mic_1.mrc", [[1, 1]]), Picks("mic_2.mrc", [[1, 1]])]
    found = [Picks("000001281467243737059_mic_1.mrc", [[1, 1]]), Picks("mic_2", [[1, 1]])]
    evaluation = evaluate_picks(found, truth, diameter=5)
    assert counts(evaluation) == (2, 0, 0)
    assert [one.name for one in evaluation.per_micrograph] == ["data/mic_1.mrc", "mic_2.mrc"]


def test_names_without_any_match_are_an_error_and_not_a_score_of_zero():
    with pytest.raises(NameMatchError, match=r"'mic_9'.*'mic_1\.mrc'"):
        evaluate_picks([Picks("mic_9", [[1, 1]])], [Picks("mic_1.mrc", [[1, 1]])], diameter=5)


def test_a_name_that_matches_two_micrographs_of_the_ground_truth_is_an_error():
    with pytest.raises(NameMatchError):
        evaluate_picks([Picks("m", [[1, 1]])], [Picks("a/m.mrc", [[1, 1]]), Picks("b/m.mrc", [[1, 1]])], diameter=5)


def test_one_micrograph_in_two_lists_is_an_error():
    with pytest.raises(NameMatchError, match="twice"):
        evaluate_picks([Picks("m", [[1, 1]]), Picks("m", [[2, 1]])], [Picks("m", [[1, 1]])], diameter=5)


def test_without_picks_and_ground_truth_scores_are_nan():
    evaluation = evaluate_picks([], [Picks("a")])
    assert counts(evaluation) == (0, 0, 0)
    assert np.isnan([evaluation.precision, evaluation.recall, evaluation.f1, evaluation.mean_f1]).all()
    assert evaluation.curve is None


# 20 px apart with a tolerance of half of 50 px is near; 30 px is not.
@pytest.mark.parametrize(
    ("found_diameter", "true_diameter", "option", "near"),
    [(60, 30, None, False), (30, 60, None, True), (60, None, None, True), (60, 60, 30, False), (30, 30, 60, True)],
)
def test_the_diameter_is_the_given_one_else_that_of_the_ground_truth_else_of_the_picks(
    found_diameter, true_diameter, option, near
):
    found = Picks("a", [[0, 0]], diameter=found_diameter)
    truth = Picks("a", [[20, 0]], diameter=true_diameter)
    assert len(evaluate_picks([found], [truth], diameter=option).per_micrograph[0].match.pairs) == near


def test_the_tolerance_is_a_part_of_the_diameter():
    found, truth = [Picks("a", [[0, 0]])], [Picks("a", [[20, 0]])]
    assert evaluate_picks(found, truth, diameter=100, tolerance=0.21).f1 == 1
    assert evaluate_picks(found, truth, diameter=100, tolerance=0.2).f1 == 0


def test_a_given_diameter_is_in_angstrom_where_either_side_knows_the_pixel_size():
    # 20 px at 2 Å/px are 40 Å.
    found, truth = [Picks("a", [[0, 0]], pixel_size=2.0)], [Picks("a", [[20, 0]])]
    assert evaluate_picks(found, truth, diameter=82).f1 == 1
    assert evaluate_picks(found, truth, diameter=78).f1 == 0
    errors = evaluate_picks(found, truth, diameter=82).errors_angstrom
    assert errors is not None
    assert errors.tolist() == [40]


def test_errors_in_angstrom_need_the_pixel_sizes_of_micrographs_with_pairs_only():
    truth = [Picks("a", [[0, 0]], pixel_size=2.0), Picks("b", [[0, 0]])]
    errors = evaluate_picks([Picks("a", [[3, 4]])], truth, diameter=24).errors_angstrom
    assert errors is not None
    assert errors.tolist() == [10]
    assert evaluate_picks([Picks("a", [[3, 4]]), Picks("b", [[0, 1]])], truth, diameter=24).errors_angstrom is None


def test_an_unknown_diameter_is_an_error_that_names_the_micrograph():
    with pytest.raises(CryopickError, match=r"mic_7.*diameter"):
        evaluate_picks([Picks("mic_7", [[0, 0]])], [Picks("mic_7", [[0, 0]])])


def test_particles_and_picks_in_the_border_do_not_count():
    # 100 rows, 200 columns, border 20: x from 20 to 179, y from 20 to 79 counts.
    truth = Picks("a", [[50, 50], [10, 50], [190, 50], [50, 90], [179, 79], [180, 79]], shape_hw=SHAPE)
    found = Picks("a", [[50, 51], [100, 3], [100, 50]])
    assert counts(evaluate_picks([found], [truth], diameter=8, border=20)) == (1, 1, 1)


def test_a_pick_just_in_the_border_finds_a_particle_just_outside_of_it():
    truth, found = Picks("a", [[21, 50]], shape_hw=SHAPE), Picks("a", [[18, 50]])
    assert counts(evaluate_picks([found], [truth], diameter=10, border=20)) == (1, 0, 0)


def test_a_pick_just_outside_of_the_border_on_a_particle_in_it_is_not_false():
    truth, found = Picks("a", [[18, 50]], shape_hw=SHAPE), Picks("a", [[21, 50]])
    assert counts(evaluate_picks([found], [truth], diameter=10, border=20)) == (0, 0, 0)


def test_a_pick_near_particles_on_both_sides_of_the_line_counts_for_the_one_that_counts():
    truth, found = Picks("a", [[18, 50], [24, 50]], shape_hw=SHAPE), Picks("a", [[20, 50]])
    assert counts(evaluate_picks([found], [truth], diameter=10, border=20)) == (1, 0, 0)


def test_a_second_pick_across_the_line_is_a_duplicate_still():
    truth, found = Picks("a", [[21, 50]], shape_hw=SHAPE), Picks("a", [[18, 50], [21, 50]])
    evaluation = evaluate_picks([found], [truth], diameter=10, border=20)
    assert counts(evaluation) == (1, 1, 0)
    assert evaluation.duplicates == 1


def test_the_shape_may_come_from_the_picks_and_its_absence_is_an_error():
    truth, found = Picks("a", [[5, 5]]), Picks("a", [[5, 5]], shape_hw=SHAPE)
    assert counts(evaluate_picks([found], [truth], diameter=10, border=20)) == (0, 0, 0)
    with pytest.raises(CryopickError, match="shape"):
        evaluate_picks([truth], [truth], diameter=10, border=20)


@pytest.mark.parametrize("wrong", [{"tolerance": 0}, {"diameter": -1}, {"border": -1}, {"border": np.nan}, {"diameter": np.nan}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(SettingError):
        evaluate_picks([Picks("a", [[0, 0]])], [Picks("a", [[0, 0]])], **{"diameter": 5, **wrong})


def test_a_threshold_keeps_picks_of_its_own_score():
    truth, found = Picks("a", [[0, 0], [50, 0]]), Picks("a", [[0, 0], [50, 0], [90, 0]], [0.8, 0.3, 0.1])
    assert counts(evaluate_picks([found], [truth], diameter=5, threshold=0.3)) == (2, 0, 0)
    assert counts(evaluate_picks([found], [truth], diameter=5, threshold=0.31)) == (1, 0, 1)


def test_a_threshold_is_compared_in_the_precision_of_scores():
    # 0.7 as float32 is 0.69999999, which is less than 0.7 as float64.
    found, truth = [Picks("a", [[0, 0]], [0.7])], [Picks("a", [[0, 0]])]
    assert counts(evaluate_picks(found, truth, diameter=5, threshold=np.float64(0.7))) == (1, 0, 0)


def test_a_threshold_without_scores_is_an_error():
    with pytest.raises(SettingError, match="scores"):
        evaluate_picks([Picks("a", [[0, 0]])], [Picks("a", [[0, 0]])], diameter=5, threshold=0.5)


def test_the_curve_agrees_with_evaluation_at_each_threshold(rng):
    # Scores in steps of a tenth, so that many picks share one; crowded, so that picks contest for particles across the border.
    truth = [Picks(name, rng.uniform(0, 100, (40, 2)), shape_hw=(100, 100)) for name in "ab"]
    found = [Picks(name, rng.uniform(0, 100, (60, 2)), rng.integers(0, 10, 60) / 10) for name in "ab"]
    curve = evaluate_picks(found, truth, diameter=30, border=20).curve
    assert curve is not None
    assert len(curve.thresholds) == 10
    for index, threshold in enumerate(curve.thresholds):
        one = evaluate_picks(found, truth, diameter=30, border=20, threshold=threshold)
        assert curve.precision[index] == pytest.approx(one.precision)
        assert curve.recall[index] == pytest.approx(one.recall)
        assert curve.f1[index] == pytest.approx(one.f1)


def test_the_curve_counts_the_particles_of_micrographs_without_picks():
    truth = [Picks("a", [[0, 0]]), Picks("b", [[0, 0], [20, 0], [40, 0]])]
    curve = evaluate_picks([Picks("a", [[0, 0]], [0.5])], truth, diameter=5).curve
    assert curve is not None
    assert (curve.precision.tolist(), curve.recall.tolist()) == ([1], [1 / 4])


def test_there_is_no_curve_when_some_picks_have_no_score():
    truth = [Picks("a", [[0, 0]]), Picks("b", [[0, 0]])]
    assert evaluate_picks([Picks("a", [[0, 0]], [0.5]), Picks("b", [[0, 0]])], truth, diameter=5).curve is None
    assert evaluate_picks([Picks("a", [[0, 0]], [0.5]), Picks("b")], truth, diameter=5).curve is not None


def test_the_order_of_micrographs_and_picks_changes_nothing(rng):
    truth = [Picks(name, rng.uniform(0, 100, (30, 2))) for name in "abc"]
    found = [Picks(name, rng.uniform(0, 100, (30, 2)), rng.uniform(0, 1, 30)) for name in "abc"]
    one = evaluate_picks(found, truth, diameter=20)
    other = evaluate_picks([p.where(rng.permutation(30)) for p in found[::-1]], truth[::-1], diameter=20)
    assert counts(one) == counts(other)
    assert one.duplicates == other.duplicates
    assert one.curve is not None
    assert other.curve is not None
    assert one.curve.average_precision == pytest.approx(other.curve.average_precision)
    assert np.sort(one.errors_px) == pytest.approx(np.sort(other.errors_px))
