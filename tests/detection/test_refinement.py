"""Similarity of candidates to the average of the most confident ones."""

import numpy as np
import pytest

from cryopick.detection.detections import Detections
from cryopick.detection.refinement import CONTRAST, MIN_COUNT, _recentred, refine

DIAMETER = 12.0
PLACES = np.array([[x, y] for y in range(20, 200, 30) for x in range(20, 200, 30)], float)


def spots(strengths, places=PLACES, *, shape_hw=(220, 220)):
    """Dark Gaussian spots of given depths in faint noise."""
    y, x = np.indices(shape_hw)
    image = np.random.default_rng(0).normal(0, 1e-3, shape_hw)
    for (a, b), strength in zip(places, strengths, strict=True):
        image -= strength * np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * 3.0**2))
    return image.astype(np.float32)


def found(scores):
    return Detections(PLACES[: len(scores)], np.asarray(scores, np.float32))


def test_fainter_views_are_as_similar_as_strong_ones_and_noise_is_not():
    strengths = np.ones(len(PLACES))
    strengths[::4], strengths[1::4] = 0.6, 0.0
    image = spots(strengths) + np.random.default_rng(2).normal(0, 0.1, (220, 220)).astype(np.float32)
    similarity = refine(image, found(np.where(strengths == 1, 0.9, 0.4)), diameter=DIAMETER).similarity
    np.testing.assert_array_equal(similarity[strengths > 0], 1)
    assert similarity[strengths == 0].max() < 0.7


def test_a_stronger_candidate_is_no_more_similar():
    strengths = np.ones(len(PLACES))
    strengths[3] = 5.0
    similarity = refine(spots(strengths), found(np.full(len(PLACES), 0.9)), diameter=DIAMETER).similarity
    assert similarity[3] == 1


def test_a_bright_spot_among_dark_ones_is_less_similar_than_plain_noise():
    strengths = np.ones(len(PLACES))
    strengths[5], strengths[6] = 0.0, -1.0
    similarity = refine(spots(strengths), found(np.where(strengths == 1, 0.9, 0.4)), diameter=DIAMETER).similarity
    assert similarity[6] < -0.9 < similarity[5] < 0.1


@pytest.mark.parametrize("confident", [0, MIN_COUNT - 1])
def test_too_few_confident_candidates_change_nothing(confident):
    scores = np.r_[np.full(2 * confident, 0.9)[: 2 * confident - 1 if confident else 0], np.full(4, 0.2)]
    refined = refine(spots(np.ones(len(PLACES))), found(scores), diameter=DIAMETER)
    np.testing.assert_array_equal(refined.similarity, 1)
    np.testing.assert_array_equal(refined.xy, PLACES[: len(scores)])


def test_an_average_of_the_smallest_number_of_candidates_is_used():
    strengths = np.ones(2 * MIN_COUNT)
    strengths[-1] = -1.0
    similarity = refine(
        spots(strengths, PLACES[: 2 * MIN_COUNT]), found(np.where(strengths == 1, 0.9, 0.2)), diameter=DIAMETER
    ).similarity
    assert similarity[-1] < -0.9


def test_a_fifth_of_the_contrast_gives_a_proportionally_lower_similarity():
    strengths = np.ones(len(PLACES))
    strengths[9] = 0.2
    similarity = refine(spots(strengths), found(np.where(strengths == 1, 0.9, 0.4)), diameter=DIAMETER).similarity
    assert similarity[9] == pytest.approx(0.2 / CONTRAST, rel=0.05)


@pytest.mark.parametrize("shape_hw", [(120, 320), (320, 120)])
def test_centres_stay_on_wide_and_on_tall_images(shape_hw):
    height, width = shape_hw
    places = np.array([[x, y] for y in range(20, height, 40) for x in range(20, width, 40)], float)
    picked = Detections(places, np.full(len(places), 0.9, np.float32))
    refined = refine(spots(np.ones(len(places)), places, shape_hw=shape_hw), picked, diameter=DIAMETER)
    np.testing.assert_allclose(refined.xy, places, atol=0.05)


def test_a_better_fit_farther_away_must_be_better_by_the_gaussian_of_its_distance():
    # exp(-2² / 2) is 0.135: at two spreads the fit must be 7.4 times as good.
    fit = np.zeros((40, 50), np.float32)
    fit[20, 30], fit[20, 32] = 0.5, 1.0
    assert _recentred(fit, np.array([[30.0, 20.0]]), 1.0).tolist() == [[30, 20]]
    fit[20, 30] = 0.13
    assert _recentred(fit, np.array([[30.0, 20.0]]), 1.0).tolist() == [[32, 20]]


def test_the_contrast_of_the_whole_image_does_not_matter():
    strengths = np.linspace(0.3, 1, len(PLACES))
    image = spots(strengths)
    once, twice = (refine(factor * image, found(strengths), diameter=DIAMETER).similarity for factor in (1, 2))
    np.testing.assert_allclose(once, twice, rtol=1e-4)


def test_wrong_centres_move_to_the_middle_of_their_particles():
    rng = np.random.default_rng(1)
    places = PLACES + rng.uniform(-0.5, 0.5, PLACES.shape)
    off = Detections(places + rng.normal(0, 0.08 * DIAMETER, PLACES.shape), np.full(len(PLACES), 0.9, np.float32))
    moved = refine(spots(np.ones(len(PLACES)), places), off, diameter=DIAMETER)
    errors = np.linalg.norm(moved.xy - places, axis=1)
    assert np.median(errors) < 0.5 * np.median(np.linalg.norm(off.xy - places, axis=1))
    assert errors.max() < 0.2 * DIAMETER


def test_a_candidate_does_not_move_to_the_next_particle():
    lone = np.array([100.0, 100.0])
    places = np.vstack([PLACES, lone + np.array([DIAMETER, 0])])
    picked = np.vstack([PLACES, lone])
    refined = refine(
        spots(np.ones(len(places)), places), Detections(picked, np.full(len(picked), 0.9, np.float32)), diameter=DIAMETER
    )
    assert np.linalg.norm(refined.xy[-1] - lone) < 0.2 * DIAMETER
