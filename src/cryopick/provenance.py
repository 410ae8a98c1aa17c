"""Provenance of results: versions, settings and fingerprints, and whether a run can resume an earlier one."""

import hashlib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import Any, NamedTuple, Protocol, Self, TypeVar

from cryopick import __version__
from cryopick.config import read_yaml
from cryopick.errors import FileError, SettingError
from cryopick.files import write_text

CHECKSUM_DIGITS = 16
LARGEST = 1 << 24
"""Most bytes of a record."""
_CHECKSUM = re.compile(rb'\{"checksum":"([0-9a-f]{16})",')
_LAST_LINE = re.compile(r"# Checksum of the lines above: ([0-9a-f]{16})\n?")
logger = logging.getLogger(__name__)
RUN = "run.yaml"
TRAINING_LIBRARIES = ("torch", "numpy", "lightning")
_SECTIONS = {"train": "train", "finetune": "train", "ablate": "train"}
"""Section of a record that holds the settings, for commands whose section has another name."""


class Signed(Protocol):
    """A result with the `fingerprint` of everything that it was made from."""

    @property
    def signature(self) -> str:
        """The fingerprint."""
        ...


Result = TypeVar("Result")
SignedResult = TypeVar("SignedResult", bound=Signed)


class FileIdentity(NamedTuple):
    """The identity of a file: differs between files, and for one file before and after a change."""

    path: str
    size: int
    modified_ns: int


def file_identity(path: Path) -> FileIdentity:
    """Return the path, size in bytes and modification time of a file without reading it. Raises `OSError` if there is none."""
    status = path.stat()
    return FileIdentity(str(path), status.st_size, status.st_mtime_ns)


def fingerprint(*content: Any) -> str:
    """Return the SHA-256 (64 hexadecimal digits) of plain values, dataclasses, paths, bytes, and containers of them.

    Equal values give the same digits on every machine; the order of a mapping's keys does not matter.
    """
    import msgspec

    return hashlib.sha256(msgspec.json.encode(content, order="sorted", enc_hook=str)).hexdigest()


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:CHECKSUM_DIGITS]


def with_checksum(json: bytes) -> bytes:
    """Return a JSON object, without blanks at its start, with a checksum of its other members as its first one."""
    return b'{"checksum":"' + _checksum(json).encode() + b'",' + json[1:]


def has_checksum(json: bytes) -> bool:
    """Return whether a JSON object begins with a checksum, as written by `with_checksum`. Raises `ValueError` for a wrong one."""
    match = _CHECKSUM.match(json)
    if match is None:
        return False
    if _checksum(b"{" + json[match.end() :]) != match[1].decode():
        raise ValueError("its checksum does not match its content")
    return True


def read_result(path: Path, kind: type[Result]) -> Result | None:
    """Read a result from its JSON file; None, with a warning, if the file is damaged or of an earlier version."""
    import msgspec

    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        logger.warning("%s is damaged or of an earlier version (%s); its result is computed again", path, error)
        return None


def earlier_result(path: Path, kind: type[SignedResult], signature: str) -> SignedResult | None:
    """Read the result of an earlier run if it has the same signature, so was made from the same things; else None."""
    result = read_result(path, kind) if path.exists() else None
    return result if result is not None and result.signature == signature else None


def versions(*libraries: str) -> dict[str, str]:
    """Return the versions of Python and of installed libraries, by the names under which they are installed."""
    found = {"python": python_version()}
    for library in libraries:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def plain(settings: Any) -> dict[str, Any]:
    """Convert settings (a mapping, dataclass or struct) to plain values, as YAML holds them: no tuples, no paths."""
    import msgspec

    return dict(_with_lists(msgspec.to_builtins(settings, enc_hook=str, str_keys=True)))


def _with_lists(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _with_lists(nested) for key, nested in value.items()}
    return [_with_lists(nested) for nested in value] if isinstance(value, list | tuple) else value


def flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings: `{"loop": {"steps": 3}}` to `{"loop.steps": 3}`."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Describe all values that differ, at any depth: `["loop.steps was 100, now 200"]`. A missing value equals one not set."""
    before, after = flat(old), flat(new)
    keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    return [f"{key} was {_words(before.get(key))}, now {_words(after.get(key))}" for key in keys]


