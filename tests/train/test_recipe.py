"""The models that can be trained, and their former names."""

import pytest

from cryopick.config import load_preset, preset_names, resolve
from cryopick.train.recipe import RECIPES, resolve_model

pytest.importorskip("lightning.fabric")


@pytest.mark.parametrize(
    ("name", "preset", "model"),
    [
        ("segnet", "default", "unet"),
        ("transformer", "default", "detr"),
        ("segnet", "paper", "cryosegnet"),
        ("transformer", "paper", "cryotransformer"),
    ],
)
def test_former_names_are_resolved_with_a_notice_of_what_to_write(name, preset, model):
    resolved, resolved_preset, notice = resolve_model(name, preset)
    assert (resolved, resolved_preset) == (model, "default")
    assert notice is not None
    assert notice.endswith(f"is deprecated; write `cryopick train {model}`")


def test_other_names_are_not_changed():
    assert len(RECIPES.names) == 4
    for name in (*RECIPES.names, "unknown"):
        assert resolve_model(name, "default") == (name, "default", None)


def test_every_model_has_a_default_preset_that_can_be_resolved():
    for name in RECIPES.names:
        assert "default" in preset_names(f"train-{name}")
        settings = resolve(RECIPES.get(name).settings, load_preset(f"train-{name}", "default"))
        assert settings.loop.steps >= 1
