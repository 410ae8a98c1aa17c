"""Estimates of an unknown particle diameter, from one micrograph and from several."""

from dataclasses import replace

import numpy as np
import pytest

from cryopick.errors import CryopickError
from cryopick.pickers import picker
from cryopick.pickers.diameter import (
    REGION,
    DiameterEstimate,
    EstimatesDiameter,
    MicrographEstimate,
    combine,
    estimate_diameter,
    match_scale,
    middle,
)
from cryopick.randomness import generator
from cryopick.simulate import FixedStructures, SimulatedMicrograph, pseudo_protein, simulate_micrograph
from cryopick.types import Micrograph

SIDE = 400
PARTICLE_PX = 10.0


class Peaks:
    """Twenty peaks in an image, highest when a particle of `diameter` pixels of the full image spans `PARTICLE_PX`."""

    def __init__(self, diameter: float, *, height: float = 0.9) -> None:
        self.diameter, self.height = diameter, height

    def __call__(self, pixels, span):
        assert span == pytest.approx(PARTICLE_PX, rel=0.05)
        side = len(pixels)
        assumed = SIDE * PARTICLE_PX / side
        centres = np.zeros(pixels.shape, np.float32)
        places = np.linspace(2, side - 3, 5).astype(int)
        centres[np.ix_(places[:4], places)] = self.height * np.exp(-(np.log2(assumed / self.diameter) ** 2))
        return centres


def estimated(centres, *, limits=(40.0, 100.0), seed=1):
    pixels = np.random.default_rng(seed).normal(size=(SIDE, SIDE)).astype(np.float32)
    return match_scale(pixels, centres, particle_px=PARTICLE_PX, limits=limits)


@pytest.mark.parametrize("diameter", [44.0, 57.0, 73.0, 90.0])
def test_the_estimate_is_where_the_network_is_most_confident_also_between_the_steps(diameter):
    assert estimated(Peaks(diameter)).diameter == pytest.approx(diameter, rel=0.05)


@pytest.mark.parametrize(("diameter", "nearest"), [(25.0, 40.0), (200.0, 100.0)])
def test_the_estimate_stays_between_its_limits(diameter, nearest):
    found = estimated(Peaks(diameter, height=1.0), limits=(40.0, 100.0))
    assert found is None or found.diameter == pytest.approx(nearest, rel=0.1)
    assert found is None or 40 <= found.diameter <= 100


def test_a_network_without_confidence_gives_no_estimate():
    assert estimated(Peaks(60.0, height=0.4)) is None


@pytest.mark.parametrize("shape", [(1, 1), (30, 500)])
def test_an_image_that_is_too_small_gives_no_estimate(shape):
    pixels = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    assert match_scale(pixels, Peaks(20.0), particle_px=PARTICLE_PX) is None


def test_an_image_without_contrast_gives_no_estimate():
    assert match_scale(np.full((200, 200), 7, np.float32), Peaks(20.0), particle_px=PARTICLE_PX) is None


def test_the_middle_of_the_image_bounds_the_work():
    rows, columns = np.indices((500, 100)).astype(np.float32)
    part = middle(1000 * rows + columns, particle_px=PARTICLE_PX)
    assert part.shape == (REGION * PARTICLE_PX, 100)
    assert (part[0, 0], part[-1, -1]) == (1000 * 130, 1000 * 369 + 99)  # 130 of 500 rows are dropped on either side


MICROGRAPH = Micrograph(np.zeros((4, 4), np.float32), 2.0, "a.mrc")


def combined(*estimates, micrographs=None):
    each = iter(estimates)
    return combine(micrographs or [MICROGRAPH] * len(estimates), lambda micrograph: next(each))


def test_several_micrographs_give_their_median_and_its_spread():
    estimate = combined(MicrographEstimate(180, 0.9), MicrographEstimate(190, 0.9), MicrographEstimate(200, 0.9))
    # Three equal weights w have their middles at w/2, 3w/2 and 5w/2: 10 % of 3w lies below the first, 90 % above the last.
    assert estimate == DiameterEstimate(190, 180, 200, 3, "Å")
    assert str(estimate) == "190 Å (estimated from 3 micrographs; 10th to 90th percentile 180-200)"


