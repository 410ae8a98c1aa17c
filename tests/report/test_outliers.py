"""Where people are sent first."""

import numpy as np
import pytest

from cryopick.report.outliers import deviations, reasons
from cryopick.report.summary import Subject
from cryopick.runs.records import Outcome


def subject(picks, *, score=0.5, diameter=100.0, status="done", notes=()):
    outcome = Outcome(name="m", path="m", status=status, picks=picks, diameter=diameter, notes=list(notes), error="cut")
    return Subject("m", outcome, score if picks else None)


def test_deviations_are_of_the_median_by_the_median():
    # median 3, absolute deviations 2 1 0 1 97 with median 1, so one deviation is 1.4826
    assert deviations(np.array([1.0, 2, 3, 4, 100])).tolist() == pytest.approx(
        [-2 / 1.4826, -1 / 1.4826, 0, 1 / 1.4826, 97 / 1.4826]
    )


def test_a_least_deviation_keeps_small_differences_small():
    assert deviations(np.array([10.0, 10, 10, 14]), least=2.0).tolist() == [0, 0, 0, 2]
    assert deviations(np.array([10.0, 10, 10, 14])).tolist() == [0, 0, 0, 0]
    assert np.isnan(deviations(np.array([np.nan, 1.0]))[0])


def test_counts_may_scatter_as_much_as_chance_has_them():
    # around 100 the deviation of chance is 10: 134 is 3.4 of them away, 136 is 3.6
    usual = [subject(100)] * 20
    assert reasons([*usual, subject(134)])[-1] == []
    assert reasons([*usual, subject(136)])[-1] == ["Far more particles than usual"]
    assert reasons([*usual, subject(64)])[-1] == ["Far fewer particles than usual"]


def test_each_kind_of_trouble_has_its_reason():
    usual = [subject(100)] * 20
    assert reasons([*usual, subject(0)])[-1] == ["No particles"]
    assert reasons([*usual, subject(0, status="failed")])[-1] == ["Failed: cut"]
    assert reasons([*usual, subject(100, score=0.3)])[-1] == ["Scores lower than usual"]
    assert reasons([*usual, subject(100, score=0.9)])[-1] == []
    assert reasons([*usual, subject(100, diameter=150.0)])[-1] == ["Diameter larger than usual"]
    assert reasons([*usual, subject(100, notes=["odd"])])[-1] == ["Warning: odd"]


def test_a_run_of_failures_alone_has_reasons_too():
    assert reasons([subject(0, status="failed")] * 2) == [["Failed: cut"]] * 2