def _words(value: Any) -> str:
    if value is None:
        return "not set"
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class RunRecord:
    """The content of a ``run.yaml``: what a later run must share in order to resume this one.

    Attributes
    ----------
    command : the command that makes such runs: "pick", "train", "finetune", "ablate".
    settings : plain values; see `plain`.
    libraries : names of the libraries whose versions are recorded. Versions of libraries are not compared.
    version : of cryopick.
    """

    command: str
    settings: Mapping[str, Any]
    libraries: tuple[str, ...] = ()
    version: str = __version__

    def to_text(self) -> str:
        """Return the record as YAML: a header, version, settings and versions of libraries; equal records give equal texts."""
        import yaml

        content = {"cryopick": self.version, _section(self.command): self.settings, "versions": versions(*self.libraries)}
        header = f"# Written by cryopick {self.command}. A later run must have the same settings to resume this one.\n"
        text = header + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        return f"{text}# Checksum of the lines above: {_checksum(text.encode('utf-8', 'surrogatepass'))}\n"

    def write(self, path: Path) -> None:
        """Write the record atomically."""
        write_text(path, self.to_text())

    @classmethod
    def read(cls, path: Path, command: str) -> Self:
        """Read the record of a run of `command`. Raises `FileError` for any other file, or one that was damaged or edited."""
        content = read_plain_yaml(path, command)
        section = _section(command)
        version, settings, libraries = content.get("cryopick"), content.get(section) or {}, content.get("versions") or {}
        if version is None or section not in content or not isinstance(settings, dict) or not isinstance(libraries, dict):
            raise FileError(path, f"is not the record of a run of cryopick {command}", _remedy(command))
        return cls(command, settings, tuple(name for name in libraries if name != "python"), str(version))

    @staticmethod
    def is_at(path: Path, command: str) -> bool:
        """Return whether a file begins like the records of `command`, including those of earlier versions."""
        if not path.is_file():
            return False
        with path.open("rb") as file:
            head = file.read(100)
        return head.startswith((f"# Written by cryopick {command}.".encode(), f"# Made by cryopick {command}:".encode()))

    def mismatch(self, earlier: "RunRecord") -> str:
        """Return the reason why this run cannot resume an earlier one: `"holds a run with other settings (…)"`; "" when it can.

        Runs of another version of cryopick cannot be resumed, nor can runs with settings that this version does not have.
        """
        unknown = {key for key, value in earlier.settings.items() if value is not None} - set(self.settings)
        if earlier.version != self.version:
            return f"holds a run made by cryopick {earlier.version}, which cryopick {self.version} cannot resume"
        if unknown:
            names = ", ".join(sorted(unknown))
            return f"holds a run made by an earlier version of cryopick, with settings that no longer exist ({names})"
        changed = differences(earlier.settings, self.settings)
        return f"holds a run with other settings ({'; '.join(changed)})" if changed else ""


def read_plain_yaml(path: Path, command: str) -> dict[str, Any]:
    """Return the content of a run's record, of mappings, lists and single values.

    Raises `FileError` for a file that is not the record of a run of `command`, and for one that is damaged: with a wrong
    checksum, or text that `read_yaml` refuses.
    """
    remedy = _remedy(command)
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError("it is too long")
        text = path.read_bytes().decode("utf-8")
        if not _matches_checksum(text):
            found = "was damaged, or edited, after it was written: its last line has the checksum of another text"
            raise FileError(path, found, f"{remedy}; if you edited it, remove that line")
        content = read_yaml(text)
        if not isinstance(content, dict):
            raise ValueError("it contains no settings")
        if not _has_words_as_keys(content):
            raise ValueError("it has a key that is not a word")
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FileError(path, f"is not the record of a run of cryopick {command} ({reason})", remedy) from error
    return content


def _remedy(command: str) -> str:
    return "Give another --out" + (", or start afresh with --overwrite" if command == "pick" else "")


def _matches_checksum(text: str) -> bool:
    """Return whether a text is as it was written; true also for one without a checksum, of an earlier version."""
    above, _, last = text.rstrip("\n").rpartition("\n")
    match = _LAST_LINE.fullmatch(last)
    return match is None or _checksum(f"{above}\n".encode("utf-8", "surrogatepass")) == match[1]


def _has_words_as_keys(value: Any) -> bool:
    """Return whether all keys are text, at any depth."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _has_words_as_keys(inner) for key, inner in value.items())
    return not isinstance(value, list) or all(map(_has_words_as_keys, value))


def _section(command: str) -> str:
    return _SECTIONS.get(command, command)


def record_run(folder: Path, settings: Any, *, command: str = "train", resumed: bool, first: bool = True) -> None:
    """Write the ``run.yaml`` of a training, with all settings that determine its result.

    Parameters
    ----------
    resumed : whether the folder holds a run to resume.
    first : whether this process writes the record; of several that train together, one does.

    Raises
    ------
    SettingError
        When the run to resume has other settings, which the message names, or is of another version, and when the folder holds a
        run of another command.
    FileError
        When the record of that run is damaged.
    """
    record, path = RunRecord(command, plain(settings), TRAINING_LIBRARIES), folder / RUN
    if resumed and path.is_file() and (problem := record.mismatch(RunRecord.read(path, command))):
        raise SettingError(f"{folder} {problem}. Use the settings and the version it was made with, or give another --out")
    if not resumed and path.exists() and not RunRecord.is_at(path, command):
        raise SettingError(f"{path} was not written by cryopick {command}; give another --out")
    if first:
        record.write(path)
