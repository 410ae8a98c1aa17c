"""The settings of a run, and what a second run with others is told."""

import msgspec
import pytest
import yaml

from cryopick.errors import SettingError
from cryopick.pickers import PICKERS
from cryopick.runs.settings import RunSettings, as_yaml, differences, run_settings


def test_every_setting_of_the_picker_is_resolved_and_the_later_wins():
    settings = run_settings("log", settings={"threshold": 0.3}, threshold=0.4)
    assert settings.settings["threshold"] == 0.4
    assert len(settings.settings) > 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "nope"}, "no picker 'nope'"),
        ({"preset": "nope"}, "no preset 'nope'"),
        ({"settings": {"nope": 1}}, "no setting 'nope'"),
        ({"threshold": "high"}, "threshold must be a number, got .high"),
        ({"threshold": 1.5}, r"threshold must be in \[0, 1\], got 1.5"),
        ({"threshold": float("nan")}, "got nan"),
        ({"settings": {"threshold": -0.1}}, "got -0.1"),
        ({"formats": ["nope"]}, "'nope'"),
        ({"diameter": -1.0}, "the diameter must be positive, got -1"),
        ({"diameter": float("nan")}, "the diameter must be positive, got nan"),
        ({"pixel_size": 0.0}, "the pixel size must be positive, got 0"),
        ({"name": "log", "device": "cuda"}, "computes on the CPU only"),
    ],
)
def test_what_cannot_work_is_refused(options, message):
    with pytest.raises(SettingError, match=message):
        run_settings(**options)


def test_the_text_holds_the_settings_and_versions_and_is_the_same_each_time():
    settings = RunSettings(settings={"threshold": 0.25, "scales": (1, 2)}, diameter=190.0, seed=7, formats=["box"])
    content = yaml.safe_load(as_yaml(settings))
    assert content["pick"]["settings"] == {"threshold": 0.25, "scales": [1, 2]}
    assert (content["pick"]["diameter"], content["pick"]["seed"], content["pick"]["formats"]) == (190.0, 7, ["box"])
    assert {"python", "numpy"} <= set(content["versions"])
    assert as_yaml(settings) == as_yaml(msgspec.structs.replace(settings))


def test_only_what_decides_the_picks_counts_as_a_difference():
    first = RunSettings(settings={"threshold": 0.25, "scales": (1, 2)}, diameter=190.0)
    text = as_yaml(first)
    assert differences(text, first) == []
    assert differences(text, msgspec.structs.replace(first, formats=["box"], previews=False)) == []
    other = msgspec.structs.replace(first, diameter=180.0, settings={"threshold": 0.5, "scales": [1, 2]})
    assert differences(text, other) == ["settings.threshold: 0.25 became 0.5", "diameter: 190.0 became 180.0"]


def test_salvage_may_be_asked_for_later_but_not_taken_back():
    without, with_salvage = run_settings(), run_settings(salvage=True)
    assert differences(as_yaml(without), with_salvage) == []
    assert differences(as_yaml(with_salvage), without) == ["salvage: True became False"]


def test_maps_may_be_left_out_later_but_not_asked_for_where_some_micrographs_would_have_none():
    without, with_maps = run_settings("unet"), run_settings("unet", settings={"maps": "seen"})
    assert differences(as_yaml(with_maps), without) == []
    assert differences(as_yaml(without), with_maps) == ["settings.maps: None became seen"]


def test_another_version_of_cryopick_is_a_difference():
    text = as_yaml(RunSettings()).replace("cryopick: ", "cryopick: 9.")
    (difference,) = differences(text, RunSettings())
    assert difference.startswith("cryopick: 9.")


@pytest.fixture
def able_picker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picker that has a setting for the device."""
    monkeypatch.setitem(PICKERS._entries, "stub", "stub_pickers:StubPicker")


@pytest.mark.usefixtures("able_picker")
@pytest.mark.parametrize(("device", "there", "chosen"), [("auto", True, "cuda"), ("auto", False, "cpu"), ("cpu", True, "cpu")])
def test_the_picker_is_told_the_device_that_was_chosen(monkeypatch, device, there, chosen):
    monkeypatch.setattr("torch.cuda.is_available", lambda: there)
    settings = run_settings("stub", device=device)
    assert (settings.device, settings.settings["device"]) == (chosen, chosen)


@pytest.mark.usefixtures("able_picker")
@pytest.mark.parametrize(
    ("device", "setting", "chosen"), [("auto", "cpu", "cpu"), ("auto", "cuda", "cuda"), ("cuda", "cpu", "cuda")]
)
def test_the_pickers_own_device_is_taken_unless_the_run_is_told_one(monkeypatch, device, setting, chosen):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    settings = run_settings("stub", device=device, settings={"device": setting})
    assert (settings.device, settings.settings["device"]) == (chosen, chosen)


@pytest.mark.usefixtures("able_picker")
def test_a_device_that_there_is_not_is_refused():
    with pytest.raises(SettingError, match="device is 'gpu'; it can be auto, cpu, cuda"):
        run_settings("stub", settings={"device": "gpu"})


@pytest.mark.usefixtures("able_picker")
def test_a_gpu_that_is_asked_for_and_absent_is_an_error(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SettingError, match="no CUDA device"):
        run_settings("stub", device="cuda")
