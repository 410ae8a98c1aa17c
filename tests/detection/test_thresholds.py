"""The cut between particles and chance, with classes that can be told by eye."""

import numpy as np
import pytest

from cryopick.detection.thresholds import Cut, find_cut


def heights(*values):
    return np.array(values, np.float32)


def test_two_heaps_are_parted_between_them():
    cut = find_cut(heights(0.1, 0.1, 0.2, 0.7, 0.8, 0.9), heights())
    assert 0.2 < cut.at < 0.7 + 1e-6
    assert cut.gap == pytest.approx(0.8 - 0.4 / 3)  # the two means


def test_the_cut_is_raised_until_chance_reaches_half_as_often():
    # Otsu parts at 0.45. There chance has 3 of 6; at 0.7 it has 1, and (1 + 1) is half of 4.
    peaks = heights(0.1, 0.1, 0.1, 0.1, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    cut = find_cut(peaks, heights(0.5, 0.6, 0.75))
    assert cut.at == pytest.approx(0.7)


def test_where_chance_reaches_as_high_there_are_no_particles(rng):
    noise = rng.normal(size=300).astype(np.float32)
    cut = find_cut(noise, np.sort(noise) + np.float32(0.01))
    assert cut.at > noise.max()
    assert (cut.scores(noise) < 0.5).all()


@pytest.mark.parametrize("peaks", [heights(), heights(0.4), heights(0.4, 0.4)])
def test_no_peaks_one_peak_and_equal_peaks_make_no_trouble(peaks):
    scores = find_cut(peaks, heights()).scores(peaks)
    assert len(scores) == len(peaks)
    assert np.isfinite(scores).all()


def test_scores_are_a_half_at_the_cut_and_nine_tenths_half_a_gap_above():
    cut = Cut(0.5, 0.4)
    np.testing.assert_allclose(cut.scores([0.3, 0.5, 0.7]), [0.1, 0.5, 0.9], atol=1e-6)


def test_scores_rise_with_height_and_stay_in_their_range():
    scores = Cut(0.3, 0.2).scores(np.linspace(-1, 1, 201))
    assert scores.dtype == np.float32
    assert (np.diff(scores) >= 0).all()
    assert 0 <= scores[0] < scores[100] < scores[-1] <= 1
