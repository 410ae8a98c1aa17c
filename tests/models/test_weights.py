"""Loading is strict, says what is wrong, and runs nothing that a file holds."""

import hashlib
import os
import pickle
import re
from argparse import Namespace

import numpy as np
import pytest
import torch
from golden_fill import fill
from safetensors.torch import save_file

from cryopick.errors import FileError
from cryopick.models import weights
from cryopick.models.attention_unet import AttentionUNet
from cryopick.models.checkpoints import tensors_sha256


@pytest.fixture
def state():
    model = AttentionUNet(width=2, levels=3)
    fill(model)
    return model.state_dict()


@pytest.fixture
def saved(tmp_path, state):
    path = tmp_path / "tiny.safetensors"
    weights.save(path, state, weights.Card("attention-unet", {"width": 2, "levels": 3}, source="a test", licence="MIT"))
    return path


class Malice:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def same(model, state):
    return all(torch.equal(model.state_dict()[key], value) for key, value in state.items())


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"model": state},
        lambda state: {"model": state, "optimizer": {"lr": 1e-4}, "epoch": 3, "args": Namespace(lr=1e-4, device="cuda")},
    ],
    ids=["bare", "under model", "with the training program's command line"],
)
def test_a_published_checkpoint_loads_and_its_width_and_levels_are_read_off(tmp_path, state, wrap):
    path = tmp_path / "unet.pth"
    torch.save(wrap(state), path)
    model = weights.load(path)
    assert isinstance(model, AttentionUNet)
    assert (model.width, model.levels, model.training) == (2, 3, False)
    assert same(model, state)


def test_a_checkpoint_of_before_zip_files_loads(tmp_path, state):
    path = tmp_path / "unet.pth"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    assert same(weights.load(path), state)


def test_saved_weights_load_as_they_were_with_their_card(saved, state):
    assert same(weights.load(saved, architecture="attention-unet"), state)
    card = weights.read_card(saved)
    assert (card.architecture, card.settings) == ("attention-unet", {"width": 2, "levels": 3})
    assert (card.source, card.licence, card.tensors_sha256) == ("a test", "MIT", tensors_sha256(state))


def test_half_precision_halves_the_file_and_loads_as_float32(tmp_path, saved, state):
    half = tmp_path / "half.safetensors"
    weights.save(half, state, weights.read_card(saved), half=True)
    model = weights.load(half)
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32, torch.int64}
    for key, value in state.items():
        np.testing.assert_allclose(model.state_dict()[key], value, rtol=2**-11, atol=2**-25)
    assert half.stat().st_size < 0.8 * saved.stat().st_size


@pytest.mark.parametrize(
    "wrap", [lambda thing: thing, lambda thing: {"model": thing}, lambda thing: {"a": torch.ones(1), "b": thing}]
)
def test_a_pickle_that_would_run_a_program_is_refused_and_does_not_run(tmp_path, wrap):
    mark, path = tmp_path / "ran", tmp_path / "unet.pth"
    torch.save(wrap(Malice(mark)), path)
    with pytest.raises(FileError, match="none was run"):
        weights.load(path)
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists(), "the file of this test was harmless"


def test_missing_surplus_and_misshapen_keys_are_named(tmp_path, state):
    del state["d2.c1.conv.3.bias"]
    state["extra.weight"] = torch.zeros(1)
    state["b1.conv.0.bias"] = torch.zeros(7)
    path = tmp_path / "unet.pth"
    torch.save(state, path)
    with pytest.raises(FileError) as caught:
        weights.load(path)
    message = str(caught.value)
    assert "1 missing: d2.c1.conv.3.bias" in message
    assert "1 surplus: extra.weight" in message
    assert "1 of another shape: b1.conv.0.bias (7,) instead of (16,)" in message


def test_a_card_with_settings_that_the_network_does_not_have_is_refused(tmp_path, state):
    path = tmp_path / "odd.safetensors"
    for settings in ({"width": 2, "levels": 3, "colour": "red"}, {"width": 2, "levels": 30}):
        weights.save(path, state, weights.Card("attention-unet", settings))
        with pytest.raises(FileError, match="invalid settings"):
            weights.load(path)


def test_a_card_of_a_network_unknown_here_is_refused(tmp_path, state):
    path = tmp_path / "new.safetensors"
    weights.save(path, state, weights.Card("perceiver"))
    with pytest.raises(FileError, match=r"perceiver.*Update"):
        weights.load(path)


