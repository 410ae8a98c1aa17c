"""Warnings about unusual micrographs."""

import numpy as np
import pytest

from cryopick.report.outliers import find_warnings, robust_z_scores
from cryopick.report.summary import MicrographSummary
from cryopick.runs.records import Outcome


def micrograph(picks, *, score=0.5, diameter=100.0, status="done", notes=()):
    outcome = Outcome(name="m", path="m", status=status, picks=picks, diameter=diameter, notes=list(notes), error="cut")
    return MicrographSummary("m", outcome, score if picks else None)


def test_z_scores_are_relative_to_the_median_and_the_median_absolute_deviation():
    # median 3, absolute deviations 2 1 0 1 97 with median 1, so one deviation is 1.4826
    assert robust_z_scores(np.array([1.0, 2, 3, 4, 100])).tolist() == pytest.approx(
        [-2 / 1.4826, -1 / 1.4826, 0, 1 / 1.4826, 97 / 1.4826]
    )


def test_a_least_deviation_keeps_almost_equal_values_usual():
    assert robust_z_scores(np.array([10.0, 10, 10, 14]), least=2.0).tolist() == [0, 0, 0, 2]
    assert robust_z_scores(np.array([10.0, 10, 10, 14])).tolist() == [0, 0, 0, 0]
    assert np.isnan(robust_z_scores(np.array([np.nan, 1.0]))[0])


def test_counts_may_scatter_as_much_as_counting_alone_predicts():
    # the standard deviation of counting is 10 at 100: 134 is 3.4 of them away, 136 is 3.6
    usual = [micrograph(100)] * 20
    assert find_warnings([*usual, micrograph(134)])[-1] == []
    assert find_warnings([*usual, micrograph(136)])[-1] == ["Far more particles than usual"]
    assert find_warnings([*usual, micrograph(64)])[-1] == ["Far fewer particles than usual"]


def test_each_kind_of_outlier_has_its_own_warning():
    usual = [micrograph(100)] * 20
    assert find_warnings([*usual, micrograph(0)])[-1] == ["No particles"]
    assert find_warnings([*usual, micrograph(0, status="failed")])[-1] == ["Failed: cut"]
    assert find_warnings([*usual, micrograph(100, score=0.3)])[-1] == ["Lower scores than usual"]
    assert find_warnings([*usual, micrograph(100, score=0.9)])[-1] == []
    assert find_warnings([*usual, micrograph(100, diameter=150.0)])[-1] == ["Larger diameter than usual"]
    assert find_warnings([*usual, micrograph(100, notes=["odd"])])[-1] == ["Warning: odd"]


def test_a_run_in_which_everything_failed_has_warnings():
    assert find_warnings([micrograph(0, status="failed")] * 2) == [["Failed: cut"]] * 2
