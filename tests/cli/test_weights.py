"""`cryopick weights` on published-looking checkpoints."""

from argparse import Namespace
from pathlib import Path

import pytest
import torch
import yaml
from golden_fill import fill
from typer.testing import CliRunner, Result

from cryopick.cli import app
from cryopick.errors import FileError, SettingError
from cryopick.models import weights
from cryopick.models.attention_unet import AttentionUNet
from cryopick.models.checkpoints import file_sha256


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["weights", *map(str, words)], catch_exceptions=False)


@pytest.fixture
def published(tmp_path: Path) -> Path:
    model = AttentionUNet(width=2, levels=3)
    fill(model)
    path = tmp_path / "unet.pth"
    torch.save({"model": model.state_dict(), "epoch": 7, "args": Namespace(lr=1e-4)}, path)
    return path


def test_a_converted_checkpoint_is_the_same_network_and_knows_where_it_came_from(published, tmp_path):
    target = tmp_path / "new" / "unet.safetensors"
    assert run("convert", published, target, "--notes", "for a test").exit_code == 0
    before, after = weights.load(published).state_dict(), weights.load(target).state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    card = weights.read_card(target)
    assert (card.architecture, card.settings) == ("attention-unet", {"width": 2, "levels": 3, "maps": 1})
    assert (card.source, card.source_sha256) == ("unet.pth", file_sha256(published))
    assert (card.licence, card.notes) == ("MIT", "for a test")


def test_converting_again_keeps_the_first_source(published, tmp_path):
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    run("convert", published, first)
    run("convert", first, second, "--half", "--licence", "CC0")
    card = weights.read_card(second)
    assert (card.source, card.source_sha256, card.licence) == ("unet.pth", file_sha256(published), "CC0")
    assert weights.read_state(second)[0]["b1.conv.0.weight"].dtype == torch.float16


def test_weights_that_do_not_fit_are_not_converted(published, tmp_path):
    state = torch.load(published, weights_only=False)["model"]
    del state["output.bias"]
    torch.save(state, published)
    with pytest.raises(FileError, match=r"1 missing: output\.bias"):
        run("convert", published, tmp_path / "unet.safetensors")
    assert not (tmp_path / "unet.safetensors").exists()


def test_converting_into_another_format_is_refused(published, tmp_path):
    with pytest.raises(SettingError, match="safetensors"):
        run("convert", published, tmp_path / "unet.pt")


def test_showing_prints_the_card_as_yaml(published):
    shown = yaml.safe_load(run("show", published).output)
    assert (shown["architecture"], shown["settings"]) == ("attention-unet", {"width": 2, "levels": 3, "maps": 1})
    expected = AttentionUNet(width=2, levels=3).state_dict()
    assert shown["tensors"] == len(expected)
    assert shown["values"] == sum(value.numel() for value in expected.values() if value.dtype == torch.float32)


def test_the_list_has_the_users_weights_and_where_published_ones_are(published, tmp_path, monkeypatch):
    run("convert", published, tmp_path / "mine.safetensors")
    monkeypatch.setenv("CRYOPICK_WEIGHTS", str(tmp_path))
    output = run("list").output
    assert "mine  attention-unet width 2, levels 3, maps 1" in output
    for place in ("jianlin-cheng/CryoSegNet", "jianlin-cheng/CryoTransformer", "facebook/sam-vit-huge"):
        assert place in output


def test_a_damaged_file_does_not_hide_the_others_from_the_list(published, tmp_path, monkeypatch):
    run("convert", published, tmp_path / "mine.safetensors")
    (tmp_path / "a_broken.safetensors").write_bytes(b"cut")
    monkeypatch.setenv("CRYOPICK_WEIGHTS", str(tmp_path))
    output = run("list").output
    assert "a_broken  unusable" in output
    assert "mine  attention-unet" in output


def test_verifying_tells_the_hash_and_refuses_another(published):
    assert file_sha256(published) in run("verify", published).output
    with pytest.raises(FileError, match=file_sha256(published)):
        run("verify", published, "--sha256", "0" * 64)
