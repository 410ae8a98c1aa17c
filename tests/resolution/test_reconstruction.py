"""Reconstruction from exact projections of phantoms with closed-form density."""

import numpy as np
import pytest
import torch

from cryopick.resolution.reconstruction import Reconstruction
from cryopick.simulate.symmetry import point_group, random_rotations

SIDE = 32
BLOBS = [((3.0, -4.0, 2.0), 1.0, 2.0), ((-5.0, 1.0, -3.0), 2.0, 1.6), ((1.0, 5.0, 5.0), 1.5, 1.8)]
"""Centre x y z in pixels, weight, standard deviation: no symmetry, no mirror plane."""


def phantom() -> np.ndarray:
    z, y, x = np.mgrid[:SIDE, :SIDE, :SIDE] - SIDE // 2
    return sum(
        weight * np.exp(-((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) / (2 * sigma**2)) / (2 * np.pi * sigma**2) ** 1.5
        for (a, b, c), weight, sigma in BLOBS
    )


def projections(rotations: torch.Tensor) -> torch.Tensor:
    """Transforms of the phantom's projections, the images being exact: a projected Gaussian is a Gaussian."""
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    images = np.zeros((len(rotations), SIDE, SIDE))
    for centre, weight, sigma in BLOBS:
        a, b, _ = (rotations.numpy() @ np.array(centre)).T[:, :, None, None]
        images += weight * np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * sigma**2)) / (2 * np.pi * sigma**2)
    return torch.fft.rfft2(torch.fft.ifftshift(torch.from_numpy(images).float(), dim=(1, 2)))


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


@pytest.fixture(scope="module")
def rotations() -> torch.Tensor:
    return random_rotations(240, torch.Generator().manual_seed(4))


def test_reconstruction_recovers_position_hand_and_scale(rotations):
    made = Reconstruction(SIDE)
    made.add(projections(rotations), torch.ones(1, SIDE, SIDE // 2 + 1), rotations)
    found, true = made.map(), phantom()
    assert made.count == 240
    assert correlation(found, true) > 0.98
    assert correlation(found, true[:, :, ::-1]) < 0.9  # the other hand is another map
    assert found.max() / true.max() == pytest.approx(1, abs=0.2)


def test_contrast_transfer_with_sign_changes_is_corrected(rotations):
    row, column = torch.fft.fftfreq(SIDE)[:, None], torch.fft.rfftfreq(SIDE)
    weight = torch.stack([torch.cos(phase * 40 * (row**2 + column**2) + 0.5) for phase in (1.0, 1.4, 1.9)])
    made = Reconstruction(SIDE)
    for number, transfer in enumerate(weight):
        part = rotations[number::3]
        made.add(projections(part) * transfer, transfer[None], part)
    assert correlation(made.map(), phantom()) > 0.95


def test_transposed_orientations_give_another_map(rotations):
    made = Reconstruction(SIDE)
    made.add(projections(rotations), torch.ones(1, SIDE, SIDE // 2 + 1), rotations.transpose(1, 2))
    assert correlation(made.map(), phantom()) < 0.6


@pytest.mark.parametrize("symmetry", ["C3", "D2", "O"])
def test_symmetrising_equals_adding_all_equivalent_orientations(rotations, symmetry):
    group = torch.from_numpy(point_group(symmetry)).float()
    few, transfer = rotations[:20], torch.ones(1, SIDE, SIDE // 2 + 1)
    once, each = Reconstruction(SIDE), Reconstruction(SIDE)
    once.add(projections(few), transfer, few)
    for turn in group:
        each.add(projections(few), transfer, few @ turn)
    z, y, x = np.mgrid[:SIDE, :SIDE, :SIDE] - SIDE // 2
    inside = x * x + y * y + z * z < (SIDE // 3) ** 2
    found, expected = once.map(group)[inside], each.map()[inside]
    assert correlation(found, expected) > 0.98
    assert np.polyfit(expected, found, 1)[0] == pytest.approx(1, abs=0.1)
    assert correlation(once.map()[inside], expected) < 0.9


def test_no_particles_give_an_empty_map():
    assert not Reconstruction(8).map().any()
