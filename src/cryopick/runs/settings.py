"""What decides the picks of a run and the form of its output: all that a second run must share to go on with the first."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from importlib.metadata import version
from platform import python_version
from typing import Any, Literal, cast, get_args

import msgspec

from cryopick import __version__
from cryopick.config import load_preset, resolve
from cryopick.errors import SettingError
from cryopick.io.picks.formats import FORMATS
from cryopick.pickers import DEFAULT, PICKERS, current_name, picker
from cryopick.pickers.base import Picker
from cryopick.pickers.diameter import DiameterEstimate

Device = Literal["auto", "cpu", "cuda"]
HEADER = "# Made by cryopick pick: the settings that a later run must have to go on with this one.\n"
WRITTEN_ANYWAY = {"star", "relion"}
ESTIMATE = "estimate"
OUTPUT_ONLY = {"formats", "previews", "glimpses"}
LIBRARIES = ("numpy", "scipy", "opencv-python-headless")


class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The resolved settings of a run.

    Attributes
    ----------
    picker, preset : names; the preset is folded into `settings` already.
    settings : every setting of the picker, as plain YAML values.
    diameter : Å, or pixels where the pixel size is unknown; None when it is not given.
    estimate : the diameter that was found for this run where none was given, and how.
    pixel_size : Å per pixel that replaces the files' own; None keeps those.
    salvage : pick what there is of truncated micrographs instead of failing on them.
    seed : of all random numbers.
    device : where the picker computes.
    formats : names of pick formats to write beside RELION's.
    previews : whether a PNG is drawn for each micrograph.
    glimpses : whether workers leave behind what a report shows of each micrograph.
    """

    picker: str = DEFAULT
    preset: str | None = None
    settings: dict[str, Any] = {}
    diameter: float | None = None
    estimate: DiameterEstimate | None = None
    pixel_size: float | None = None
    salvage: bool = False
    seed: int = 0
    device: Literal["cpu", "cuda"] = "cpu"
    formats: list[str] = []
    previews: bool = True
    glimpses: bool = True

    @property
    def picked_diameter(self) -> float | None:
        """What the picker is told: the diameter that was given, or else estimated."""
        return self.diameter if self.diameter is not None or self.estimate is None else self.estimate.diameter


def run_settings(
    name: str = DEFAULT,
    *,
    preset: str | None = None,
    settings: Mapping[str, Any] | None = None,
    threshold: float | None = None,
    device: Device = "auto",
    elsewhere: bool = False,
    seed: int = 0,
    diameter: float | None = None,
    pixel_size: float | None = None,
    salvage: bool = False,
    formats: list[str] | None = None,
    previews: bool = True,
    glimpses: bool = True,
) -> RunSettings:
    """Settings of a run, checked: the picker's defaults, its preset, `settings` and `threshold`, each over the one before.

    Pickers with a setting `device` or `seed` get the run's; where `device` is "auto", that of `settings` is the run's. With
    `elsewhere`, other machines compute, and CUDA is not looked for here.

    Raises `SettingError` for what is unknown or cannot work.
    """
    for what, length in (("diameter", diameter), ("pixel size", pixel_size)):
        if length is not None and not 0 < length < float("inf"):
            raise SettingError(f"the {what} must be positive, got {length:g}")
    for format_name in formats or []:
        FORMATS.get(format_name)
    name, preset, given = current_name(name, preset, settings or {})
    kind = PICKERS.get(name).Settings
    layers = [load_preset(name, preset) if preset else {}, given]
    known = {field.name for field in fields(kind)}
    chosen = _device(_asked(device, *layers), name, able="device" in known, elsewhere=elsewhere)
    of_the_run = {"device": chosen, "seed": seed, **({} if threshold is None else {"threshold": threshold})}
    of_the_run = {key: value for key, value in of_the_run.items() if key in known or key == "threshold"}
    resolved = resolve(kind, *layers, of_the_run, subject=name)
    least = getattr(resolved, "threshold", None)
    if least is not None and not 0 <= least <= 1:
        raise SettingError(f"threshold must be in [0, 1], got {least:g}")
    return RunSettings(
        picker=name,
        preset=preset,
        settings=msgspec.to_builtins(asdict(resolved)),
        diameter=diameter,
        pixel_size=pixel_size,
        salvage=salvage,
        seed=seed,
        device=chosen,
        formats=[name for name in dict.fromkeys(formats or []) if name not in WRITTEN_ANYWAY],
        previews=previews,
        glimpses=glimpses,
    )


def build_picker(settings: RunSettings) -> Picker:
    """The picker that the settings describe."""
    return picker(settings.picker, settings=settings.settings)


def as_yaml(settings: RunSettings) -> str:
    """The text of ``run.yaml``: settings, then versions; the same settings give the same bytes."""
    import yaml

    versions = {"python": python_version(), **{library: version(library) for library in _libraries(settings)}}
    content = {"cryopick": __version__, "pick": msgspec.to_builtins(settings), "versions": versions}
    return HEADER + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def differences(old_text: str, settings: RunSettings) -> list[str]:
    """What decides the picks and is not as in the text of a ``run.yaml``: `["picker.threshold: 0.2 became 0.3"]`.

    To begin salvaging changes nothing on micrographs that are done, so that is no difference; to stop is one. To leave maps out
    that nothing else depends on is none either; to ask for them is one, since micrographs that are done would have none.
    """
    import yaml

    old, new = yaml.safe_load(old_text) or {}, yaml.safe_load(as_yaml(settings))
    before, after = ({"cryopick": content.get("cryopick"), **_flat(content.get("pick") or {})} for content in (old, new))
    changed = [key for key in {**before, **after} if before.get(key) != after.get(key) and key not in OUTPUT_ONLY]
    changed = [key for key in changed if key.partition(".")[0] != ESTIMATE]
    changed = [key for key in changed if key != "salvage" or not settings.salvage]
    changed = [key for key in changed if key != "settings.maps" or after.get(key) is not None]
    return [f"{key}: {before.get(key)} became {after.get(key)}" for key in changed]


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _libraries(settings: RunSettings) -> list[str]:
    return [*LIBRARIES, "torch"] if "device" in settings.settings else list(LIBRARIES)


def _asked(device: Device, *layers: Mapping[str, Any]) -> Device:
    """The device that the run is told, or where that is "auto" its picker's settings."""
    of_the_picker = next((layer["device"] for layer in reversed(layers) if "device" in layer), "auto")
    if of_the_picker not in get_args(Device):
        raise SettingError(f"device is {of_the_picker!r}; it can be {', '.join(get_args(Device))}")
    return cast(Device, of_the_picker) if device == "auto" else device


def _device(device: Device, name: str, *, able: bool, elsewhere: bool) -> Literal["cpu", "cuda"]:
    """The device that is asked for, or an error: never another one."""
    if device == "cpu" or (device == "auto" and not able):
        return "cpu"
    if not able:
        raise SettingError(f"the picker {name} computes on the CPU only; leave --device out")
    if elsewhere:
        return "cuda" if device == "cuda" else "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise SettingError(
            "no CUDA device can be used here (torch.cuda.is_available() is False); give --device cpu, or mend the driver"
        )
    return "cpu"
