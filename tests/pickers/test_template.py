"""The template picker: an L-shaped particle, turned at random, among discs of the same size."""

import cv2
import mrcfile
import numpy as np
import pytest
from discs import draw_discs, hits, scatter

from cryopick.detection.correlation import Correlator, disc
from cryopick.errors import SettingError
from cryopick.pickers import picker
from cryopick.types import Micrograph

SHAPE = (420, 560)
DIAMETER = 44.0


def letter(size=63, scale=1.0):
    """An L of 40 x 30 pixels, its bounding box's centre on the middle pixel, white on black."""
    fine = np.zeros((size * 4, size * 4), np.float32)
    middle = (size // 2 + 0.5) * 4
    for x0, y0, x1, y1 in [(-15, -20, -5, 20), (-15, 10, 15, 20)]:
        rows = slice(round(middle + 4 * scale * y0), round(middle + 4 * scale * y1))
        fine[rows, round(middle + 4 * scale * x0) : round(middle + 4 * scale * x1)] = 1
    return cv2.resize(fine, (size, size), interpolation=cv2.INTER_AREA)


@pytest.fixture
def scene(rng):
    """Noise with 16 letters at random angles and 10 discs; the letters' centres and the discs'."""
    every = scatter(rng, SHAPE, 26, DIAMETER, apart=1.2)
    assert len(every) == 26
    letters, discs = every[:16], every[16:]
    pixels = draw_discs(rng, SHAPE, discs, 30, contrast=-1)
    for x, y in letters:
        turn = cv2.getRotationMatrix2D((31, 31), rng.uniform(0, 360), 1.0)
        turn[:, 2] += (x - 31, y - 31)
        pixels -= cv2.warpAffine(letter(), turn, SHAPE[::-1])
    return pixels, letters, discs


@pytest.fixture
def reference(tmp_path):
    def write(stack, pixel_size=0.0, name="classes.mrcs"):
        with mrcfile.new(tmp_path / name, overwrite=True) as file:
            file.set_data(np.asarray(stack, np.float32))
            file.voxel_size = pixel_size
        return str(tmp_path / name)

    return write


def test_letters_are_found_at_any_angle_and_rank_above_discs_of_their_darkness(scene, reference):
    pixels, letters, discs = scene
    picks = picker("template", settings={"references": reference(letter()[None])}).pick(Micrograph(pixels), diameter=DIAMETER)
    assert hits(picks.xy, letters, 3) >= 15
    assert hits(picks.xy[: len(letters)], letters, 3) >= 15
    assert hits(picks.xy[: len(letters)], discs, 10) <= 1


def test_light_particles_and_dark_references(scene, reference):
    pixels, letters, _ = scene
    settings = {"references": reference(-letter()[None]), "references_are": "dark", "particles": "light"}
    picks = picker("template", settings=settings).pick(Micrograph(-pixels), diameter=DIAMETER)
    assert hits(picks.xy, letters, 3) >= 15


@pytest.mark.parametrize("override", [False, True])
def test_references_are_brought_to_the_micrographs_pixel_size(scene, reference, override):
    pixels, letters, _ = scene
    half = letter(size=33, scale=0.5)  # the same letter at 4 Å per pixel where the micrograph has 2
    settings = {"references": reference(half[None], pixel_size=7.0 if override else 4.0), "angular_step": 15}
    settings |= {"reference_pixel_size": 4.0} if override else {}
    picks = picker("template", settings=settings).pick(Micrograph(pixels, 2.0), diameter=2 * DIAMETER)
    assert hits(picks.xy, letters, 3) >= 15
    assert picks.diameter == 2 * DIAMETER


def test_references_of_the_wrong_scale_match_worse(scene, reference):
    pixels, letters, _ = scene
    wrong = picker("template", settings={"references": reference(letter()[None], pixel_size=4.0)})
    picks = wrong.pick(Micrograph(pixels, 2.0), diameter=2 * DIAMETER)
    assert hits(picks.xy[: len(letters)], letters, 3) < 12


def test_without_a_diameter_that_of_the_references_counts(reference, rng):
    rows, columns = np.indices((61, 61)) - 30
    round_one = (np.hypot(rows, columns) <= 15).astype(np.float32)
    centres = scatter(rng, SHAPE, 20, 30)
    micrograph = Micrograph(draw_discs(rng, SHAPE, centres, 30, contrast=-1), 2.0)
    picks = picker("template", settings={"references": reference(round_one[None], pixel_size=2.0)}).pick(micrograph)
    assert picks.diameter == pytest.approx(60, rel=0.1)
    assert hits(picks.xy, centres, 2) == 20
    assert len(picks) <= 22


def test_a_map_serves_as_reference(reference, rng):
    grid = np.indices((32, 32, 32)) - 16
    ball = (np.sqrt((grid**2).sum(axis=0)) <= 10).astype(np.float32)
    centres = scatter(rng, SHAPE, 20, 40)
    micrograph = Micrograph(draw_discs(rng, SHAPE, centres, 40, contrast=-1), 1.5)
    settings = {"references": reference(ball, pixel_size=3.0, name="map.mrc"), "view_step": 60}
    picks = picker("template", settings=settings).pick(micrograph, diameter=60)
    assert hits(picks.xy, centres, 2) == 20
    assert len(picks) <= 22


def test_one_pixel_size_without_the_other_is_refused(reference):
    known = picker("template", settings={"references": reference(letter()[None], pixel_size=2.0)})
    with pytest.raises(SettingError, match=r"has no pixel size.*--pixel-size"):
        known.pick(Micrograph(np.zeros((80, 80))), diameter=20)
    unknown = picker("template", settings={"references": reference(letter()[None])})
    with pytest.raises(SettingError, match="reference_pixel_size"):
        unknown.pick(Micrograph(np.zeros((80, 80)), 2.0), diameter=20)


@pytest.mark.parametrize("shape", [(1, 1), (20, 90), (90, 120)])
def test_constant_and_tiny_images_have_no_picks(reference, shape):
    template = picker("template", settings={"references": reference(letter()[None])})
    assert len(template.pick(Micrograph(np.full(shape, 5.0)), diameter=30)) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"references": "x.mrcs", "angular_step": 0},
        {"references": "x.mrcs", "spacing": -1},
        {"references": "x.mrcs", "threshold": 2},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(SettingError):
        picker("template", settings=wrong)


