"""Settings: frozen dataclasses, filled from a preset's YAML file and `key=value` words."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from importlib.resources import files
from typing import Any, TypeVar

from cryopick.errors import SettingError

T = TypeVar("T")


def resolve(settings: type[T], *layers: Mapping[str, Any]) -> T:
    """An instance of the dataclass `settings`; later layers win over earlier ones and over its defaults.

    Nested dataclasses take nested mappings, which are merged key by key. Raises `SettingError` that names an unknown key, or a
    value of the wrong type.
    """
    import msgspec

    assert is_dataclass(settings)
    known = [field.name for field in fields(settings)]
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            if key not in known:
                raise SettingError(f"{settings.__name__} has no setting {key!r}; it has: {', '.join(known)}")
            merged[key] = _merged(merged.get(key), value)
    try:
        return msgspec.convert(merged, settings)
    except (msgspec.ValidationError, ValueError, TypeError) as error:
        raise SettingError(f"{settings.__name__}: {error}") from error


def parse_words(words: Sequence[str]) -> dict[str, Any]:
    """`["radius=0.2", "loop.steps=100"]` as a mapping, nested at the points; values are read as YAML."""
    import yaml

    parsed: dict[str, Any] = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign or not key:
            raise SettingError(f"{word!r} is not a setting; write key=value")
        try:
            nested = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise SettingError(f"{word!r}: the value cannot be read as YAML") from error
        for part in reversed(key.strip().split(".")):
            nested = {part: nested}
        parsed = _merged(parsed, nested)
    return parsed


def _merged(old: Any, new: Any) -> Any:
    """The new value over the old one; two mappings key by key."""
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return new
    return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}


def preset_names(kind: str) -> list[str]:
    """Presets in the package for one picker or recipe: the files `presets/KIND-NAME.yaml`."""
    names = (entry.name for entry in files("cryopick").joinpath("presets").iterdir())
    return sorted(name[len(kind) + 1 : -5] for name in names if name.startswith(f"{kind}-") and name.endswith(".yaml"))


def load_preset(kind: str, name: str) -> dict[str, Any]:
    """The settings of one preset of the package. Raises `SettingError` with the names there are."""
    import yaml

    if name not in preset_names(kind):
        raise SettingError(f"{kind} has no preset {name!r}; it has: {', '.join(preset_names(kind)) or 'none'}")
    text = files("cryopick").joinpath("presets", f"{kind}-{name}.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text) or {})
