"""What made a result: versions, settings, fingerprints, and whether two runs are the same."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import TYPE_CHECKING, Any

from cryopick import __version__
from cryopick.errors import FileError, SettingError
from cryopick.files import write_text

if TYPE_CHECKING:
    pass


RUN = "run.yaml"
HEADER = "# Made by cryopick train: the settings that a later run must have to go on with this one.\n"


LIBRARIES = ("torch", "numpy", "lightning")


def record_run(folder: Path, settings: Mapping[str, Any], *, begun: bool, first: bool = True) -> None:
    """Write ``run.yaml``: the version, the settings of a run, and the libraries'; `first` says that this process is to write.

    `begun` says that the folder holds a run that is to be gone on with. Raises `SettingError` that names each setting in which
    that one differs.
    """
    import yaml

    plain = _plain(settings)
    if begun and (folder / RUN).is_file():
        changed = _differences(_recorded(folder / RUN), {"cryopick": __version__, **plain})
        if changed:
            raise SettingError(
                f"{folder} holds a training with other settings ({'; '.join(changed)}); give the same, or another --out"
            )
    if first:
        versions = {"python": python_version(), **{library: version(library) for library in LIBRARIES}}
        content = {"cryopick": __version__, "train": plain, "versions": versions}
        write_text(folder / RUN, HEADER + yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _recorded(path: Path) -> dict[str, Any]:
    import yaml

    try:
        old = yaml.safe_load(path.read_text(encoding="utf-8"))
        return {"cryopick": old["cryopick"], **old["train"]}
    except (OSError, ValueError, TypeError, LookupError, yaml.YAMLError) as error:
        raise FileError(path, "is not the record of a training", "Give another --out") from error


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Values as YAML has them: no tuples, no paths."""
    import msgspec

    return dict(msgspec.json.decode(msgspec.json.encode(settings, enc_hook=str)))


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """`["loop.steps: 100 became 200"]` for all values that are not the same, at any depth."""
    changed = []
    for key in {**old, **new}:
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            changed += _differences(before, after, f"{prefix}{key}.")
        elif before != after:
            changed.append(f"{prefix}{key}: {before} became {after}")
    return changed
