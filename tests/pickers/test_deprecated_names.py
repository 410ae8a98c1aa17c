"""The picker names of version 0.1 still work, with one line that says what to write."""

import logging
import warnings

import pytest

import cryopick
from cryopick.models.attention_unet import AttentionUNet
from cryopick.models.weights import Card, save
from cryopick.pickers import current_name, picker
from cryopick.pickers.detr import DetrPicker
from cryopick.pickers.unet import UNetPicker
from cryopick.runs.settings import run_settings

pytestmark = pytest.mark.filterwarnings("ignore:the .* deprecated:DeprecationWarning")


@pytest.fixture
def published(tmp_path):
    path = tmp_path / "unet.safetensors"
    save(path, AttentionUNet(4, 3).state_dict(), Card("attention-unet", {"width": 4, "levels": 3}))
    return str(path)


@pytest.mark.parametrize(
    ("old", "preset", "settings", "new"),
    [
        ("segnet", None, {}, ("unet", None, {})),
        ("segnet", None, {"weights": "segnet", "likeness": 3}, ("unet", None, {"weights": "segnet", "similarity": 3})),
        ("segnet", "paper", {"sam": "x"}, ("cryosegnet", "corrected", {"sam": "x"})),
        ("segnet", "economical", {}, ("cryosegnet", "economical", {})),
        ("transformer", None, {}, ("detr", None, {})),
        ("transformer", "paper", {"paper": {"scoring": "own"}}, ("cryotransformer", "corrected", {"scoring": "own"})),
        ("log", None, {"spacing": 1}, ("log", None, {"spacing": 1})),
    ],
)
def test_each_old_name_means_the_picker_that_ran_under_it(old, preset, settings, new):
    assert current_name(old, preset, settings) == new


def test_weights_of_the_published_network_mean_the_published_picker(published):
    name, preset, settings = current_name("segnet", None, {"weights": published})
    assert (name, preset, settings) == ("cryosegnet", "watershed", {"weights": published})


def removed(old, new):
    return f"the {old} is deprecated and will be removed in the next version: use {new}"


@pytest.mark.parametrize(("old", "kind", "new"), [("segnet", UNetPicker, "unet"), ("transformer", DetrPicker, "detr")])
def test_an_old_name_makes_the_picker_and_says_in_one_line_what_to_use(old, kind, new, caplog):
    with caplog.at_level(logging.WARNING, "cryopick"), pytest.warns(DeprecationWarning, match=old) as emitted:
        assert isinstance(picker(old), kind)
    assert caplog.messages == [str(one.message) for one in emitted] == [removed(f"picker {old}", new)]


def test_the_line_names_the_preset_of_the_published_system(caplog):
    with pytest.warns(DeprecationWarning, match="use cryosegnet with the preset corrected$"):
        current_name("segnet", "paper", {})


def test_python_code_can_turn_the_warning_into_an_error():
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        with pytest.raises(DeprecationWarning, match="picker segnet"):
            cryopick.picker("segnet")


def test_a_run_records_the_present_name_and_preset():
    assert run_settings("segnet", device="cpu").picker == "unet"
    published = run_settings("segnet", preset="paper", device="cpu")
    assert (published.picker, published.preset) == ("cryosegnet", "corrected")


def test_old_names_of_weights_are_found_with_a_warning(caplog):
    with caplog.at_level(logging.WARNING, "cryopick"):
        assert isinstance(picker("unet", weights="segnet"), UNetPicker)
    assert caplog.messages == ["the weights segnet are deprecated and will be removed in the next version: use unet"]


def test_the_settings_of_a_default_run_are_those_that_are_used():
    assert set(run_settings(device="cpu").settings) == {
        "weights",
        "threshold",
        "spacing",
        "similarity",
        "particles",
        "maps",
        "device",
    }
