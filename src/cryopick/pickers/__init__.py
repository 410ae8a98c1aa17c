"""Pickers of particles. To add one, write a file in this folder and list it in `PICKERS`, or declare an entry point."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cryopick.config import load_preset, resolve
from cryopick.errors import SettingError, deprecated
from cryopick.registry import Registry

if TYPE_CHECKING:  # the command line lists the pickers and must not wait for numpy
    from cryopick.pickers.base import Picker, PickerClass

PICKERS: "Registry[PickerClass]" = Registry(
    "picker",
    {
        "unet": "cryopick.pickers.unet:UNetPicker",
        "detr": "cryopick.pickers.detr:DetrPicker",
        "log": "cryopick.pickers.log:LogPicker",
        "template": "cryopick.pickers.template:TemplatePicker",
        "cryosegnet": "cryopick.pickers.cryosegnet:CryoSegNetPicker",
        "cryotransformer": "cryopick.pickers.cryotransformer:CryoTransformerPicker",
    },
    group="cryopick.pickers",
)
DEFAULT = "unet"


def picker(name: str = DEFAULT, *, preset: str | None = None, settings: Mapping[str, Any] | None = None, **more: Any) -> "Picker":
    """Make a picker, which is then used for any number of micrographs: ``picker.pick(micrograph, diameter=190)``.

    Each picker has a page in the documentation that lists its settings and presets; the error for an unknown one lists them too.

    Parameters
    ----------
    name : a name in `list_pickers`.
    preset : a named set of the picker's settings, or a YAML file of your own.
    settings : settings by name; they override the preset's.
    more : settings as keywords, such as ``threshold=0.3``; they override `settings`.

    Returns
    -------
    Picker
        Its method `pick` finds the particles of one `Micrograph`.

    Raises
    ------
    SettingError
        For an unknown name, preset or setting, and an invalid value.
    FileError
        For weights or references that cannot be used.
    """
    if not isinstance(name, str):
        raise SettingError(f"picker(name): expected a picker's name, such as {DEFAULT!r}, got {name!r}")
    name, preset, given = current_name(name, preset, {**(settings or {}), **more})
    picker_class = PICKERS.get(name)
    layers = [load_preset(name, preset)] if preset else []
    resolved = resolve(picker_class.Settings, *layers, given, subject=name)
    check_threshold(resolved)
    return picker_class(resolved)


def check_threshold(settings: Any) -> None:
    """Raise `SettingError` for a picker's settings whose threshold no score can be compared with."""
    threshold = getattr(settings, "threshold", None)
    if threshold is not None and not 0 <= threshold <= 1:
        raise SettingError(f"threshold must be in [0, 1], got {threshold:g}")


def current_name(name: str, preset: str | None, settings: Mapping[str, Any]) -> tuple[str, str | None, Mapping[str, Any]]:
    """Translate name, preset and settings of version 0.1 to the current ones, with a warning that shows the new spelling.

    The pickers `segnet` and `transformer` of version 0.1 each combined two: the published system, with the preset ``paper`` or
    its weights, and the compact network.
    """
    published = {"segnet": "cryosegnet", "transformer": "cryotransformer"}
    compact = {"segnet": "unet", "transformer": "detr"}
    if name not in published or name in PICKERS:
        return name, preset, settings
    as_published = preset in {"paper", "economical"} or _are_published(settings.get("weights"), compact[name])
    now = published[name] if as_published else compact[name]
    preset = {"paper": "corrected"}.get(preset or "", preset)
    if now == "cryosegnet" and preset is None:
        preset = "watershed"
    words = f"{now} with the preset {preset}" if preset else now
    deprecated(f"the picker {name} is deprecated and will be removed in the next version: use {words}")
    flat = {**settings, **settings["paper"]} if isinstance(settings.get("paper"), Mapping) else dict(settings)
    flat.pop("paper", None)
    if "likeness" in flat:
        flat["similarity"] = flat.pop("likeness")
    return now, preset, flat


def _are_published(weights: Any, compact: str) -> bool:
    """Return whether the card of the weights says that they are of the published system, not of the compact network."""
    if not isinstance(weights, str):
        return False
    from cryopick.models.weights import find, read_card

    card = read_card(find(weights))
    if card is None:
        return True
    return "particle_px" not in card.input if compact == "unet" else card.architecture != "anchor-detr"
