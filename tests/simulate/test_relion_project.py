"""Orientations and defocus follow RELION's conventions, tested against RELION's own projections."""

import shutil
import subprocess
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch

from cryopick.io.tables.star import star_text
from cryopick.simulate.ctf import Optics, frequencies, transfer
from cryopick.simulate.projection import blur, project_particles
from cryopick.simulate.symmetry import euler_angles, random_rotations, rotations_of

SIDE, PIXEL_SIZE, SIGMA = 48, 4.0, 8.0
ANGLES = np.array([[0, 0, 0], [30, 0, 0], [0, 40, 0], [0, 0, 50], [20, 70, 110], [-100, 130, 15]], float)


def test_euler_angles_and_rotations_convert_into_each_other():
    turns = random_rotations(50, torch.Generator().manual_seed(3)).numpy()
    np.testing.assert_allclose(rotations_of(euler_angles(turns)), turns, atol=1e-6)
    assert rotations_of(np.zeros((0, 3))).shape == (0, 3, 3)


def test_psi_alone_rotates_the_image_by_minus_psi():
    # RELION's psi of 90° takes the map's x axis to the image's −y axis.
    np.testing.assert_allclose(rotations_of([[0, 0, 90]])[0] @ [1, 0, 0], [0, -1, 0], atol=1e-12)


@pytest.mark.skipif(shutil.which("relion_project") is None, reason="RELION is not installed")
@pytest.mark.parametrize("with_transfer", [False, True], ids=["projection", "with contrast transfer"])
def test_relion_projects_a_structure_as_the_simulator_does(with_transfer, tmp_path, rng):
    beads = rng.normal(0, 1, (60, 3)) * [20, 14, 30] + [10, -5, 0]
    theirs = relion_projections(beads, tmp_path, *(["--ctf"] if with_transfer else []))
    ours = our_projections(beads, with_transfer=with_transfer)
    correlations = [np.corrcoef(one.ravel(), other.ravel())[0, 1] for one, other in zip(ours, theirs, strict=True)]
    assert len(correlations) == len(ANGLES)
    assert min(correlations) > 0.995


def relion_projections(beads: np.ndarray, folder: Path, *options: str) -> np.ndarray:
    z, y, x = (np.mgrid[:SIDE, :SIDE, :SIDE] - SIDE // 2) * PIXEL_SIZE
    density = sum(np.exp(-((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) / (2 * SIGMA**2)) for a, b, c in beads)
    with mrcfile.new(folder / "map.mrc") as file:
        file.set_data(density.astype(np.float32))
        file.voxel_size = PIXEL_SIZE
    count = len(ANGLES)
    optics = {
        "rlnOpticsGroup": [1],
        "rlnOpticsGroupName": ["all"],
        "rlnImagePixelSize": [PIXEL_SIZE],
        "rlnImageSize": [SIDE],
        "rlnImageDimensionality": [2],
        "rlnVoltage": [300.0],
        "rlnSphericalAberration": [2.7],
        "rlnAmplitudeContrast": [0.1],
    }
    particles = {
        "rlnImageName": [f"{row + 1:06d}@stack.mrcs" for row in range(count)],
        "rlnMicrographName": ["micrograph.mrc"] * count,
        "rlnOpticsGroup": [1] * count,
        **{f"rlnAngle{name}": ANGLES[:, column] for column, name in enumerate(("Rot", "Tilt", "Psi"))},
        "rlnDefocusU": [20000.0] * count,
        "rlnDefocusV": [12000.0] * count,
        "rlnDefocusAngle": [30.0] * count,
    }
    (folder / "angles.star").write_text(star_text({"optics": optics, "particles": particles}))
    words = ["--i", "map.mrc", "--o", "projected", "--ang", "angles.star", "--angpix", str(PIXEL_SIZE), *options]
    subprocess.run(["relion_project", *words], cwd=folder, check=True, capture_output=True)
    return mrcfile.read(folder / "projected.mrcs")


def our_projections(beads: np.ndarray, *, with_transfer: bool) -> np.ndarray:
    count = len(ANGLES)
    one, size = torch.ones(count), torch.full((count,), PIXEL_SIZE)
    points = project_particles(
        torch.from_numpy(beads[None]).float(),
        torch.ones(1, len(beads)),
        structure=torch.zeros(count, dtype=torch.long),
        image=torch.arange(count),
        xy=torch.full((count, 2), SIDE // 2),
        rotation=torch.from_numpy(rotations_of(ANGLES)).float(),
        amplitude=one,
        cut=torch.tensor([0, 0, 1, torch.inf]).repeat(count, 1),
        pixel_size=size,
        shape=(count, SIDE, SIDE),
    )
    at = frequencies((SIDE, SIDE), size)
    transforms = torch.fft.rfft2(points) * blur(SIGMA * one, size, at)
    if with_transfer:
        optics = Optics(16000 * one, 4000 * one, np.deg2rad(30) * one, 2.7e7 * one, 0.1 * one, 0 * one, 0 * one, 3e5 * one)
        transforms = transforms * transfer(optics, at)
    return torch.fft.irfft2(transforms, s=(SIDE, SIDE)).numpy()
