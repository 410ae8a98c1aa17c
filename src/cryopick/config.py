"""Settings: frozen dataclasses, filled from a preset's YAML file and `key=value` words."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, asdict, fields, is_dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

from cryopick.errors import FileError, SettingError, nearest

T = TypeVar("T")


def read_yaml(text: str, *, exponents: bool = False) -> Any:
    """Parse YAML: mappings, lists, text, numbers, true, false and null; dates remain text.

    Parameters
    ----------
    text : the YAML text.
    exponents : whether 1e-3 is a number, as in settings that people write, or text, as in files that PyYAML writes.

    Raises
    ------
    ValueError
        For text that is not YAML or is nested too deeply, for an alias within itself, and for more than `MOST_NODES` values,
        which a few aliases of aliases amount to.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    plain = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    Loader.yaml_implicit_resolvers = plain
    if exponents:
        Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(f"^{PLAIN_EXPONENT}$"), list("-+0123456789"))
    try:
        loader = Loader(text)
        node = loader.get_single_node()
        _check_size(node, {}, set())
        return None if node is None else loader.construct_document(node)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, TypeError) as error:
        raise ValueError(str(error)) from error


def _check_size(node: Any, sizes: dict[int, int], open_nodes: set[int]) -> int:
    """Count the values in a YAML node, aliases expanded. Raises `ValueError` beyond `MOST_NODES` and for an alias in itself."""
    parts = getattr(node, "value", None)
    if not isinstance(parts, list):
        return 1
    if id(node) in open_nodes:
        raise ValueError("an alias refers to a value that contains it")
    if id(node) not in sizes:
        open_nodes.add(id(node))
        inner = [one for part in parts for one in (part if isinstance(part, tuple) else (part,))]
        sizes[id(node)] = 1 + sum(_check_size(one, sizes, open_nodes) for one in inner)
        open_nodes.discard(id(node))
    if sizes[id(node)] > MOST_NODES:
        raise ValueError(f"it expands to more than {MOST_NODES:,} values")
    return sizes[id(node)]


PLAIN_EXPONENT = r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+"
"""Numbers such as 1e-3: numbers in YAML 1.2, but text to PyYAML, which reads YAML 1.1."""
MOST_NODES = 200_000
"""Most values and keys in a YAML text, where each alias counts as all that it stands for."""
DEEPEST = 20
"""Most dots in the name of a setting, such as `loop.steps`."""
SHOWN = 60
"""Characters of a word that an error shows."""


def resolve(settings: type[T], *layers: Mapping[str, Any], subject: str = "") -> T:
    """Make an instance of the dataclass `settings`; later layers override earlier ones, and all of them its defaults.

    Nested dataclasses take nested mappings, which are merged key by key with the field's default. `subject` names the owner of
    the settings in messages. Raises `SettingError` for an unknown key, at any depth, and for a value of the wrong type.
    """
    import msgspec

    given: dict[str, Any] = {}
    for layer in layers:
        given = _merged(given, layer)
    _check_finite(given, subject)
    completed = _completed(settings, given, subject=subject)
    try:
        return msgspec.convert(completed, settings)
    except SettingError:
        raise
    except (msgspec.ValidationError, ValueError, TypeError) as error:
        cause = error.__cause__
        problem = str(cause) if isinstance(cause, SettingError) else _problem(settings, completed, str(error))
        raise SettingError(f"{subject}: {problem}" if subject else problem) from error


def _check_finite(value: Any, subject: str, path: str = "") -> None:
    """Raise `SettingError` for NaN or an infinite number, at any depth."""
    if isinstance(value, float) and not math.isfinite(value):
        raise SettingError(f"{subject}: {path} must be a finite number, got {value}".removeprefix(": "))
    nested = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, inner in nested:
        place = f"{path}[{key}]" if not isinstance(value, Mapping) else f"{path}.{key}" if path else str(key)
        _check_finite(inner, subject, place)


KINDS = {
    "float": "a number",
    "int": "a whole number",
    "bool": "true or false",
    "str": "text",
    "array": "a list",
    "object": "a mapping",
    "null": "null",
}
"""msgspec's names of types in a user's words."""


