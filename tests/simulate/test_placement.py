"""Placement of particles: distances, allowed areas and clustering."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist

from cryopick.simulate.placement import place_particles


def placed(wanted, distance, *, shape_hw=(400, 500), margin=10.0, clustering=0.0, allowed=None, seed=1):
    count = len(wanted)
    return place_particles(
        torch.tensor(wanted),
        distance=torch.full((count,), float(distance)),
        margin=torch.full((count,), margin),
        shape_hw=shape_hw,
        clustering=torch.full((count,), clustering),
        allowed=allowed,
        rng=torch.Generator().manual_seed(seed),
    )


@pytest.mark.parametrize("wanted", [[0], [1], [7], [300], [40, 0, 90]])
@pytest.mark.parametrize("clustering", [0.0, 1.2])
def test_no_two_centres_are_closer_than_the_distance(wanted, clustering):
    xy, image = placed(wanted, 19.5, clustering=clustering)
    for index, number in enumerate(wanted):
        mine = xy[image == index].double().numpy()
        assert len(mine) <= number
        assert len(mine) >= min(number, 0.5 * number)
        if len(mine) > 1:
            assert pdist(mine).min() >= 19.5


def test_sparse_particles_are_all_placed():
    _, image = placed([12, 5], 10.0)
    assert image.tolist() == [0] * 12 + [1] * 5


def test_dense_placement_approaches_the_jamming_limit():
    # Discs that may not overlap jam at a coverage of 0.547 when dropped one after the other.
    xy, _ = placed([4000], 10.0, margin=0.0)
    assert 0.48 < len(xy) * math.pi * 25 / (400 * 500) < 0.56


def test_centres_reach_the_margin_and_no_further():
    xy, _ = placed([2000], 1.0, margin=30.0)
    low, high = xy.min(0).values, xy.max(0).values
    assert (low >= -30.5).all()
    assert (low < -27).all()
    assert (high <= torch.tensor([529.5, 429.5])).all()
    assert (high > torch.tensor([526.0, 426.0])).all()


def test_forbidden_areas_stay_empty():
    allowed = torch.zeros(1, 400, 500, dtype=torch.bool)
    allowed[:, :, 250:] = True
    xy, _ = placed([200], 5.0, margin=0.0, allowed=allowed)
    assert len(xy) == 200
    assert (xy[:, 0] >= 249.5).all()


def test_clustering_makes_the_density_uneven():
    def unevenness(clustering):
        xy, _ = placed([600], 1.0, margin=0.0, clustering=clustering)
        counts, _, _ = np.histogram2d(xy[:, 0], xy[:, 1], bins=6, range=[[0, 500], [0, 400]])
        return counts.var() / counts.mean()

    assert unevenness(0.0) < 2  # a Poisson process has 1
    assert unevenness(1.2) > 4


def test_small_and_large_numbers_of_candidates_give_the_same_density():
    # 60 particles make 720 candidates, which a tree resolves; 50 make 600, resolved by all distances at once.
    for wanted in (50, 60):
        xy, _ = placed([wanted], 30.0, seed=3)
        assert pdist(xy.double().numpy()).min() >= 30
        assert len(xy) > 0.9 * wanted
