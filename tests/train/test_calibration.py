"""Calibration works for logits of any location and scale."""

import numpy as np
import pytest
from scipy.special import expit

from cryopick.train.calibration import fit_platt


@pytest.mark.parametrize(("middle", "width"), [(0.0, 1.0), (-2.75, 0.05), (40.0, 10.0)])
def test_separable_logits_are_separated_by_the_calibrated_score(middle, width):
    rng = np.random.default_rng(0)
    logits = middle + width * np.r_[rng.normal(4, 1, 40), rng.normal(-4, 1, 60)]
    right = np.arange(100) < 40
    slope, offset = fit_platt(logits, right)
    assert np.isfinite([slope, offset]).all()
    assert ((expit(slope * logits + offset) > 0.5) == right).all()


def test_calibrated_scores_equal_the_mean_probability():
    slope, offset = fit_platt(np.array([2.0, 2.0, -1.0, -1.0]), np.array([1.0, 0.5, 0.0, 0.5]))
    np.testing.assert_allclose(expit([2 * slope + offset, -slope + offset]), [0.75, 0.25], atol=1e-3)


@pytest.mark.parametrize("right", [[], [True, True], [False]])
def test_logits_are_unchanged_if_all_picks_are_equally_right(right):
    assert fit_platt(np.arange(len(right), dtype=float), np.array(right, bool)) == (1.0, 0.0)
