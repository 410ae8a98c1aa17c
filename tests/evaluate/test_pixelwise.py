"""The papers' pixel-wise protocol, on masks small enough to count."""

import numpy as np
import pytest

from cryopick.errors import CryopickError, SettingError
from cryopick.evaluate import evaluate_pixels
from cryopick.evaluate.pixelwise import PixelCounts, PixelEvaluation, draw_discs
from cryopick.types import Picks


def image(mask: np.ndarray) -> list[str]:
    return ["".join(".#"[int(pixel)] for pixel in row) for row in mask]


def test_a_disc_of_two_pixels_across_is_a_plus():
    assert image(draw_discs([[2, 1]], diameter_px=2, shape_hw=(4, 5))) == [
        "..#..",
        ".###.",
        "..#..",
        ".....",
    ]


def test_a_disc_between_four_pixels_is_a_square():
    # All four centres are sqrt(0.5) = 0.71 away, the next ones 1.58.
    assert image(draw_discs([[1.5, 0.5]], diameter_px=2, shape_hw=(3, 4))) == [
        ".##.",
        ".##.",
        "....",
    ]


def test_a_disc_is_cut_at_the_edge_and_absent_beyond_it():
    assert image(draw_discs([[0, 0], [40, 1], [-9, -9]], diameter_px=2, shape_hw=(3, 3))) == [
        "##.",
        "#..",
        "...",
    ]


def test_discs_that_overlap_are_filled_once():
    assert draw_discs([[2, 2], [2, 2], [3, 2]], diameter_px=2, shape_hw=(5, 6)).sum() == 8


def test_no_points_give_an_empty_mask():
    assert not draw_discs(np.zeros((0, 2)), diameter_px=2, shape_hw=(5, 6)).any()


def test_a_large_disc_has_the_area_of_a_circle():
    assert draw_discs([[150, 150]], diameter_px=200, shape_hw=(301, 301)).sum() == pytest.approx(np.pi * 100**2, rel=2e-3)


def test_pixels_are_counted_by_hand():
    # Two pluses one column apart: 5 pixels each, 2 in both. 4 × 5 = 20 pixels: 20 − (5 + 5 − 2) = 12 in neither.
    truth = Picks("a", [[1, 1]], diameter=2, shape_hw=(4, 5))
    evaluation = evaluate_pixels([Picks("a", [[2, 1]])], [truth])
    assert evaluation.per_micrograph == (("a", PixelCounts(2, 3, 3, 12)),)
    mean = evaluation.mean
    assert (mean.precision, mean.recall, mean.f1, mean.dice) == (2 / 5, 2 / 5, 2 / 5, 2 / 5)
    assert mean.accuracy == 14 / 20


def test_discs_of_picks_have_the_given_diameter_else_their_own_and_true_ones_that_of_the_ground_truth():
    truth = Picks("a", [[4, 4]], diameter=2, shape_hw=(9, 9))
    found = Picks("a", [[4, 4]], diameter=4)
    # Whole x, y with x² + y² ≤ r² (Gauss): 5 for r = 1, 13 for r = 2, 29 for r = 3.
    assert evaluate_pixels([found], [truth]).per_micrograph[0][1] == PixelCounts(5, 8, 0, 68)
    assert evaluate_pixels([found], [truth], diameter=6).per_micrograph[0][1] == PixelCounts(5, 24, 0, 52)


def test_diameters_are_in_angstrom_where_the_pixel_size_is_known():
    truth = Picks("a", [[4, 4]], diameter=6, pixel_size=3, shape_hw=(9, 9))
    assert evaluate_pixels([Picks("a", [[4, 4]])], [truth], diameter=12).per_micrograph[0][1] == PixelCounts(5, 8, 0, 68)


def test_a_diameter_in_angstrom_stays_one_on_a_micrograph_without_picks():
    # 12 Å are 4 px at the 3 Å/px that only the picks on another micrograph tell: 13 pixels.
    truth = [Picks("a", [[4, 4]], shape_hw=(9, 9)), Picks("b", [[4, 4]], shape_hw=(9, 9))]
    evaluation = evaluate_pixels([Picks("a", [[4, 4]], pixel_size=3)], truth, diameter=12)
    assert evaluation.per_micrograph == (("a", PixelCounts(13, 0, 0, 68)), ("b", PixelCounts(0, 0, 13, 68)))


def test_pixels_in_the_border_are_not_counted():
    truth = Picks("a", [[1, 1]], diameter=2, shape_hw=(4, 5))
    # Border 1 leaves columns 1 to 3 of rows 1 and 2: truth has (1,1), (2,1) and (1,2) there, found (1,1), (2,1), (3,1), (2,2).
    assert evaluate_pixels([Picks("a", [[2, 1]])], [truth], border=1).per_micrograph[0][1] == PixelCounts(2, 2, 1, 1)


def test_a_micrograph_without_picks_has_missed_every_pixel():
    truth = [Picks("a", [[1, 1]], diameter=2, shape_hw=(4, 5)), Picks("b", [[1, 1]], diameter=2, shape_hw=(4, 5))]
    evaluation = evaluate_pixels([Picks("a", [[1, 1]])], truth)
    assert evaluation.per_micrograph[1] == ("b", PixelCounts(0, 0, 5, 15))
    assert (evaluation.mean.precision, evaluation.mean.recall) == (1, 0.5)


def test_a_threshold_leaves_low_scores_undrawn():
    truth = Picks("a", [[1, 1]], diameter=2, shape_hw=(4, 9))
    found = Picks("a", [[1, 1], [6, 1]], [0.9, 0.2])
    assert evaluate_pixels([found], [truth], threshold=0.5).per_micrograph[0][1] == PixelCounts(5, 0, 0, 31)


def test_the_maximum_takes_each_number_where_it_is_best_and_f1_from_two_of_them():
    # a: precision 4/5, recall 4/8, Dice 8/13. b: precision 2/4, recall 2/2, Dice 4/6.
    evaluation = PixelEvaluation((("a", PixelCounts(4, 1, 4, 91)), ("b", PixelCounts(2, 2, 0, 96))), ())
    best = evaluation.maximum
    assert (best.precision, best.recall, best.dice, best.accuracy) == (4 / 5, 1, 4 / 6, 0.98)
    assert best.f1 == pytest.approx(2 * 0.8 / 1.8)
    assert evaluation.mean.precision == pytest.approx((0.8 + 0.5) / 2)
    assert evaluation.mean.f1 == pytest.approx((8 / 13 + 4 / 6) / 2)


def test_masks_need_a_shape_and_a_diameter():
    with pytest.raises(CryopickError, match="shape"):
        evaluate_pixels([Picks("a", [[1, 1]])], [Picks("a", [[1, 1]], diameter=2)])
    with pytest.raises(CryopickError, match="diameter"):
        evaluate_pixels([Picks("a", [[1, 1]])], [Picks("a", [[1, 1]], shape_hw=(4, 5))])
    with pytest.raises(SettingError, match="diameter"):
        evaluate_pixels([Picks("a", [[1, 1]])], [Picks("a", [[1, 1]], shape_hw=(4, 5))], diameter=0)


def test_pixel_scores_of_empty_masks_are_nan():
    evaluation = evaluate_pixels([], [Picks("a", shape_hw=(4, 5))])
    assert evaluation.mean.accuracy == 1
    assert np.isnan([evaluation.mean.precision, evaluation.maximum.precision, evaluation.maximum.f1]).all()
