"""Boxes become particles as the released program does it, and as it should be done."""

import json

import numpy as np
import pytest

from cryopick.detection.box_rules import select_boxes

FAR_APART = np.array([[0.1, 0.5, 0.1, 0.2], [0.5, 0.5, 0.1, 0.2], [0.9, 0.5, 0.1, 0.2], [0.9, 0.5, 0.1, 0.19]])


def logits(*particle: float) -> np.ndarray:
    return np.array([[value, 0.0] for value in particle])


def test_the_released_programs_rows_are_repeated(golden):
    case = json.loads((golden / "cryotransformer_postprocess.json").read_text())
    shape_hw = (case["height"], case["width"])
    kept = select_boxes(
        np.array(case["pred_logits"]),
        np.array(case["pred_boxes_cxcywh"]),
        shape_hw,
        scoring="published",
        quantile=case["quartile_threshold"],
        max_overlap=case["nms_threshold"],
    )
    expected = np.array(case["rows_x_y_class_psi_score"])[:, [0, 1, 4]]
    assert len(expected) == 28
    whole = np.trunc(kept.corners)  # the program writes middles of whole-pixel corners, and its y is height − y
    x, y = (whole[:, :2] + whole[:, 2:]).T / 2
    np.testing.assert_allclose(np.column_stack([x, case["height"] - y, kept.scores]), expected, atol=1e-5)


def test_a_box_is_kept_by_its_own_score_and_only_the_better_of_two_on_one_particle():
    # Softmax of (2, 0) is 1 / (1 + e^−2); the last two boxes share 19/20 of their area.
    kept = select_boxes(logits(2, -1, 1, 3), FAR_APART, (100, 200), threshold=0.5)
    assert kept.scores == pytest.approx([1 / (1 + np.exp(-3)), 1 / (1 + np.exp(-2))])
    assert kept.centres == pytest.approx(np.array([[180, 50], [20, 50]]))
    assert kept.corners[1] == pytest.approx([10, 40, 30, 60])
    assert kept.diameter_px == pytest.approx(20)


def test_without_a_threshold_the_lowest_quarter_goes():
    assert len(select_boxes(logits(4, 3, 2, 1), FAR_APART, (100, 200), max_overlap=1.0).scores) == 3


def test_no_queries_are_no_boxes():
    kept = select_boxes(np.zeros((0, 2)), np.zeros((0, 4)), (10, 10))
    assert len(kept.scores) == 0
    assert kept.diameter_px is None