def test_an_image_correlates_fully_with_a_cut_out_of_itself(rng):
    pixels = rng.normal(size=(60, 80)).astype(np.float32)
    mask = disc(6)
    reach = len(mask) // 2
    correlate = Correlator(pixels, mask)
    spot = np.unravel_index(np.argmax(correlate.deviation[10:-10, 10:-10]), (40, 60))
    row, column = spot[0] + 10, spot[1] + 10
    template = pixels[row - reach : row + reach + 1, column - reach : column + reach + 1]
    likeness = correlate(template * 7 - 3)
    assert likeness[row, column] == pytest.approx(1, abs=1e-4)
    assert likeness.argmax() == row * 80 + column
    np.testing.assert_allclose(correlate(-template), -likeness, atol=1e-5)


def test_means_and_deviations_are_those_under_the_mask(rng):
    pixels = rng.normal(size=(30, 40)).astype(np.float32)
    mask = disc(4)
    correlate = Correlator(pixels, mask)
    patch = pixels[15 - 5 : 15 + 6, 20 - 5 : 20 + 6]
    mean = (patch * mask).sum() / mask.sum()
    assert correlate.mean[15, 20] + pixels.mean() == pytest.approx(mean, abs=1e-5)
    assert correlate.deviation[15, 20] == pytest.approx(np.sqrt(((patch - mean) ** 2 * mask).sum() / mask.sum()), abs=1e-5)