def test_a_micrograph_without_particles_does_not_count_and_one_of_low_confidence_counts_little():
    # Weights 0.81, 0.81 and 0.09: half of them, 0.855, lies between the middles 0.405 and 1.215 of 100 and 110 at 5/9 of the way.
    assert (
        combined(MicrographEstimate(100, 0.9), None, MicrographEstimate(110, 0.9), MicrographEstimate(400, 0.3)).diameter == 106
    )
    assert combined(MicrographEstimate(100, 0.9), None).micrographs == 1


def test_the_unit_is_pixels_where_no_pixel_size_is_known():
    estimate = combined(MicrographEstimate(75.04, 0.9), micrographs=[replace(MICROGRAPH, pixel_size=None)])
    assert str(estimate) == "75 pixels (estimated from 1 micrograph)"


def test_micrographs_with_and_without_a_pixel_size_cannot_share_a_diameter():
    with pytest.raises(CryopickError, match="--pixel-size"):
        combined(
            MicrographEstimate(75, 0.9),
            MicrographEstimate(150, 0.9),
            micrographs=[MICROGRAPH, replace(MICROGRAPH, pixel_size=None)],
        )


def test_the_diameter_is_asked_for_when_no_micrograph_gives_an_estimate():
    with pytest.raises(CryopickError, match="any of the 2 micrographs tried; give --diameter"):
        combined(None, None)


def test_without_micrographs_there_is_no_estimate():
    assert combine([], lambda micrograph: None) is None


class WithoutEstimate:
    """A picker of another package, which has no estimate of its own."""

    def pick(self, micrograph, *, diameter=None):
        raise AssertionError("nothing is picked to estimate a diameter")


class WithEstimate(WithoutEstimate):
    def estimate_diameter(self, micrographs):
        return DiameterEstimate(123, 123, 123, 1, "Å")


@pytest.fixture(scope="module")
def simulated() -> SimulatedMicrograph:
    protein = FixedStructures([pseudo_protein(generator(5, "unknown size"), diameter=180.0)])
    return simulate_micrograph(seed=3, size=560, pixel_size=4.0, preset="easy", structures=protein)


def test_a_picker_may_have_its_own_estimate_and_others_use_the_default_one(simulated):
    assert isinstance(WithEstimate(), EstimatesDiameter)
    assert estimate_diameter(WithEstimate(), [simulated.micrograph]).diameter == 123
    assert estimate_diameter(WithoutEstimate(), [simulated.micrograph]).diameter == pytest.approx(180, rel=0.2)


@pytest.mark.parametrize("name", ["log", "unet"])
def test_the_diameter_of_an_unseen_protein_is_estimated_within_a_fifth_and_it_is_found(name, simulated):
    picks = picker(name).pick(simulated.micrograph)
    assert picks.diameter == pytest.approx(180, rel=0.2)
    assert len(picks) > 0.8 * len(simulated.truth) > 20


def test_light_particles_are_sized_like_dark_ones(simulated):
    light = replace(simulated.micrograph, pixels=-simulated.micrograph.pixels)
    dark = estimate_diameter(picker("log"), [simulated.micrograph])
    assert estimate_diameter(picker("log", settings={"particles": "light"}), [light]) == dark


def test_the_estimate_of_the_log_picker_stays_within_its_limits(simulated):
    limited = picker("log", settings={"diameter_range": [200, 300]}).pick(simulated.micrograph)
    assert 200 <= limited.diameter <= 300


@pytest.mark.parametrize("name", ["log", "unet"])
def test_noise_alone_gives_no_picks(name):
    noise = np.random.default_rng(4).normal(size=(320, 320)).astype(np.float32)
    assert len(picker(name).pick(Micrograph(noise, 1.5))) == 0


def test_the_template_picker_needs_no_estimate(tmp_path):
    from cryopick.io.micrographs.files import write_micrograph

    write_micrograph(tmp_path / "reference.mrc", np.pad(np.ones((20, 20), np.float32), 10), pixel_size=2.0)
    template = picker("template", settings={"references": str(tmp_path / "reference.mrc")})
    assert estimate_diameter(template, [MICROGRAPH]) is None
