"""Projection against closed forms and the central slice theorem."""

import math

import numpy as np
import pytest
import torch

from cryopick.simulate.ctf import frequencies
from cryopick.simulate.projection import blur, project_particles, scatter
from cryopick.simulate.symmetry import random_rotations


def project(beads, weights, *, xy, rotation, pixel_size=1.0, shape=(1, 64, 64), image=None, cut=None):
    count = len(xy)
    return project_particles(
        torch.as_tensor(beads, dtype=torch.float32)[None],
        torch.as_tensor(weights, dtype=torch.float32)[None],
        structure=torch.zeros(count, dtype=torch.long),
        image=torch.zeros(count, dtype=torch.long) if image is None else image,
        xy=torch.as_tensor(xy, dtype=torch.float32),
        rotation=rotation,
        amplitude=torch.ones(count),
        cut=torch.tensor([[0.0, 0, 1, math.inf]]).repeat(count, 1) if cut is None else cut,
        pixel_size=torch.full((shape[0],), pixel_size),
        shape=shape,
    )


def test_a_point_is_shared_by_the_four_pixels_around_it():
    image = torch.zeros(1, 4, 5)
    scatter(image, torch.tensor([[2.25, 1.5]]), torch.tensor([8.0]), torch.tensor([0]))
    assert image[0, 1, 2:4].tolist() == [3.0, 1.0]  # ¾ · ½ · 8 and ¼ · ½ · 8
    assert image[0, 2, 2:4].tolist() == [3.0, 1.0]


def test_points_beyond_an_edge_wrap_to_the_opposite_one():
    image = torch.zeros(2, 4, 5)
    scatter(image, torch.tensor([[-1.0, -2.0], [5.0, 4.0]]), torch.tensor([1.0, 2.0]), torch.tensor([0, 1]))
    assert image[0, 2, 4] == 1
    assert image[1, 0, 0] == 2


@pytest.mark.parametrize("pixel_size", [1.0, 2.5])
def test_projection_conserves_the_total_potential(pixel_size, rng):
    beads, weights = rng.normal(0, 12, (300, 3)), rng.uniform(50, 200, 300)
    turns = random_rotations(7, torch.Generator().manual_seed(3))
    potential = project(beads, weights, xy=rng.uniform(0, 64, (7, 2)), rotation=turns, pixel_size=pixel_size)
    # Volt·Å on pixels of pixel_size² Å² adds up to volt·Å³.
    assert potential.double().sum().item() * pixel_size**2 == pytest.approx(7 * weights.sum(), rel=1e-4)


def test_particles_are_projected_into_their_own_images():
    both = project(
        [[0, 0, 0]],
        [5.0],
        xy=[[3, 2], [6, 1]],
        rotation=torch.eye(3).repeat(2, 1, 1),
        shape=(2, 4, 8),
        image=torch.tensor([1, 0]),
    )
    assert both[1, 2, 3] == 5
    assert both[0, 1, 6] == 5


def test_a_rotation_turns_x_towards_y_and_drops_z():
    quarter = torch.tensor([[[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]])
    image = project([[4, 0, 9]], [1.0], xy=[[10, 20]], rotation=quarter)
    assert image[0, 24, 10] == 1


def test_a_cut_removes_the_beads_beyond_its_plane():
    cut = torch.tensor([[1.0, 0, 0, 2.0]])
    image = project([[-3, 0, 0], [0, 0, 0], [3, 0, 0]], [1.0, 2.0, 4.0], xy=[[32, 32]], rotation=torch.eye(3)[None], cut=cut)
    assert image.sum() == 3
    assert image[0, 32, 35] == 0


def test_a_blurred_bead_is_the_analytic_gaussian():
    sigma, pixel, centre = 4.0, 1.5, (30.3, 33.8)
    points = project([[0, 0, 0]], [1000.0], xy=[centre], rotation=torch.eye(3)[None], pixel_size=pixel)
    size, widths = torch.tensor([pixel]), torch.tensor([sigma])
    image = torch.fft.irfft2(torch.fft.rfft2(points) * blur(widths, size, frequencies((64, 64), size)), s=(64, 64))[0]
    y, x = np.mgrid[:64, :64]
    square = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2) * pixel**2
    expected = 1000 / (2 * np.pi * sigma**2) * np.exp(-square / (2 * sigma**2))
    np.testing.assert_allclose(image, expected, atol=0.02 * expected.max())


def test_projections_agree_with_central_slices(rng):
    slices = pytest.importorskip("torch_fourier_slice")
    size, sigma = 48, 2.5
    beads, weights = rng.uniform(-10, 10, (12, 3)).astype(np.float32), rng.uniform(1, 3, 12).astype(np.float32)
    axis = np.arange(size) - size // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    volume = np.zeros((size,) * 3, np.float32)
    for bead, weight in zip(beads, weights, strict=True):
        square = (x - bead[0]) ** 2 + (y - bead[1]) ** 2 + (z - bead[2]) ** 2
        volume += weight * np.exp(-square / (2 * sigma**2)) / (2 * np.pi * sigma**2) ** 1.5
    turn = random_rotations(1, torch.Generator().manual_seed(5))
    one = torch.ones(1)
    points = project(beads, weights, xy=[[size // 2, size // 2]], rotation=turn, shape=(1, size, size))
    widths = blur(sigma * one, one, frequencies((size, size), one))
    ours = torch.fft.irfft2(torch.fft.rfft2(points) * widths, s=(size, size))[0]
    # Its matrix takes the slice to the volume, ours the volume to the image: one is the inverse of the other.
    theirs = slices.project_3d_to_2d(torch.from_numpy(volume), turn.transpose(1, 2), zyx_matrices=False)[0]
    assert np.corrcoef(ours.numpy().ravel(), theirs.numpy().ravel())[0, 1] > 0.999
    np.testing.assert_allclose(ours, theirs, atol=0.03 * float(ours.max()))
