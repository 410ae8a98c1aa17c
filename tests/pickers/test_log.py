"""The LoG picker on discs in noise, whose centres, sizes and sign are known."""

import numpy as np
import pytest
from discs import draw_discs, hits, scatter
from scipy.spatial import cKDTree
from typer.testing import CliRunner

from cryopick.cli import app
from cryopick.errors import SettingError
from cryopick.pickers import picker
from cryopick.pickers.log import LogPicker, LogSettings
from cryopick.resolution.half_maps import read_oriented
from cryopick.types import Micrograph

SHAPE = (420, 560)
DIAMETER = 36.0


@pytest.fixture
def centres(rng):
    return scatter(rng, SHAPE, 40, DIAMETER)


def pick(pixels, *, diameter=DIAMETER, pixel_size=None, **settings):
    return LogPicker(LogSettings(**settings)).pick(Micrograph(pixels, pixel_size), diameter=diameter)


@pytest.mark.parametrize(("sign", "particles"), [(-1, "dark"), (1, "light")])
def test_faint_discs_are_found_at_their_centres(rng, centres, sign, particles):
    picks = pick(draw_discs(rng, SHAPE, centres, DIAMETER, contrast=0.4 * sign), particles=particles)
    assert hits(picks.xy, centres, 3) >= 38
    assert len(picks) <= 44
    distances = cKDTree(centres).query(picks.xy)[0]
    assert np.median(distances) < 1.2


def test_strong_discs_are_all_found_and_nothing_else(rng, centres):
    picks = pick(draw_discs(rng, SHAPE, centres, DIAMETER, contrast=-3))
    assert len(picks) == len(centres)
    assert hits(picks.xy, centres, 1) == len(centres)


def test_the_positions_are_right_on_average(rng, centres):
    # A shift by half a pixel, as a wrong map gives, would show: 40 positions are each right to about 0.3 px.
    picks = pick(draw_discs(rng, SHAPE, centres, DIAMETER, contrast=-2))
    offset = picks.xy - centres[cKDTree(centres).query(picks.xy)[1]]
    np.testing.assert_allclose(offset.mean(axis=0), 0, atol=0.2)


def test_rings_are_found_at_their_middle(rng, centres):
    rings = draw_discs(rng, SHAPE, centres, DIAMETER, contrast=-1)
    rings += draw_discs(None, SHAPE, centres, 0.7 * DIAMETER, contrast=0.9)
    picks = pick(rings)
    assert hits(picks.xy, centres, 3) >= 38
    assert len(picks) <= 44


def test_hollow_particles_are_found_at_their_middle_and_not_at_their_rim(tmp_path):
    words = ["--size", "384", "--pixel-size", "6", "--preset", "resolution", "--structures", "barrel-D7", "--seed", "1"]
    run = CliRunner().invoke(app, ["simulate", "--out", str(tmp_path), "-n", "1", *words], catch_exceptions=False)
    assert run.exit_code == 0
    (simulated,) = read_oriented(tmp_path)
    picks = LogPicker(LogSettings()).pick(simulated.source.read(), diameter=170)
    distances = cKDTree(simulated.truth.xy).query(picks.xy)[0]
    assert np.median(distances) * 6 < 0.05 * 170


def test_three_discs_in_a_large_image_are_found(rng):
    centres = np.array([[100.0, 80], [300, 200], [450, 330]])
    picks = pick(draw_discs(rng, SHAPE, centres, DIAMETER, contrast=-1))
    assert hits(picks.xy, centres, 2) == 3
    assert len(picks) <= 5


def test_noise_alone_gives_next_to_nothing(rng):
    assert len(pick(rng.normal(size=SHAPE).astype(np.float32))) <= 15  # of some 300 places


def test_brightness_and_contrast_do_not_matter(rng, centres):
    pixels = draw_discs(rng, SHAPE, centres, DIAMETER, contrast=-1)
    plain, changed = pick(pixels), pick(pixels * 250 + 4000)
    np.testing.assert_allclose(plain.xy, changed.xy, atol=0.05)
    np.testing.assert_allclose(plain.scores, changed.scores, atol=0.01)


