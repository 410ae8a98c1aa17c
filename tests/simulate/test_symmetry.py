"""Orders of point groups and distribution of random orientations."""

import math

import numpy as np
import pytest
import torch

from cryopick.errors import SettingError
from cryopick.simulate.symmetry import GROUPS, point_group, random_rotations, tilted_rotations

ORDERS = {"C1": 1, "C2": 2, "C6": 6, "D2": 4, "D3": 6, "D7": 14, "T": 12, "O": 24, "I": 60}


@pytest.mark.parametrize(("name", "order"), ORDERS.items())
def test_a_point_group_has_its_order(name, order):
    assert len(point_group(name)) == order


@pytest.mark.parametrize("name", GROUPS)
def test_a_point_group_is_closed_and_made_of_rotations(name):
    group = point_group(name)
    np.testing.assert_allclose(group @ group.transpose(0, 2, 1), np.broadcast_to(np.eye(3), group.shape), atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(group), 1)
    for turn in group:
        differences = np.abs((turn @ group)[:, None] - group[None]).max((2, 3))
        assert (differences.min(1) < 1e-6).all()


@pytest.mark.parametrize("name", ["", "X3", "C0", "D", "Ih"])
def test_unknown_point_groups_raise(name):
    with pytest.raises(SettingError, match="point group"):
        point_group(name)


def test_random_orientations_are_proper_rotations_and_uniform():
    turns = random_rotations(4000, torch.Generator().manual_seed(1))
    torch.testing.assert_close(torch.linalg.det(turns), torch.ones(4000))
    # The image of z is uniform on the sphere: each component has mean 0 and variance 1/3.
    axis = turns[:, :, 2]
    assert axis.mean(0).abs().max() < 0.03
    assert (axis.var(0) - 1 / 3).abs().max() < 0.02


def test_tilts_have_the_requested_spread_and_any_in_plane_rotation():
    tilt = math.radians(10)
    turns = tilted_rotations(torch.full((4000,), tilt), torch.Generator().manual_seed(2))
    # A normal tilt about two axes: the angle from z is Rayleigh distributed, mean √(π/2) σ.
    assert abs(torch.acos(turns[:, 2, 2].clamp(max=1)).mean().item() / (math.sqrt(math.pi / 2) * tilt) - 1) < 0.03
    assert torch.atan2(turns[:, 1, 0], turns[:, 0, 0]).std() > 1.7
