"""Pickers: a micrograph in, picks out. A new one is a file here and a line in `PICKERS`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cryopick.config import load_preset, resolve
from cryopick.registry import Registry

if TYPE_CHECKING:  # the command line lists the pickers' names and must not wait for numpy
    from cryopick.pickers.base import Picker, PickerClass

PICKERS: "Registry[PickerClass]" = Registry(
    "picker",
    {
        "log": "cryopick.pickers.log:LogPicker",
        "segnet": "cryopick.pickers.unet:SegnetPicker",
        "template": "cryopick.pickers.template:TemplatePicker",
        "transformer": "cryopick.pickers.detr:TransformerPicker",
    },
)


def picker(name: str, *, preset: str | None = None, settings: Mapping[str, Any] | None = None) -> "Picker":
    """A picker by its name, with the settings of a preset and then those given.

    Raises `SettingError` for an unknown name, preset or setting.
    """
    picker_class = PICKERS.get(name)
    layers = [load_preset(name, preset)] if preset else []
    return picker_class(resolve(picker_class.Settings, *layers, settings or {}))