def test_angstroms_and_pixels_mean_the_same(rng, centres):
    pixels = draw_discs(rng, SHAPE, centres, DIAMETER, contrast=-1)
    in_pixels, in_angstroms = pick(pixels), pick(pixels, diameter=2.5 * DIAMETER, pixel_size=2.5)
    assert in_pixels.xy.tolist() == in_angstroms.xy.tolist()
    assert (in_pixels.diameter, in_angstroms.diameter) == (DIAMETER, 90)


def test_an_image_twice_as_large_has_the_same_particles(rng, centres):
    pixels = draw_discs(rng, SHAPE, centres, DIAMETER, contrast=-1)
    large = np.repeat(np.repeat(pixels, 2, axis=0), 2, axis=1)
    picks = pick(large, diameter=2 * DIAMETER)
    assert hits(picks.xy, 2 * centres + 0.5, 3) == len(centres)
    assert len(picks) <= 42


@pytest.mark.parametrize("mode", ["constant", "edge"])
def test_padding_has_no_picks(rng, centres, mode):
    padded = np.pad(draw_discs(rng, SHAPE, centres, DIAMETER, contrast=-1), ((40, 30), (60, 20)), mode=mode)
    picks = pick(padded)
    assert hits(picks.xy, centres + np.array([60, 40]), 2) >= 39
    inner = (picks.xy >= (60, 40)) & (picks.xy < (60 + SHAPE[1], 40 + SHAPE[0]))
    assert inner.all()


def test_particles_that_the_edge_cuts_are_left_out(rng, centres):
    cut = np.array([[3.0, 150], [300, 4], [557, 300]])
    picks = pick(draw_discs(rng, SHAPE, np.vstack([centres, cut]), DIAMETER, contrast=-2))
    assert hits(picks.xy, cut, DIAMETER) == hits(centres, cut, DIAMETER)
    assert (picks.xy >= DIAMETER / 2 - 1).all()


def test_a_dark_contaminant_has_no_picks_and_spoils_no_others(rng, centres):
    contaminant = np.array([[280.0, 210]])
    centres = centres[np.hypot(*(centres - contaminant).T) > 130]
    pixels = draw_discs(rng, SHAPE, centres, DIAMETER, contrast=-0.7)
    picks = pick(pixels + draw_discs(None, SHAPE, contaminant, 180, contrast=-30))
    assert hits(picks.xy, centres, 3) >= 0.9 * len(centres)
    assert (np.hypot(*(picks.xy - contaminant).T) > 70).all()


def test_picks_are_best_first_and_keep_their_distance(rng, centres):
    picks = pick(draw_discs(rng, SHAPE, centres, DIAMETER, contrast=-0.3), threshold=0.0)
    assert len(picks) > 60
    assert (np.diff(picks.scores) <= 0).all()
    assert 0 <= picks.scores[-1] < 0.5 < picks.scores[0] <= 1
    assert cKDTree(picks.xy).query(picks.xy, 2)[0][:, 1].min() >= 0.6 * DIAMETER - 0.01


def test_a_higher_threshold_keeps_the_best(rng, centres):
    pixels = draw_discs(rng, SHAPE, centres, DIAMETER, contrast=-0.4)
    every, best = pick(pixels, threshold=0.0), pick(pixels, threshold=0.8)
    assert 0 < len(best) < len(every)
    assert best.xy.tolist() == every.xy[: len(best)].tolist()


@pytest.mark.parametrize("diameter", [None, 30.0])
@pytest.mark.parametrize("shape", [(1, 1), (8, 25), (64, 100)])
def test_constant_images_and_images_smaller_than_a_particle_have_no_picks(shape, diameter):
    picks = pick(np.full(shape, 3, np.float32), diameter=diameter)
    assert len(picks) == 0
    assert picks.scores.shape == (0,)


def test_an_image_smaller_than_a_particle_has_no_picks_whatever_is_on_it(rng):
    assert len(pick(rng.normal(size=(20, 300)).astype(np.float32), diameter=30.0)) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"slenderness": 0},
        {"spacing": 0},
        {"border": -1},
        {"contamination": 0},
        {"diameter_range": [50, 20]},
        {"particles": "grey"},
        {"threshold": 7},
        {"threshold": float("nan")},
        {"spacing": float("nan")},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(SettingError):
        picker("log", settings=wrong)
