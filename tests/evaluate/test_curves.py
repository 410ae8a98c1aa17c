"""Curves from scores, worked out by hand."""

import numpy as np
import pytest

from cryopick.evaluate.curves import precision_recall, reliability


def test_precision_recall_and_f1_at_every_distinct_score():
    # Best first: true, false, true, true, false; five particles were there.
    curve = precision_recall([0.2, 0.9, 0.5, 0.7, 0.4], [False, True, True, False, True], 5)
    assert curve.thresholds.tolist() == [0.9, 0.7, 0.5, 0.4, 0.2]
    assert curve.precision == pytest.approx([1, 1 / 2, 2 / 3, 3 / 4, 3 / 5])
    assert curve.recall == pytest.approx([1 / 5, 1 / 5, 2 / 5, 3 / 5, 3 / 5])
    assert curve.f1 == pytest.approx([2 / 6, 2 / 7, 4 / 8, 6 / 9, 6 / 10])


def test_average_precision_takes_the_best_precision_at_each_recall_or_beyond():
    # Recall rises by 1/5 at precisions 1, 2/3 and 3/4; of the last two the better, 3/4, lies beyond: (1 + 3/4 + 3/4) / 5.
    curve = precision_recall([0.9, 0.7, 0.5, 0.4, 0.2], [True, False, True, True, False], 5)
    assert curve.average_precision == pytest.approx((1 + 0.75 + 0.75) / 5)


def test_average_precision_is_one_for_a_perfect_order_and_nought_without_true_picks():
    assert precision_recall([0.9, 0.8, 0.1], [True, True, False], 2).average_precision == 1
    assert precision_recall([0.9, 0.8], [False, False], 2).average_precision == 0


def test_picks_of_one_score_come_in_together():
    curve = precision_recall([0.5, 0.5, 0.5], [True, False, True], 4)
    assert curve.thresholds.tolist() == [0.5]
    assert curve.precision.tolist() == [2 / 3]
    assert curve.recall.tolist() == [0.5]


def test_the_best_threshold_is_the_highest_of_those_with_the_best_f1():
    # F1: 2/3 at 0.9 (1 of 1, of 2), 1/2 at 0.8, 2/5 at 0.7, 2·2/(4+2) = 2/3 again at 0.6.
    curve = precision_recall([0.9, 0.8, 0.7, 0.6], [True, False, False, True], 2)
    assert curve.f1[[0, 3]] == pytest.approx([2 / 3, 2 / 3])
    assert curve.best == 0


def test_scores_need_not_be_probabilities():
    curve = precision_recall([-4.0, 12.0], [False, True], 1)
    assert curve.thresholds.tolist() == [12, -4]
    assert reliability([-4.0, 12.0], [False, True]) is None


def test_reliability_compares_scores_with_how_often_they_are_right():
    # Bins of a half: 0.1 and 0.3 (one right of two), 0.5, 0.9 and 1.0 (two right of three).
    bins = reliability([0.1, 0.3, 0.5, 0.9, 1.0], [False, True, False, True, True], bins=2)
    assert bins is not None
    assert bins.mean_score == pytest.approx([0.2, 0.8])
    assert bins.fraction_true == pytest.approx([1 / 2, 2 / 3])
    assert bins.count.tolist() == [2, 3]
    assert bins.expected_error == pytest.approx((2 * 0.3 + 3 * (0.8 - 2 / 3)) / 5)


def test_bins_without_picks_are_omitted():
    bins = reliability([0.05, 0.95], [False, True])
    assert bins is not None
    assert bins.count.tolist() == [1, 1]
    assert np.isfinite(bins.expected_error)


def test_no_picks_have_no_reliability():
    assert reliability([], []) is None
