"""Fourier shell correlation of equal, independent and partly equal maps."""

import numpy as np
import pytest

from cryopick.errors import CryopickError
from cryopick.resolution.fsc import ShellCorrelation, shell_correlation, shells, soft_sphere


@pytest.mark.parametrize("side", [24, 25])
def test_a_map_correlates_with_itself_and_anticorrelates_with_its_negative(side, rng):
    density = rng.normal(size=(side, side, side))
    same = shell_correlation(density, 3 * density, voxel_size=2.0)
    np.testing.assert_allclose(same.correlation, 1)
    np.testing.assert_allclose(shell_correlation(density, -density, voxel_size=2.0).correlation, -1)
    assert same.resolution() == pytest.approx(2.0 * side / (side // 2))  # never below: the last shell, Nyquist for even sides


def test_independent_noise_correlates_only_by_chance(rng):
    # A shell of n transform values of real maps has n / 2 free complex ones: the deviation of its correlation is 1 / √n.
    side = 32
    found = np.array([shell_correlation(*rng.normal(size=(2, side, side, side)), voxel_size=1.0).correlation for _ in range(40)])
    whole = np.fft.fftfreq(side, 1 / side)
    distance = np.sqrt(whole[:, None, None] ** 2 + whole[None, :, None] ** 2 + whole[None, None, :] ** 2)
    count = np.bincount(np.rint(distance).astype(int).ravel())[: side // 2]
    expected = 1 / np.sqrt(count[3:])
    assert np.abs(found[:, 3:-1].mean(0) / (expected / np.sqrt(40))).max() < 4
    np.testing.assert_allclose(found[:, 3:-1].std(0) / expected, 1, atol=0.4)
    assert (found[:, 3:-1].std(0) / expected).mean() == pytest.approx(1, abs=0.06)


def test_equal_signal_and_noise_power_gives_a_correlation_of_one_half(rng):
    # Equal power of shared and of own values gives S / (S + N) = 1/2 in every shell.
    shared, one, other = rng.normal(size=(3, 40, 40, 40))
    found = shell_correlation(shared + one, shared + other, voxel_size=1.0).correlation
    assert found[5:-1].mean() == pytest.approx(0.5, abs=0.02)


def test_the_crossing_lies_on_the_line_between_shells():
    curve = ShellCorrelation(np.array([0, 0.1, 0.2, 0.3]), np.array([1, 0.9, 0.3, 0.0]))
    assert curve.resolution(0.5) == pytest.approx(1 / (0.1 + 0.1 * 0.4 / 0.6))
    assert curve.resolution(0.15) == pytest.approx(1 / 0.25)
    assert curve.resolution(0.95) == float("inf")
    assert curve.resolution(-0.1) == pytest.approx(1 / 0.3)


def test_an_empty_map_has_no_correlation():
    nothing = np.zeros((8, 8, 8))
    assert shell_correlation(nothing, nothing, voxel_size=1.0).resolution() == float("inf")


def test_density_outside_the_mask_does_not_count(rng):
    side = 24
    density = rng.normal(size=(side, side, side))
    other = density.copy()
    other[:3] += rng.normal(size=(3, side, side)) * 10
    mask = soft_sphere(side, diameter_px=12, edge_px=3)
    assert (mask[:3] == 0).all()
    assert shell_correlation(density, other, voxel_size=1.0).correlation[5:].max() < 0.5
    np.testing.assert_allclose(shell_correlation(density, other, voxel_size=1.0, mask=mask).correlation, 1)


def test_the_soft_sphere_is_one_inside_half_in_the_middle_of_its_edge_and_zero_outside():
    mask = soft_sphere(20, diameter_px=8, edge_px=4)
    np.testing.assert_allclose(mask[10, 10, [10, 14, 16, 18]], [1, 1, 0.5, 0], atol=1e-12)


def test_every_value_of_the_transform_is_in_its_shell():
    assert shells(4)[:, 0, 0].tolist() == [0, 1, 2, 1]
    assert shells(4)[1, 1, 2] == 2  # √6 = 2.45


def test_maps_of_different_sizes_raise():
    with pytest.raises(CryopickError, match="cubes"):
        shell_correlation(np.zeros((8, 8, 8)), np.zeros((10, 10, 10)), voxel_size=1.0)
