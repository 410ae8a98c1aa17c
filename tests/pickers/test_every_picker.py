"""What holds for every picker in the table, and so for a new one."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cryopick.coordinates import inside
from cryopick.io.volumes import write_map
from cryopick.models.attention_unet import AttentionUNet
from cryopick.models.detr import Detr
from cryopick.models.weights import Card, save
from cryopick.pickers import PICKERS
from cryopick.runs.settings import build_picker, run_settings
from cryopick.simulate import simulate_micrograph
from cryopick.types import Micrograph

DIAMETER = 180.0
PIXEL_SIZE = 6.0


def ball(folder):
    place = np.indices((31, 31, 31)) - 15
    write_map(folder / "ball.mrc", (np.sqrt((place**2).sum(0)) < 12).astype(np.float32), voxel_size=PIXEL_SIZE)
    return {"references": str(folder / "ball.mrc"), "view_step": 180, "angular_step": 360}


def small_unet(folder):
    """Random weights, scaled so that the map of a micrograph varies about one half."""
    torch.manual_seed(0)
    network = AttentionUNet(4, 3).eval()
    *_, weight, bias = network.parameters()
    with torch.no_grad():
        usual = network(torch.rand(1, 1, 64, 64)).median()
        weight *= 1000
        bias.copy_(1000 * (bias - usual))
    save(folder / "unet.safetensors", network.state_dict(), Card("attention-unet", {"width": 4, "levels": 3}))
    return {"weights": str(folder / "unet.safetensors"), "instances": "watershed", "rules": "robust", "side": 256}


def small_detr(folder):
    torch.manual_seed(0)
    sizes = {"depth": 18, "queries": 20, "width": 16, "heads": 2, "feedforward": 16, "layers": 1}
    card = Card("detr", sizes, input={"short_side": 64, "long_side": 96})
    save(folder / "detr.safetensors", Detr(**sizes).state_dict(), card)
    return {"weights": str(folder / "detr.safetensors"), "max_overlap": 1.0}


@pytest.fixture(scope="module")
def simulated():
    micrograph = simulate_micrograph(seed=1, size=(256, 320), pixel_size=PIXEL_SIZE).micrograph
    return replace(micrograph, name="raw/a.mrc", optics_group=3, uid=77)


@pytest.fixture(scope="module", params=PICKERS.own)
def make(request, tmp_path_factory):
    """Makes one of the pickers as a run does, from settings as ``run.yaml`` has them."""
    folder = tmp_path_factory.mktemp(request.param)
    needed = {"template": ball, "cryosegnet": small_unet, "cryotransformer": small_detr}
    settings = needed[request.param](folder) if request.param in needed else {}
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


def test_picks_carry_the_micrographs_metadata(chosen, simulated):
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
def test_an_image_without_contrast_has_no_picks_whatever_its_size(make, shape, value, size):
    picks = make().pick(Micrograph(np.full(shape, value, np.float32), PIXEL_SIZE), diameter=size)
    assert (len(picks), picks.shape_hw) == (0, shape)


def test_an_image_smaller_than_a_particle_is_no_error(chosen, simulated):
    corner = Micrograph(simulated.pixels[:20, :25].copy(), PIXEL_SIZE)
    assert inside(chosen.pick(corner, diameter=DIAMETER).xy, (20, 25)).all()