def _problem(settings: type[Any], given: Any, message: str) -> str:
    """Put msgspec's message about a value into a user's words: ``radius must be a number, got 'wide'``."""
    place = re.search(r" - at `\$\.?([^`]*)`$", message)
    if place is None:
        return message
    path, kind, value = place[1], cast(Any, settings), given
    for part in re.findall(r"\w+", path):
        if isinstance(value, Mapping):
            kind = get_type_hints(kind).get(part) if is_dataclass(kind) else None
            value = value.get(part)
        elif isinstance(value, list | tuple) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
    words = [word for one in (kind, *get_args(kind)) if get_origin(one) is Literal for word in get_args(one)]
    if words:
        hint = nearest(str(value), map(str, words)).removesuffix(".")
        return f"{path} must be one of {', '.join(map(str, words))}, got {value!r}{hint}"
    expected = re.match(r"Expected `([^`]+)`, got", message)
    if expected is None:
        return f"{path}: {message[: place.start()]}"
    kinds = " or ".join(KINDS.get(word, word) for word in expected[1].split(" | "))
    return f"{path} must be {kinds}, got {'null' if value is None else repr(value)}"


def _completed(settings: type[Any], given: Mapping[str, Any], *, subject: str = "", prefix: str = "") -> dict[str, Any]:
    """Return the given settings, with the defaults of nested dataclasses added to their mappings."""
    assert is_dataclass(settings)
    known = {field.name: field for field in fields(settings)}
    hints = get_type_hints(settings)
    completed = {}
    for key, value in given.items():
        if key not in known:
            whose = f"{subject} has no setting" if subject else "unknown setting"
            offered = ", ".join(f"{prefix}{name}" for name in known)
            raise SettingError(f"{whose} '{prefix}{key}'{nearest(str(key), known)} Settings: {offered}")
        nested = next((kind for kind in get_args(hints[key] | None) if is_dataclass(kind)), None)
        if isinstance(nested, type) and isinstance(value, Mapping):
            merged = _merged(_default(known[key]), value)
            value = _completed(nested, merged, subject=subject, prefix=f"{prefix}{key}.")
        completed[key] = value
    return completed


def _default(field: Field[Any]) -> Any:
    """Return the default of a field; a dataclass as a mapping."""
    value = field.default if field.default_factory is MISSING else field.default_factory()
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def parse_words(words: Sequence[str]) -> dict[str, Any]:
    """Parse `["radius=0.2", "loop.steps=100"]` into a mapping, nested at the dots.

    Values are read as YAML; 1e-3 is a number, too. Raises `SettingError` for anything else.
    """
    parsed: dict[str, Any] = {}
    for word in words:
        key, sign, value = word.partition("=")
        shown = word if len(word) <= SHOWN else f"{word[:SHOWN]}…"
        if not sign or not key or key.count(".") > DEEPEST:
            raise SettingError(f"{shown!r} is not a setting; write KEY=VALUE")
        try:
            nested = read_yaml(value, exponents=True)
        except ValueError as error:
            raise SettingError(f"{shown!r}: the value cannot be read as YAML; put quotes around text") from error
        for part in reversed(key.strip().split(".")):
            nested = {part: nested}
        parsed = _merged(parsed, nested)
    return parsed


def _merged(old: Any, new: Any) -> Any:
    """Return the new value; of two mappings, the union, merged key by key."""
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return new
    return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}


def preset_names(namespace: str) -> list[str]:
    """List the package's presets for a picker, recipe or command: the files ``presets/NAMESPACE/NAME.yaml``."""
    folder = files("cryopick").joinpath("presets", namespace)
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def load_preset(namespace: str, name: str) -> dict[str, Any]:
    """Load the settings of a preset: one of the package's by name, or a user's YAML file by path.

    A path ends in ``.yaml`` or ``.yml``. Raises `SettingError`, which lists the presets, for an unknown name, and `FileError`
    for a file without settings.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name).expanduser()
        if not path.is_file():
            raise FileError(path, "does not exist", "Check the path of the preset")
        try:
            content = read_yaml(path.read_text(encoding="utf-8"), exponents=True)
        except (OSError, ValueError) as error:
            raise FileError(path, f"is not a YAML file ({error})", "Write one setting per line: key: value") from error
        if not isinstance(content or {}, Mapping):
            raise FileError(path, "contains no settings", "Write one setting per line: key: value")
        return dict(content or {})
    known = preset_names(namespace)
    if name not in known:
        offered = f"Presets: {', '.join(known)}, or a YAML file" if known else "There are none; give a YAML file"
        raise SettingError(f"{namespace} has no preset {name!r}{nearest(name, known)} {offered}")
    text = files("cryopick").joinpath("presets", namespace, f"{name}.yaml").read_text(encoding="utf-8")
    return dict(read_yaml(text, exponents=True) or {})
