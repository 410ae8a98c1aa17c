"""Settings that determine the picks of a run and its output; a later run must share them to resume it."""

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

import msgspec

from cryopick.config import load_preset, resolve
from cryopick.errors import FileError, SettingError
from cryopick.io.picks.formats import FORMATS
from cryopick.pickers import DEFAULT, PICKERS, check_threshold, current_name, picker
from cryopick.pickers.base import Picker
from cryopick.pickers.diameter import DiameterEstimate
from cryopick.provenance import RunRecord, plain

Device = Literal["auto", "cpu", "cuda"]
WRITTEN_ANYWAY = {"star", "relion"}
COMMAND = "pick"
NOT_COMPARED = {"formats", "previews", "thumbnails", "glimpses", "estimate"}
"""Settings that do not change picks, one of them under an earlier name, and the diameter's estimate, which is reused."""
LIBRARIES = ("numpy", "scipy", "opencv-python-headless")


class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a run, completed and checked.

    Attributes
    ----------
    picker, preset : names; `settings` include those of the preset.
    settings : all settings of the picker, as plain YAML values.
    diameter : particle diameter [Å], or in pixels if the pixel size is unknown; None if not given.
    estimate : the diameter that was estimated for this run if none was given.
    pixel_size : pixel size [Å] that overrides the files' own; None for those.
    salvage : whether to pick the readable part of truncated micrographs, which otherwise fail.
    seed : random seed.
    device : device on which the picker runs.
    formats : names of pick formats to write in addition to STAR files.
    previews : whether a PNG with the picks is drawn for each micrograph.
    thumbnails : whether a thumbnail is written for each micrograph, for reports.
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
    thumbnails: bool = True

    @property
    def picked_diameter(self) -> float | None:
        """Diameter for the picker: the given one, or else the estimate; None if there is neither."""
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
    thumbnails: bool = True,
) -> RunSettings:
    """Check and combine the settings of a run: the picker's defaults, its preset, `settings`, and `threshold`.

    Later ones override earlier ones. Pickers with a setting `device` or `seed` get that of the run; if `device` is "auto", that
    of `settings` is used. With `elsewhere`, other machines pick, and this one is not searched for CUDA devices.

    Raises `SettingError` for unknown or invalid settings.
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
    check_threshold(resolved)
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
        thumbnails=thumbnails,
    )


def build_picker(settings: RunSettings) -> Picker:
    """Make the picker that the settings describe."""
    return picker(settings.picker, settings=settings.settings)


def run_record(settings: RunSettings) -> RunRecord:
    """Make the content of the run's ``run.yaml``."""
    libraries = (*LIBRARIES, "torch") if "device" in settings.settings else LIBRARIES
    return RunRecord(COMMAND, plain(settings), libraries)


def read_run_record(path: Path) -> RunRecord:
    """Return the content of a run's ``run.yaml``. Raises `FileError` for any other file, and for a damaged one."""
    record = RunRecord.read(path, COMMAND)
    name, settings = record.settings.get("picker"), record.settings.get("settings")
    try:
        recorded_estimate(record)
        if not (isinstance(name, str) and isinstance(settings, dict | None)):
            raise ValueError("it names no picker with its settings")
    except (ValueError, msgspec.MsgspecError) as error:
        raise FileError(path, f"is damaged ({error})", "Give another --out, or start afresh with --overwrite") from error
    return record


def recorded_estimate(record: RunRecord) -> DiameterEstimate | None:
    """Return the diameter that was estimated for a run; None where there is none.

    Raises `ValueError` or `msgspec.ValidationError` for a senseless one.
    """
    content = record.settings.get("estimate")
    if content is None:
        return None
    estimate = msgspec.convert(content, DiameterEstimate)
    if not all(0 < value < float("inf") for value in (estimate.low, estimate.diameter, estimate.high, estimate.micrographs)):
        raise ValueError("its estimate of the diameter is senseless")
    return estimate


def mismatch(earlier: RunRecord, settings: RunSettings) -> str:
    """Return the reason why a run with these settings cannot resume an earlier one, see `RunRecord.mismatch`; "" if it can.

    Settings that affect only the output may change. `salvage` may be switched on, since it does not affect finished
    micrographs, but not off; maps may be switched off but not on, since finished micrographs would have none.
    """
    name, new = earlier.settings.get("picker"), run_record(settings)
    if name != settings.picker and not _is_known(name, earlier.settings.get("settings") or {}):
        return f"holds a run made by an earlier version of cryopick with the picker {name}, which this version cannot resume"
    with_picker = name == settings.picker
    before, after = (replace(one, settings=_compared(one, settings, with_picker=with_picker)) for one in (earlier, new))
    return after.mismatch(before)


def _compared(record: RunRecord, new: RunSettings, *, with_picker: bool) -> dict[str, Any]:
    """Return the settings of a record that must agree; if both pickers are the same, also those of the picker."""
    compared = {key: value for key, value in record.settings.items() if key not in NOT_COMPARED}
    if new.salvage:
        compared.pop("salvage", None)
    of_picker = compared.pop("settings", None) or {}
    if new.settings.get("maps") is None:
        of_picker = {key: value for key, value in of_picker.items() if key != "maps"}
    return compared | ({f"settings.{key}": value for key, value in of_picker.items()} if with_picker else {})


def _is_known(name: Any, settings: Mapping[str, Any]) -> bool:
    """Return whether this version has the picker with these settings."""
    return name in PICKERS and set(settings) <= {field.name for field in fields(PICKERS.get(name).Settings)}


def _asked(device: Device, *layers: Mapping[str, Any]) -> Device:
    """Return the requested device: that of the run or, if it is "auto", that of the picker's settings."""
    of_the_picker = next((layer["device"] for layer in reversed(layers) if "device" in layer), "auto")
    if of_the_picker not in get_args(Device):
        raise SettingError(f"device must be one of {', '.join(get_args(Device))}, got {of_the_picker!r}")
    return cast(Device, of_the_picker) if device == "auto" else device


def _device(device: Device, name: str, *, able: bool, elsewhere: bool) -> Literal["cpu", "cuda"]:
    """Return the device to use; raise an error if the requested one is not available, never use another."""
    if device == "cpu" or (device == "auto" and not able):
        return "cpu"
    if not able:
        raise SettingError(f"the picker {name} runs only on the CPU; omit --device")
    if elsewhere:
        return "cuda" if device == "cuda" else "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise SettingError(
            "no CUDA device is available; give --device cpu, or check the driver (torch.cuda.is_available() is false)"
        )
    return "cpu"
