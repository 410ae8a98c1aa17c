"""What holds for every picker in the table, and so for a new one: what it is given, and what it gives."""

from dataclasses import fields, replace

import numpy as np
import pytest

from cryopick.coordinates import inside
from cryopick.io.volumes import write_map
from cryopick.pickers import PICKERS
from cryopick.runs.settings import build_picker, run_settings
from cryopick.simulate import simulate_micrograph
from cryopick.types import Micrograph

DIAMETER = 180.0
PIXEL_SIZE = 6.0


@pytest.fixture(scope="module")
def simulated():
    micrograph = simulate_micrograph(seed=1, size=(256, 320), pixel_size=PIXEL_SIZE).micrograph
    return replace(micrograph, name="raw/a.mrc", optics_group=3, uid=77)


@pytest.fixture(scope="module", params=PICKERS.names)
def make(request, tmp_path_factory):
    """Makes one of the pickers as a run does, from settings as they stand in ``run.yaml``."""
    settings = {}
    if "references" in {field.name for field in fields(PICKERS.get(request.param).Settings)}:
        place = np.indices((31, 31, 31)) - 15
        ball = tmp_path_factory.mktemp("references") / "ball.mrc"
        write_map(ball, (np.sqrt((place**2).sum(0)) < 12).astype(np.float32), voxel_size=PIXEL_SIZE)
        settings = {"references": str(ball), "view_step": 180, "angular_step": 360}
    return lambda **changed: build_picker(run_settings(request.param, settings=settings, device="cpu", **changed))


@pytest.fixture(scope="module")
def chosen(make):
    return make(threshold=0.01)


def test_picks_lie_on_their_micrograph_best_first_with_scores_from_0_to_1(chosen, simulated):
    picks = chosen.pick(simulated, diameter=DIAMETER)
    assert len(picks) > 3
    assert inside(picks.xy, simulated.shape_hw).all()
    assert picks.scores is not None
    assert 1 >= picks.scores[0] >= picks.scores[-1] >= 0.01
    assert (np.diff(picks.scores) <= 0).all()


def test_picks_carry_what_is_known_of_their_micrograph(chosen, simulated):
    picks = chosen.pick(simulated, diameter=DIAMETER)
    about = (picks.micrograph, picks.shape_hw, picks.pixel_size, picks.optics_group, picks.uid, picks.diameter)
    assert about == ("raw/a.mrc", (256, 320), PIXEL_SIZE, 3, 77, DIAMETER)


def test_a_micrograph_picked_before_changes_nothing(chosen, simulated):
    first = chosen.pick(simulated, diameter=DIAMETER)
    chosen.pick(replace(simulated, pixels=-simulated.pixels[:200]), diameter=DIAMETER)
    again = chosen.pick(simulated, diameter=DIAMETER)
    assert (again.xy.tolist(), again.scores.tolist()) == (first.xy.tolist(), first.scores.tolist())


@pytest.mark.parametrize(("shape", "value"), [((1, 1), 7), ((12, 90), 7), ((250, 256), 7), ((250, 256), 300.7)])
@pytest.mark.parametrize("size", [DIAMETER, None], ids=["diameter", "no diameter"])
def test_a_picture_without_contrast_has_no_picks_whatever_its_size(make, shape, value, size):
    picks = make().pick(Micrograph(np.full(shape, value, np.float32), PIXEL_SIZE), diameter=size)
    assert (len(picks), picks.shape_hw) == (0, shape)


def test_a_picture_smaller_than_a_particle_is_no_error(chosen, simulated):
    corner = Micrograph(simulated.pixels[:20, :25].copy(), PIXEL_SIZE)
    assert inside(chosen.pick(corner, diameter=DIAMETER).xy, (20, 25)).all()
