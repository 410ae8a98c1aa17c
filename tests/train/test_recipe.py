"""The models that can be trained, and their former names."""

import subprocess
import sys

import pytest

from cryopick.config import load_preset, preset_names, resolve
from cryopick.errors import SettingError
from cryopick.files import FOLDER_LOCK, locked, release_folder
from cryopick.train.recipe import RECIPES, hold_for_training, resolve_model

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


def test_a_folder_is_used_by_one_training_at_a_time(tmp_path):
    code = (
        "import sys; from pathlib import Path; from cryopick.train.recipe import hold_for_training\n"
        "hold_for_training(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, tmp_path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(SettingError, match="is in use by another training"):
            hold_for_training(tmp_path)
        other.kill()
    hold_for_training(tmp_path)
    hold_for_training(tmp_path)  # the same process, as when a notebook trains twice
    release_folder(tmp_path)
    with locked(tmp_path / FOLDER_LOCK):
        pass
