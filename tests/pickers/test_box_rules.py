"""Post-processing of boxes: equal to the published program where it works, and steady where it does not."""

import json

import numpy as np
import pytest

from cryopick.pickers.box_rules import centres, published_rules, robust_rules

CASES = [
    "square_4096",
    "wide_3838x3710",
    "tie_of_modes",
    "small_image_512x640",
    "one_mask",
    "one_good_one_bad",
    "all_bad",
    "no_masks",
]


def discs(sides, *, step=50, start=20):
    """Square boxes in a row, 50 pixels apart, with the given sides in pixels."""
    left = start + step * np.arange(len(sides))
    sides = np.asarray(sides)
    return np.stack([left, np.full(len(sides), 60), left + sides - 1, 60 + sides - 1], axis=1)


@pytest.mark.parametrize("name", CASES)
def test_the_published_rules_write_the_published_rows(golden, name):
    cases = json.loads((golden / "cryosegnet_postprocess.json").read_text())["cases"]
    assert [case["case"] for case in cases] == CASES
    case = next(case for case in cases if case["case"] == name)
    corner_and_size = np.array([mask["bbox"] for mask in case["masks"]], np.int64).reshape(-1, 4)
    boxes = np.concatenate([corner_and_size[:, :2], corner_and_size[:, :2] + corner_and_size[:, 2:]], axis=1)
    iou = np.array([mask["predicted_iou"] for mask in case["masks"]], np.float32)
    scale = (case["width"] / case["network_side"], case["height"] / case["network_side"])

    found = published_rules(boxes, iou, scale_xy=scale)

    # The published program multiplies centres by the scale, forgets the half pixel and cuts the decimals.
    xy = np.trunc(centres(boxes[found.kept]) * scale).astype(int)
    assert [[*point, found.diameter_px] for point in xy.tolist()] == case["rows_x_y_diameter"]


def test_of_two_modes_the_first_met_wins_and_the_tolerance_is_asymmetric():
    # Sides (last - first) 10, 20, 20, 10, 11, 9: mode 10, diagonal 14.1, radius 7, th 1.4, so 9.53 < side < 11.4 passes.
    boxes = discs([11, 21, 21, 11, 12, 10])
    found = published_rules(boxes, np.full(6, 0.95, np.float32), scale_xy=(1, 1))
    assert found.kept.tolist() == [0, 3, 4]
    assert found.diameter_px == 14


def test_a_predicted_iou_of_exactly_the_limit_is_not_above_it():
    found = published_rules(discs([11, 11]), np.array([0.94, 0.9401], np.float64), scale_xy=(1, 1))
    assert found.kept.tolist() == [1]


def test_robust_rules_leave_out_pieces_clumps_and_chains():
    boxes = discs([30, 31, 29, 30, 30, 12, 49])
    chain = np.array([[20, 200, 49, 290]])  # 30 × 91
    found = robust_rules(np.concatenate([boxes, chain]), np.ones(8, np.float32), shape_hw=(400, 400), scale_xy=(1, 1))
    assert found.kept.tolist() == [0, 1, 2, 3, 4]
    assert found.diameter_px == 30


def test_robust_rules_do_not_depend_on_the_size_of_the_micrograph():
    boxes = discs([30, 33, 28, 36, 24, 30])
    small, large = (robust_rules(boxes, np.ones(6, np.float32), shape_hw=(400, 400), scale_xy=(scale, scale)) for scale in (1, 8))
    assert small.kept.tolist() == large.kept.tolist()
    assert large.diameter_px == 8 * small.diameter_px


def test_a_known_diameter_rules_over_the_crowd():
    # Most boxes are 60 wide; the particle is known to be 30 map pixels = 60 home pixels across.
    boxes = discs([60, 60, 60, 30, 31], step=70)
    found = robust_rules(boxes, np.ones(5, np.float32), shape_hw=(400, 400), scale_xy=(2, 2), diameter_px=60)
    assert found.kept.tolist() == [3, 4]
    assert found.diameter_px == 60


def test_boxes_cut_by_the_edge_neither_pass_nor_shift_the_median():
    whole = discs([40, 40], start=100)
    cut = np.array([[0, 10, 19, 49], [10, 0, 49, 19], [380, 10, 399, 49], [10, 280, 49, 299]])
    found = robust_rules(np.concatenate([cut, whole]), np.ones(6, np.float32), shape_hw=(300, 400), scale_xy=(1, 1))
    assert found.kept.tolist() == [4, 5]
    assert found.diameter_px == 40


def test_low_scores_do_not_pass():
    found = robust_rules(discs([30, 30]), np.array([0.4, 0.6], np.float32), shape_hw=(400, 400), scale_xy=(1, 1), min_score=0.5)
    assert found.kept.tolist() == [1]


def test_sides_of_a_squeezed_map_are_measured_in_home_pixels():
    # 20 × 40 map pixels of 2 × 1 home pixels are a square of 40.
    box = np.array([[10, 10, 29, 49]])
    found = robust_rules(box, np.ones(1, np.float32), shape_hw=(100, 100), scale_xy=(2, 1), diameter_px=40, tolerance=0.01)
    assert found.kept.tolist() == [0]


@pytest.mark.parametrize("diameter", [None, 50.0])
def test_no_boxes_give_no_particles(diameter):
    boxes, scores = np.zeros((0, 4), np.int64), np.zeros(0, np.float32)
    assert len(published_rules(boxes, scores, scale_xy=(4, 4)).kept) == 0
    found = robust_rules(boxes, scores, shape_hw=(9, 9), scale_xy=(4, 4), diameter_px=diameter)
    assert (len(found.kept), found.diameter_px) == (0, diameter)
