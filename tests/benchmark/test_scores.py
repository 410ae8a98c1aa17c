"""Scores of the benchmark, from counts worked out by hand."""

from pathlib import Path

import numpy as np
import pytest

from cryopick.benchmark.scores import bootstrap, score_picks
from cryopick.benchmark.sets import BenchmarkSet
from cryopick.io.micrographs.sources import MicrographSource
from cryopick.types import Picks

SHAPE = (200, 200)
TRUTH = [(50, 50), (100, 50), (150, 50), (50, 120)]


def picks(name, xy, scores=None):
    return Picks(name, np.array(xy, float).reshape(-1, 2), scores, 20.0, SHAPE)


def task(*, names=("a",), negatives=()):
    sources = tuple(MicrographSource(Path(name), name) for name in names)
    truth = tuple(picks(name, TRUTH) for name in names)
    return BenchmarkSet(name="set", sources=sources, truth=truth, negatives=tuple(negatives), diameter=20.0)


def test_two_of_four_found_with_a_duplicate_and_a_pick_on_a_marked_negative():
    found = picks("a", [(50, 50), (53, 50), (100, 52), (150, 150)], [0.9, 0.8, 0.7, 0.6])
    scored = score_picks([found], task(negatives=[picks("a", [(152, 150), (20, 180)])]), threshold=0.5).default
    assert (scored.truth, scored.found, scored.duplicates, scored.on_negatives) == (4, 4, 1, 1)
    assert (scored.precision, scored.recall, scored.f1) == (0.5, 0.5, 0.5)
    assert scored.missed == {"a": [(150, 50), (50, 120)]}
    assert scored.per_micrograph == {"a": 4}


def test_the_centring_error_is_the_median_distance_of_correct_picks_in_diameters():
    found = picks("a", [(50, 50), (102, 50), (150, 54), (190, 190)], [0.9] * 4)
    assert score_picks([found], task(), threshold=0.5).default.centring == pytest.approx(2 / 20)
    assert score_picks([picks("a", [(190, 190)], [0.9])], task(), threshold=0.5).default.centring is None


def test_a_correct_pick_next_to_a_negative_does_not_count_as_on_the_negative():
    scored = score_picks([picks("a", [(50, 50)], [0.9])], task(negatives=[picks("a", [(55, 50)])]), threshold=0.5)
    assert scored.default.on_negatives == 0


def test_the_best_threshold_may_include_picks_below_the_default():
    found = picks("a", TRUTH, [0.9, 0.8, 0.4, 0.3])
    scored = score_picks([found], task(), threshold=0.5)
    assert scored.default.recall == 0.5
    assert scored.best is not None
    assert scored.best.threshold == pytest.approx(0.3)
    assert (scored.best.precision, scored.best.recall) == (1.0, 1.0)
    assert scored.average_precision == pytest.approx(1.0)


def test_picks_without_scores_have_no_curve_and_all_count():
    scored = score_picks([picks("a", TRUTH[:3])], task(), threshold=None)
    assert (scored.best, scored.average_precision, scored.curve) == (None, None, None)
    assert (scored.default.precision, scored.default.recall) == (1.0, 0.75)


def test_no_picks_give_a_result():
    scored = score_picks([], task(), threshold=0.5).default
    assert (scored.precision, scored.recall, scored.f1, scored.found) == (None, 0.0, 0.0, 0)


def test_perfect_picks_have_a_pixelwise_dice_of_one():
    scored = score_picks([picks("a", TRUTH, [0.9] * 4)], task(), threshold=0.5).default
    assert (scored.pixels_mean.dice, scored.pixels_maximum.recall) == (1.0, 1.0)


def test_equal_micrographs_have_an_interval_of_zero_width_and_a_single_one_has_none():
    names = ("a", "b", "c")
    found = [picks(name, TRUTH[:2], [0.9, 0.8]) for name in names]
    scored = score_picks(found, task(names=names), threshold=0.5)
    assert scored.default.recall_interval == (0.5, 0.5)
    assert scored.average_precision_interval == (0.5, 0.5)
    assert score_picks(found[:1], task(), threshold=0.5).default.recall_interval is None


def test_the_interval_of_two_unequal_micrographs_spans_both():
    found = [picks("a", TRUTH, [0.9] * 4), picks("b", [])]
    assert score_picks(found, task(names=("a", "b")), threshold=0.5).default.recall_interval == (0.0, 1.0)


def test_resamples_are_reproducible_and_include_every_micrograph():
    assert np.array_equal(bootstrap(5), bootstrap(5))
    assert bootstrap(5).shape == (1000, 5)
    assert set(bootstrap(5).ravel().tolist()) == set(range(5))
