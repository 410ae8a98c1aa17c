"""From settings to weights that pick, in one command."""

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from cryopick.cli import app
from cryopick.errors import SettingError
from cryopick.models.weights import read_card
from cryopick.pickers import picker
from cryopick.simulate import simulate_micrograph
from cryopick.simulate.crops import Crops
from cryopick.train.recipes import SegnetTraining, calibrate

pytest.importorskip("lightning.fabric")
SMALL = ["width=2", "levels=2", "structures=2", "held_out_structures=2", "held_out_crops=2", "accelerator=cpu", "recipe.crop=48"]


def test_a_short_training_gives_weights_that_the_fast_route_takes(tmp_path):
    words = [*SMALL, "loop.steps=3", "loop.batch=2", "loop.validate_every=2", "loop.warmup=1"]
    result = CliRunner().invoke(app, ["train", "segnet", "simulate", *words, "--out", str(tmp_path)], catch_exceptions=False)
    assert result.exit_code == 0
    card = read_card(tmp_path / "weights.safetensors")
    assert card is not None
    assert (card.settings, card.input["particle_px"]) == ({"width": 2, "levels": 2, "maps": 3}, 12.0)
    micrograph = simulate_micrograph(seed=1, size=512, pixel_size=3.0, preset="easy").micrograph
    settings = {"weights": str(tmp_path / "weights.safetensors"), "threshold": 0.0}
    picks = picker("segnet", settings=settings).pick(micrograph, diameter=150)
    assert picks.diameter == 150
    assert ((picks.scores >= 0) & (picks.scores <= 1)).all()


@pytest.mark.parametrize("wrong", [{"structures": 0}, {"held_out_crops": 0}, {"particle_px": -1.0}])
def test_settings_that_cannot_train_are_refused_by_name(wrong):
    with pytest.raises(SettingError, match=next(iter(wrong))):
        SegnetTraining(**wrong)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_cuda_device_is_told():
    with pytest.raises(SettingError, match="no CUDA"):
        SegnetTraining(accelerator="cuda")


def test_scores_are_calibrated_to_the_share_that_is_right():
    # 400 lone peaks of logit 2, of which 3 in 4 are particles, and 400 of logit −1, of which 1 in 4: log-odds ± log 3.
    size, step = 200, 10
    logits = torch.full((2, 1, size, size), -9.0)
    centres = [(x, y) for y in range(5, size, step) for x in range(5, size, step)]
    true = []
    for image, (height, share) in enumerate(((2.0, 3), (-1.0, 1))):
        for index, (x, y) in enumerate(centres):
            logits[image, 0, y, x] = height
            if index % 4 < share:
                true.append((image, x, y))
    image, xy = torch.tensor([t[0] for t in true]), torch.tensor([t[1:] for t in true], dtype=torch.float32)
    nowhere, sizes, visible = torch.zeros(0, 2), torch.full((2,), 4.0), torch.ones(len(xy))
    crops = Crops(logits[:, 0], sizes, sizes, xy, image, visible, nowhere, nowhere[:, 0], logits[:, 0])
    slope, offset = calibrate(torch.nn.Identity(), logits, crops, spacing=0.5)
    np.testing.assert_allclose([2 * slope + offset, -slope + offset], [np.log(3), -np.log(3)], atol=1e-3)
