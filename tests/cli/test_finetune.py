"""`cryopick finetune` trains on picks of any format, prints scores before and after, and writes weights for picking."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from cryopick.cli import app
from cryopick.errors import SettingError
from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.picks.formats import read_picks, write_picks
from cryopick.models.attention_unet import AttentionUNet
from cryopick.models.weights import Card, read_card, save
from cryopick.types import Picks

pytest.importorskip("lightning.fabric")
QUICK = [word for one in ("loop.steps=2", "loop.validate_every=2", "loop.batch=2", "mix=1", "crop=2") for word in ("--set", one)]


@pytest.fixture
def folder(tmp_path, rng) -> Path:
    """Two micrographs of noise with picks in a STAR, one that is damaged, and untrained weights."""
    truth = []
    for name in ("a", "b"):
        write_micrograph(tmp_path / "mics" / f"{name}.mrc", rng.normal(size=(128, 128)).astype(np.float32), pixel_size=2.0)
        truth.append(Picks(f"{name}.mrc", rng.uniform(20, 100, (9, 2)), None, 40.0, (128, 128), 2.0))
    (tmp_path / "mics" / "cut.mrc").write_bytes(b"nothing")
    write_picks(truth, tmp_path / "particles.star", format="star")
    torch.manual_seed(1)
    card = Card("attention-unet", {"width": 2, "levels": 2, "maps": 3}, input={"particle_px": 10.0, "calibration": [1.0, 0.0]})
    save(tmp_path / "start.safetensors", AttentionUNet(2, 2, maps=3).state_dict(), card)
    return tmp_path


def run(folder: Path, *words: str):
    about = ["--diameter", "40", "--weights", str(folder / "start.safetensors"), "--out", str(folder / "run")]
    return CliRunner().invoke(app, ["finetune", str(folder / "mics"), *about, *words, *QUICK], catch_exceptions=False)


def test_fine_tuned_weights_can_be_used_for_picking(folder):
    result = run(folder, str(folder / "particles.star"))
    assert result.exit_code == 0
    assert "18 particles on 2 micrographs" in result.output
    assert "skipped: cut.mrc" in result.output
    assert "precision" in result.output
    weights = folder / "run" / "weights.safetensors"
    picked = ["pick", str(folder / "mics" / "a.mrc"), "--picker", "unet", "--weights", str(weights), "--diameter", "40"]
    out = ["--out", str(folder / "picks"), "--workers", "1", "--no-previews"]
    assert CliRunner().invoke(app, [*picked, *out], catch_exceptions=False).exit_code == 0


def test_partial_labels_are_scored_by_recall_only(folder):
    result = run(folder, str(folder / "particles.star"), "--partial")
    assert "for as many picks as before" in result.output
    assert "precision" not in result.output
    card = read_card(folder / "run" / "weights.safetensors")
    assert card is not None


def test_pseudo_labels_need_no_picks_and_rounds_follow_each_other(folder, monkeypatch):
    monkeypatch.setattr("cryopick.train.finetune.self_training.VALIDATION_CROPS", 2)
    monkeypatch.setattr("cryopick.train.finetune.self_training.VALIDATION_STRUCTURES", 2)
    result = run(folder, "--pseudo-labels", "--rounds", "2", "--set", "label_threshold=0.02", "--set", "ignore_threshold=0.01")
    assert result.exit_code == 0
    assert "round 1: trained on" in result.output
    assert "cannot be scored" in result.output
    assert (folder / "run" / "weights.safetensors").is_file()


def test_one_setting_of_the_loop_leaves_the_others_unchanged(folder):
    run(folder, str(folder / "particles.star"))
    recorded = (folder / "run" / "run.yaml").read_text()
    assert "learning_rate: 0.0005" in recorded


def test_other_labels_or_another_diameter_are_another_run_though_their_numbers_are_the_same(folder):
    picks = folder / "particles.star"
    assert run(folder, str(picks)).exit_code == 0
    with pytest.raises(SettingError, match=r"diameter_px was \[20.0\], now \[25.0\]"):
        run(folder, str(picks), "--diameter", "50")
    moved = [replace(each, xy=each.xy + 3.0) for each in read_picks(picks)]
    write_picks(moved, picks, format="star")
    with pytest.raises(SettingError, match=r"label_fingerprint was .*, now .*another --out"):
        run(folder, str(picks))


def test_a_third_path_is_an_error(folder):
    result = run(folder, "one", "two")
    assert result.exit_code == 2
    assert "unexpected argument: two" in result.stderr


def test_bare_settings_of_the_last_version_still_work_with_a_warning(folder):
    result = run(folder, str(folder / "particles.star"), "loop.seed=7")
    assert result.exit_code == 0
    assert "`loop.seed=7` is deprecated and will be removed in the next version; write `--set loop.seed=7`" in result.stderr
    assert "seed: 7" in (folder / "run" / "run.yaml").read_text()