@pytest.mark.parametrize("key", ["output.weight", "e1.conv.conv.3.weight", "d3.c1.conv.1.running_mean"])
def test_whichever_tensor_is_missing_is_named(tmp_path, state, key):
    del state[key]
    torch.save(state, tmp_path / "unet.pth")
    with pytest.raises(FileError, match=re.escape(f"1 missing: {key}")):
        weights.load(tmp_path / "unet.pth")


def test_a_network_is_untouched_by_weights_that_do_not_fit(state, tmp_path):
    model = AttentionUNet(width=2, levels=3)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state.pop("output.bias")
    with pytest.raises(FileError, match=r"output\.bias"):
        weights.fit(model, state, tmp_path / "unet.pth")
    assert same(model, before)


@pytest.mark.parametrize("name", ["unet.pth", "unet.safetensors"])
@pytest.mark.parametrize("keep", [0, 5, 600])
def test_a_file_cut_short_is_called_damaged(tmp_path, state, saved, name, keep):
    whole = tmp_path / "whole.pth"
    torch.save(state, whole)
    path = tmp_path / name
    path.write_bytes((saved if path.suffix == ".safetensors" else whole).read_bytes()[:keep])
    with pytest.raises(FileError, match=r"truncated|damaged|0 bytes"):
        weights.load(path)


@pytest.mark.parametrize("content", [b"these are no weights", pickle.dumps({"a": [1, 2]}, protocol=4)])
def test_what_is_no_checkpoint_is_told_so_without_the_unpicklers_words(tmp_path, content, recwarn):
    path = tmp_path / "unet.pth"
    path.write_bytes(content)
    with pytest.raises(FileError, match="not a checkpoint of tensors"):
        weights.load(path)
    assert not recwarn.list


@pytest.mark.parametrize("card", ["[]", "3", "{"])
def test_a_card_that_is_none_is_refused(tmp_path, state, card):
    path = tmp_path / "odd.safetensors"
    save_file(state, path, metadata={weights.CARD_KEY: card})
    with pytest.raises(FileError, match="a card that cannot be read"):
        weights.load(path)


def test_another_networks_weights_are_refused_by_name(tmp_path, saved):
    path = tmp_path / "other.safetensors"
    save_file({"conv1.weight": torch.zeros(2)}, path)
    with pytest.raises(FileError, match=r"conv1\.weight.*attention-unet, detr"):
        weights.load(path)


def test_a_checkpoint_without_tensors_is_refused(tmp_path):
    path = tmp_path / "log.pth"
    torch.save({"epoch": 3}, path)
    with pytest.raises(FileError, match="no state dict"):
        weights.load(path)


def test_the_error_for_missing_weights_says_where_they_are_published(tmp_path):
    with pytest.raises(FileError, match=r"github\.com/jianlin-cheng/CryoSegNet.*CRYOPICK_WEIGHTS"):
        weights.load(tmp_path / "none.pth", architecture="attention-unet")


def test_weights_are_found_by_name_in_the_users_folder(saved, monkeypatch):
    monkeypatch.setenv("CRYOPICK_WEIGHTS", str(saved.parent))
    assert weights.find("tiny") == saved
    assert weights.available()["tiny"] == saved


def test_the_hash_of_the_file_is_checked(saved):
    right = hashlib.sha256(saved.read_bytes()).hexdigest()
    weights.load(saved, sha256=right.upper())
    with pytest.raises(FileError, match=right):
        weights.load(saved, sha256="0" * 64)


def test_verify_sees_one_changed_value(saved, tmp_path, state):
    assert weights.verify(saved).source == "a test"
    content = bytearray(saved.read_bytes())
    content[-1] ^= 1
    changed = tmp_path / "changed.safetensors"
    changed.write_bytes(content)
    with pytest.raises(FileError, match="tensors that differ from the hash"):
        weights.verify(changed)


def test_the_hash_of_tensors_depends_on_values_names_shapes_and_types_only(state):
    turned = dict(reversed(state.items()))
    assert tensors_sha256(turned) == tensors_sha256(state)
    hashes = {
        tensors_sha256({"a": torch.zeros(2, 3)}),
        tensors_sha256({"b": torch.zeros(2, 3)}),
        tensors_sha256({"a": torch.zeros(3, 2)}),
        tensors_sha256({"a": torch.zeros(2, 3, dtype=torch.int32)}),
    }
    assert len(hashes) == 4
