"""RELION 3.1 extracts particles at the places we write: the pixels tell whether the frame is right."""

import shutil
import subprocess
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile
from relion_project import write_micrographs_star

from cryopick.io.micrographs.sources import MicrographSource
from cryopick.io.picks.formats import read_picks, write_picks
from cryopick.io.picks.relion import write_coordinates, write_index
from cryopick.io.tables.star import read_star
from cryopick.types import Picks

HEIGHT, WIDTH = 96, 150
# Integers, fractions on both sides of a half, the pixel nearest to each border that a box of 16 allows.
XY = [[40, 30], [61.4, 50.6], [20.5, 70.49], [8, 8], [WIDTH - 8, HEIGHT - 8], [100, 9], [9, 80]]

pytestmark = pytest.mark.skipif(shutil.which("relion_preprocess") is None, reason="RELION 3.1 is not installed")


@pytest.fixture
def pixels(rng):
    return rng.normal(size=(HEIGHT, WIDTH)).astype(np.float32)


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "Micrographs").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def extract(project, *where, box):
    command = ["relion_preprocess", "--i", "micrographs.star", *where, "--part_dir", "Extract/", "--part_star", "particles.star"]
    done = subprocess.run([*command, "--extract", "--extract_size", str(box)], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    table = read_star(project / "particles.star")["particles"]
    stacks = [image.split("@")[1] for image in table.text("rlnImageName")]
    return np.stack([mrcfile.read(project / stack).reshape(-1, box, box)[i] for i, stack in numbered(stacks)])


def numbered(stacks):
    seen: dict[str, int] = {}
    for stack in stacks:
        seen[stack] = seen.get(stack, -1) + 1
        yield seen[stack], stack


def crop(pixels, xy, box):
    """The box whose pixel `box // 2` is the pick's pixel."""
    x, y = (int(np.floor(value + 0.5)) - box // 2 for value in xy)
    return pixels[y : y + box, x : x + box]


def save(project, name, pixels):
    if name.endswith(".mrc"):
        mrcfile.write(project / name, pixels, voxel_size=1.5)
    else:
        tifffile.imwrite(project / name, pixels)


@pytest.mark.parametrize("box", [16, 10])
def test_extracted_particles_are_the_pixels_around_our_picks(project, pixels, box):
    save(project, "Micrographs/a.mrc", pixels)
    write_micrographs_star(project / "micrographs.star", ["Micrographs/a.mrc"])
    write_picks([Picks("Micrographs/a.mrc", XY, np.linspace(0.9, 0.1, len(XY)))], "Pick", format="relion")
    particles = extract(project, "--coord_dir", "Pick/", "--coord_suffix", "_autopick.star", box=box)
    np.testing.assert_array_equal(particles, [crop(pixels, xy, box) for xy in XY])


@pytest.mark.parametrize("box", [16, 10])
def test_relion_turns_tiffs_upside_down_and_our_picks_are_turned_with_them(project, pixels, box):
    save(project, "Micrographs/a.tif", pixels)
    write_micrographs_star(project / "micrographs.star", ["Micrographs/a.tif"])
    inner = [(x, y) for x, y in XY if y < HEIGHT - 8]
    write_picks([Picks("Micrographs/a.tif", inner, shape_hw=pixels.shape)], "Pick", format="relion")
    particles = extract(project, "--coord_dir", "Pick/", "--coord_suffix", "_autopick.star", box=box)
    np.testing.assert_array_equal(particles, [crop(pixels[::-1], (x, HEIGHT - 1 - y), box) for x, y in inner])


@pytest.mark.parametrize("side", [20, 21])
def test_eman_boxes_of_even_and_odd_sides_are_read_by_relion_around_our_picks(project, pixels, side):
    save(project, "Micrographs/a.mrc", pixels)
    write_micrographs_star(project / "micrographs.star", ["Micrographs/a.mrc"])
    write_picks([Picks("Micrographs/a.mrc", XY)], "Boxes/Micrographs", format="box", box=side)
    particles = extract(project, "--coord_dir", "Boxes/", "--coord_suffix", ".box", box=16)
    np.testing.assert_array_equal(particles, [crop(pixels, xy, 16) for xy in XY])


def test_several_micrographs_of_a_relion_job_one_of_them_without_picks(project, pixels):
    names = [f"MotionCorr/job002/raw/{letter}.mrc" for letter in "abc"]
    (project / names[0]).parent.mkdir(parents=True)
    images = [pixels, pixels + 10, pixels + 20]
    for name, image in zip(names, images, strict=True):
        save(project, name, image)
    write_micrographs_star(project / "micrographs.star", names)
    picks = [Picks(names[0], XY[:2]), Picks(names[1]), Picks(names[2], XY[2:3])]
    write_index([(each.micrograph, write_coordinates(each, Path("Pick"))) for each in picks], Path("Pick"))
    particles = extract(project, "--coord_dir", "Pick/", "--coord_suffix", "_autopick.star", box=10)
    expected = [crop(images[0], XY[0], 10), crop(images[0], XY[1], 10), crop(images[2], XY[2], 10)]
    np.testing.assert_array_equal(particles, expected)


def test_what_relion_writes_when_it_extracts_is_read(project, pixels):
    save(project, "Micrographs/a.mrc", pixels)
    write_micrographs_star(project / "micrographs.star", ["Micrographs/a.mrc"])
    write_picks([Picks("Micrographs/a.mrc", XY, np.linspace(0.9, 0.1, len(XY)))], "Pick", format="relion")
    extract(project, "--coord_dir", "Pick/", "--coord_suffix", "_autopick.star", box=10)
    (picks,) = read_picks("particles.star")
    assert picks.micrograph == "Micrographs/a.mrc"
    assert picks.xy.tolist() == [[int(x + 0.5), int(y + 0.5)] for x, y in XY]
    np.testing.assert_allclose(picks.scores, np.linspace(0.9, 0.1, len(XY)), atol=1e-6)


@pytest.mark.parametrize("name", ["Micrographs/a.mrc", "Micrographs/a.tif"])
def test_what_relions_own_picker_writes_is_read(project, rng, name):
    y, x = np.mgrid[:256, :320]
    discs = sum(np.hypot(x - cx, y - cy) < 12 for cx, cy in [(80, 60), (240, 180)])
    image = (rng.normal(size=discs.shape) * 0.1 - discs).astype(np.float32)
    save(project, name, image)
    write_micrographs_star(project / "micrographs.star", [name])
    command = "relion_autopick --i micrographs.star --odir Pick/ --pickname autopick --LoG --LoG_diam_min 30 --LoG_diam_max 42"
    done = subprocess.run([*command.split(), "--shrink", "0"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (picks,) = read_picks("Pick", format="relion", micrographs=[MicrographSource(project / name, name)])
    best = picks.where(np.argsort(-picks.scores)[:2])
    np.testing.assert_allclose(sorted(best.xy.tolist()), [[80, 60], [240, 180]], atol=3)
