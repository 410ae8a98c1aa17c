"""Post-processing of boxes: equal to the published program where it works, and steady where it does not."""

import json

import numpy as np
import pytest

from cryopick.detection.box_rules import published_rules, robust_rules
from cryopick.detection.components import Instances

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


def filled(boxes, scores=1.0):
    """Instances that fill their boxes."""
    boxes = np.asarray(boxes, np.int64).reshape(-1, 4)
    bitmaps = tuple(np.ones((bottom - top + 1, right - left + 1), bool) for left, top, right, bottom in boxes)
    return Instances(boxes, np.broadcast_to(np.asarray(scores, np.float32), len(boxes)), bitmaps)


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
    iou = [mask["predicted_iou"] for mask in case["masks"]]
    scale = (case["width"] / case["network_side"], case["height"] / case["network_side"])

    found = published_rules(filled(boxes, iou), scale_xy=scale)

    # The published program multiplies centres by the scale, forgets the half pixel and cuts the decimals.
    xy = np.trunc(found.xy * scale).astype(int)
    assert [[*point, found.diameter_px] for point in xy.tolist()] == case["rows_x_y_diameter"]


def test_of_two_modes_the_first_met_wins_and_the_tolerance_is_asymmetric():
    # Sides (last - first) 10, 20, 20, 10, 11, 9: mode 10, diagonal 14.1, radius 7, th 1.4, so 9.53 < side < 11.4 passes.
    boxes = discs([11, 21, 21, 11, 12, 10])
    found = published_rules(filled(boxes, 0.95), scale_xy=(1, 1))
    assert found.kept.tolist() == [0, 3, 4]
    assert found.diameter_px == 14


def test_a_predicted_iou_of_exactly_the_limit_is_not_above_it():
    found = published_rules(filled(discs([11, 11]), [0.9375, 0.9376]), scale_xy=(1, 1), min_iou=0.9375)
    assert found.kept.tolist() == [1]


def test_robust_rules_leave_out_pieces_clumps_and_chains():
    boxes = discs([30, 31, 29, 30, 30, 12, 49])
    chain = np.array([[20, 200, 49, 290]])  # 30 × 91
    found = robust_rules(filled(np.concatenate([boxes, chain])), shape_hw=(400, 400), scale_xy=(1, 1))
    assert found.kept.tolist() == [0, 1, 2, 3, 4]
    assert found.diameter_px == 30


def test_robust_rules_do_not_depend_on_the_size_of_the_micrograph():
    boxes = discs([30, 33, 28, 36, 24, 30])
    small, large = (robust_rules(filled(boxes), shape_hw=(400, 400), scale_xy=(scale, scale)) for scale in (1, 8))
    assert small.kept.tolist() == large.kept.tolist()
    assert large.diameter_px == 8 * small.diameter_px


def test_a_known_diameter_rules_over_the_crowd():
    # Most boxes are 60 wide; the particle is known to be 30 map pixels = 60 home pixels across.
    boxes = discs([60, 60, 60, 30, 31], step=70)
    found = robust_rules(filled(boxes), shape_hw=(400, 400), scale_xy=(2, 2), diameter_px=60)
    assert found.kept.tolist() == [3, 4]
    assert found.diameter_px == 60


def test_a_cut_particle_is_found_when_its_centre_is_in_the_image():
    # Particles are 40 wide, the image 400 × 300. Cut at the left to 30, at the top to 25, at the right to 30,
    # and in a corner to 24 × 26.
    whole = discs([40, 40, 40], start=100)
    cut = np.array([[0, 110, 29, 149], [110, 0, 149, 24], [370, 110, 399, 149], [376, 274, 399, 299]])
    found = robust_rules(filled(np.concatenate([cut, whole])), shape_hw=(300, 400), scale_xy=(1, 1))
    assert found.kept.tolist() == [0, 1, 2, 3, 4, 5, 6]
    # Pixels 0 to 29 end at 29.5, so the centre is at 9.5; rows 0 to 24 end at 24.5: 4.5. From 369.5: 389.5. From 375.5 and 273.5.
    assert found.xy[:4].tolist() == [[9.5, 129.5], [129.5, 4.5], [389.5, 129.5], [395.5, 293.5]]
    assert found.diameter_px == 40


def test_less_than_half_a_particle_is_left_out_and_so_is_what_crosses_the_image():
    whole = discs([40, 40, 40], start=100)
    cut = np.array([[0, 110, 18, 149], [0, 200, 399, 239], [0, 110, 60, 149]])
    found = robust_rules(filled(np.concatenate([cut, whole])), shape_hw=(300, 400), scale_xy=(1, 1))
    assert found.kept.tolist() == [3, 4, 5]


def test_cut_boxes_do_not_shift_the_median():
    cut = np.stack([np.zeros(9), 20 * np.arange(9) + 30, np.full(9, 9), 20 * np.arange(9) + 49], axis=1)
    found = robust_rules(filled(np.concatenate([cut, discs([40, 42], start=100)])), shape_hw=(400, 400), scale_xy=(1, 1))
    assert found.kept.tolist() == [9, 10]
    assert found.diameter_px == 41


def test_without_a_whole_particle_only_a_known_diameter_tells():
    cut = filled([[0, 110, 29, 149]])
    assert len(robust_rules(cut, shape_hw=(300, 400), scale_xy=(1, 1)).kept) == 0
    assert robust_rules(cut, shape_hw=(300, 400), scale_xy=(1, 1), diameter_px=40).xy.tolist() == [[9.5, 129.5]]


def test_however_mixed_the_sizes_are_only_those_within_the_tolerance_pass():
    # Median 40, median deviation 13: three standard deviations would let all through, 0.35 × 40 = 14 does not.
    found = robust_rules(filled(discs([20, 27, 40, 40, 53, 60], step=70)), shape_hw=(500, 500), scale_xy=(1, 1))
    assert found.kept.tolist() == [1, 2, 3, 4]


def test_low_scores_do_not_pass():
    found = robust_rules(filled(discs([30, 30]), [0.4, 0.6]), shape_hw=(400, 400), scale_xy=(1, 1), min_score=0.5)
    assert found.kept.tolist() == [1]


def test_sides_of_a_squeezed_map_are_measured_in_home_pixels():
    # 20 × 40 map pixels of 2 × 1 home pixels are a square of 40.
    box = np.array([[10, 10, 29, 49]])
    found = robust_rules(filled(box), shape_hw=(100, 100), scale_xy=(2, 1), diameter_px=40, tolerance=0.01)
    assert found.kept.tolist() == [0]


@pytest.mark.parametrize("diameter", [None, 50.0])
def test_no_boxes_give_no_particles(diameter):
    assert len(published_rules(filled([]), scale_xy=(4, 4)).kept) == 0
    found = robust_rules(filled([]), shape_hw=(9, 9), scale_xy=(4, 4), diameter_px=diameter)
    assert (len(found.kept), found.diameter_px) == (0, diameter)
