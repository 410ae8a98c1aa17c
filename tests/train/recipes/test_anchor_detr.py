"""From settings to a transformer's weights that pick, in one command."""

import pytest
from typer.testing import CliRunner

from cryopick.cli import app
from cryopick.errors import SettingError
from cryopick.models.weights import read_card
from cryopick.pickers import picker
from cryopick.simulate import simulate_micrograph
from cryopick.train.recipes.anchor_detr import TransformerTraining

pytest.importorskip("lightning.fabric")
SMALL = [
    *("width=16", "encoder=1", "decoder=1", "structures=2", "held_out_structures=2", "held_out_crops=2", "accelerator=cpu"),
    *("recipe.crop=48", "margin=4", "loop.steps=3", "loop.batch=2", "loop.validate_every=2", "loop.warmup=1"),
]


def test_a_short_training_gives_weights_that_the_tiled_route_takes(tmp_path):
    command = [
        "train",
        "transformer",
        "--simulate",
        *(part for word in SMALL for part in ("--set", word)),
        "--out",
        str(tmp_path),
    ]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0
    card = read_card(tmp_path / "weights.safetensors")
    assert card is not None
    assert card.settings == {"particle_px": 12.0, "width": 16, "encoder": 1, "decoder": 1}
    assert {name: card.input[name] for name in ("particle_px", "tile", "margin")} == {
        "particle_px": 12.0,
        "tile": 48,
        "margin": 4,
    }
    assert len(card.input["calibration"]) == 2
    micrograph = simulate_micrograph(seed=1, size=512, pixel_size=3.0, preset="easy").micrograph
    settings = {"weights": str(tmp_path / "weights.safetensors"), "threshold": 0.0}
    picks = picker("detr", settings=settings).pick(micrograph, diameter=150)
    assert picks.diameter == 150
    assert ((picks.scores >= 0) & (picks.scores <= 1)).all()


@pytest.mark.parametrize(
    "wrong", [{"structures": 0}, {"held_out_crops": 0}, {"particle_px": -1.0}, {"margin": 48}, {"margin": -1}]
)
def test_settings_that_cannot_train_are_refused_by_name(wrong):
    with pytest.raises(SettingError, match=next(iter(wrong))):
        TransformerTraining(**wrong)
