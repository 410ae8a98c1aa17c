"""Settings: frozen dataclasses, filled from a preset's YAML file and `key=value` words."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, asdict, fields, is_dataclass
from importlib.resources import files
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from cryopick.errors import SettingError

T = TypeVar("T")

PLAIN_EXPONENT = r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+"
"""Numbers such as 1e-3, which YAML 1.2 and people take for such and YAML 1.1, which PyYAML reads, for text."""


def resolve(settings: type[T], *layers: Mapping[str, Any]) -> T:
    """An instance of the dataclass `settings`; later layers win over earlier ones and over its defaults.

    Nested dataclasses take nested mappings, which are merged key by key, over the default that the field has. Raises
    `SettingError` that names an unknown key, at any depth, or a value of the wrong type.
    """
    import msgspec

    given: dict[str, Any] = {}
    for layer in layers:
        given = _merged(given, layer)
    completed = _completed(settings, given)
    try:
        return msgspec.convert(completed, settings)
    except (msgspec.ValidationError, ValueError, TypeError) as error:
        raise SettingError(f"{settings.__name__}: {error}{_choices(settings, str(error))}") from error


def _choices(settings: type[Any], message: str) -> str:
    """What the setting can be that msgspec's message ends with, where that is one of some words."""
    place = re.search(r"`\$\.([\w.]+)`$", message)
    kind: Any = settings
    for part in place[1].split(".") if place else ():
        kind = get_type_hints(kind).get(part) if is_dataclass(kind) else None
    words = [word for one in (kind, *get_args(kind)) if get_origin(one) is Literal for word in get_args(one)]
    return f"; it can be {', '.join(map(str, words))}" if words else ""


def _completed(settings: type[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What is given; mappings for nested dataclasses with what their fields' defaults add."""
    assert is_dataclass(settings)
    known = {field.name: field for field in fields(settings)}
    hints = get_type_hints(settings)
    completed = {}
    for key, value in given.items():
        if key not in known:
            raise SettingError(f"{settings.__name__} has no setting {key!r}; it has: {', '.join(known)}")
        nested = next((kind for kind in get_args(hints[key] | None) if is_dataclass(kind)), None)
        if isinstance(nested, type) and isinstance(value, Mapping):
            value = _completed(nested, _merged(_default(known[key]), value))
        completed[key] = value
    return completed


def _default(field: Field[Any]) -> Any:
    """The default of a field, a dataclass as a mapping."""
    value = field.default if field.default_factory is MISSING else field.default_factory()
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def parse_words(words: Sequence[str]) -> dict[str, Any]:
    """`["radius=0.2", "loop.steps=100"]` as a mapping, nested at the points; values are read as YAML, and 1e-3 as a number."""
    import yaml

    parsed: dict[str, Any] = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign or not key:
            raise SettingError(f"{word!r} is not a setting; write key=value")
        try:
            nested = _read_yaml(value)
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


def _read_yaml(text: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(f"^{PLAIN_EXPONENT}$"), list("-+0123456789"))
    return yaml.load(text, Loader)


def preset_names(kind: str) -> list[str]:
    """Presets in the package for one picker or recipe: the files `presets/KIND-NAME.yaml`."""
    names = (entry.name for entry in files("cryopick").joinpath("presets").iterdir())
    return sorted(name[len(kind) + 1 : -5] for name in names if name.startswith(f"{kind}-") and name.endswith(".yaml"))


def load_preset(kind: str, name: str) -> dict[str, Any]:
    """The settings of one preset of the package. Raises `SettingError` with the names there are."""
    if name not in preset_names(kind):
        raise SettingError(f"{kind} has no preset {name!r}; it has: {', '.join(preset_names(kind)) or 'none'}")
    text = files("cryopick").joinpath("presets", f"{kind}-{name}.yaml").read_text(encoding="utf-8")
    return dict(_read_yaml(text) or {})
