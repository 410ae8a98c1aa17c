"""The settings of a run, and how a second run must agree with them."""

from dataclasses import replace

import msgspec
import pytest
import yaml

from cryopick.errors import SettingError
from cryopick.pickers import PICKERS
from cryopick.runs.settings import RunSettings, mismatch, run_record, run_settings


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
        ({"name": "log", "device": "cuda"}, "runs only on the CPU"),
    ],
)
def test_invalid_settings_are_refused(options, message):
    with pytest.raises(SettingError, match=message):
        run_settings(**options)


def test_the_record_holds_the_settings_and_versions_and_is_the_same_each_time():
    settings = RunSettings(settings={"threshold": 0.25, "scales": (1, 2)}, diameter=190.0, seed=7, formats=["box"])
    text = run_record(settings).to_text()
    content = yaml.safe_load(text)
    assert content["pick"]["settings"] == {"threshold": 0.25, "scales": [1, 2]}
    assert (content["pick"]["diameter"], content["pick"]["seed"], content["pick"]["formats"]) == (190.0, 7, ["box"])
    assert {"python", "numpy"} <= set(content["versions"])
    assert run_record(msgspec.structs.replace(settings)).to_text() == text


def test_only_settings_that_decide_the_picks_must_agree():
    first = RunSettings(settings={"threshold": 0.25, "scales": (1, 2)}, diameter=190.0)
    record = run_record(first)
    assert mismatch(record, first) == ""
    assert mismatch(record, msgspec.structs.replace(first, formats=["box"], previews=False, thumbnails=False)) == ""
    other = msgspec.structs.replace(first, diameter=180.0, settings={"threshold": 0.5, "scales": [1, 2]})
    said = "holds a run with other settings (diameter was 190.0, now 180.0; settings.threshold was 0.25, now 0.5)"
    assert mismatch(record, other) == said


def test_salvage_may_be_switched_on_later_but_not_off():
    without, with_salvage = run_settings(), run_settings(salvage=True)
    assert mismatch(run_record(without), with_salvage) == ""
    assert "(salvage was true, now false)" in mismatch(run_record(with_salvage), without)


def test_maps_may_be_switched_off_later_but_not_on_since_finished_micrographs_would_have_none():
    without, with_maps = run_settings("unet"), run_settings("unet", settings={"maps": "seen"})
    assert mismatch(run_record(with_maps), without) == ""
    assert "(settings.maps was not set, now seen)" in mismatch(run_record(without), with_maps)


def test_a_run_of_another_version_of_cryopick_is_refused():
    earlier = replace(run_record(RunSettings()), version="0.0.7")
    assert mismatch(earlier, RunSettings()).startswith("holds a run made by cryopick 0.0.7, which cryopick ")


def test_a_run_with_settings_that_the_picker_no_longer_has_is_of_an_earlier_version():
    settings = run_settings("log")
    earlier = msgspec.structs.replace(settings, settings={**settings.settings, "sigma": 3})
    said = "holds a run made by an earlier version of cryopick, with settings that no longer exist (settings.sigma)"
    assert mismatch(run_record(earlier), settings) == said


def test_a_run_of_a_picker_that_no_longer_exists_is_of_an_earlier_version():
    earlier = RunSettings(picker="lasso", settings={"length": 3})
    said = "holds a run made by an earlier version of cryopick with the picker lasso, which this version cannot resume"
    assert mismatch(run_record(earlier), run_settings("log")) == said


def test_another_picker_is_one_difference_whatever_settings_it_has():
    said = "holds a run with other settings (picker was log, now template)"
    assert mismatch(run_record(run_settings("log")), run_settings("template", settings={"references": "a.mrcs"})) == said


@pytest.fixture
def able_picker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picker that has a setting for the device."""
    monkeypatch.setitem(PICKERS._entries, "stub", "stub_pickers:StubPicker")


@pytest.mark.usefixtures("able_picker")
@pytest.mark.parametrize(("device", "there", "chosen"), [("auto", True, "cuda"), ("auto", False, "cpu"), ("cpu", True, "cpu")])
def test_the_picker_gets_the_chosen_device(monkeypatch, device, there, chosen):
    monkeypatch.setattr("torch.cuda.is_available", lambda: there)
    settings = run_settings("stub", device=device)
    assert (settings.device, settings.settings["device"]) == (chosen, chosen)


@pytest.mark.usefixtures("able_picker")
@pytest.mark.parametrize(
    ("device", "setting", "chosen"), [("auto", "cpu", "cpu"), ("auto", "cuda", "cuda"), ("cuda", "cpu", "cuda")]
)
def test_the_pickers_own_device_is_used_unless_the_run_has_one(monkeypatch, device, setting, chosen):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    settings = run_settings("stub", device=device, settings={"device": setting})
    assert (settings.device, settings.settings["device"]) == (chosen, chosen)


@pytest.mark.usefixtures("able_picker")
def test_an_unknown_device_is_refused():
    with pytest.raises(SettingError, match="device must be one of auto, cpu, cuda, got 'gpu'"):
        run_settings("stub", settings={"device": "gpu"})


@pytest.mark.usefixtures("able_picker")
def test_a_missing_gpu_is_an_error_where_one_is_requested(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SettingError, match="no CUDA device"):
        run_settings("stub", device="cuda")
