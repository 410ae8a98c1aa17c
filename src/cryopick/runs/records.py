"""Records: a small file for each micrograph with its picks, or the reason of its failure, from which runs are resumed."""

import hashlib
import logging
import math
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath, PurePosixPath
from typing import Literal

import msgspec
import numpy as np

from cryopick.errors import CryopickError, FileError, NameMatchError, SettingError
from cryopick.files import is_temporary, write_bytes
from cryopick.io.names import stem
from cryopick.io.picks.relion import coordinate_file
from cryopick.io.tables.star import quoted_column
from cryopick.provenance import has_checksum, with_checksum
from cryopick.types import Picks

UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}
"""Kinds of characters that no line of a text file can hold: control characters, halves of pairs, ends of lines and paragraphs."""
_FORMER_TEMPORARY = re.compile(r"\..*-[a-z0-9_]{8}\.json", re.DOTALL)
"""Names of the temporary files of earlier versions, which a hidden micrograph's record may have too."""

logger = logging.getLogger(__name__)
LONGEST_FILE_NAME = 255
"""Longest file name in bytes on common file systems."""

Status = Literal["done", "failed", "pending"]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one micrograph.

    Attributes
    ----------
    name, path : of the micrograph.
    status : "done", "failed" with an `error`, or "pending", which is never recorded.
    picks : number of picks.
    seconds : wall time of reading, picking and writing, without waiting in between.
    diameter : Å if the pixel size is known, else pixels; the picker's estimate if none was given.
    files : its files, relative to the output folder.
    notes : warnings from reading and picking it.
    """

    name: str
    path: str
    status: Status = "pending"
    error: str = ""
    picks: int = 0
    seconds: float = 0.0
    diameter: float | None = None
    pixel_size: float | None = None
    shape_hw: tuple[int, int] | None = None
    optics_group: int = 1
    uid: int | None = None
    files: list[str] = []
    notes: list[str] = []


class Record(msgspec.Struct, frozen=True):
    """An outcome with its picks at full precision."""

    outcome: Outcome
    xy: list[tuple[float, float]] = []
    scores: list[float] | None = None

    def to_picks(self) -> Picks:
        """Return the picks with all recorded data of their micrograph."""
        scores = None if self.scores is None else np.array(self.scores, np.float32)
        xy = np.array(self.xy, np.float64).reshape(-1, 2)
        about = self.outcome
        return Picks(about.name, xy, scores, about.diameter, about.shape_hw, about.pixel_size, about.optics_group, about.uid)


class _Head(msgspec.Struct, frozen=True):
    """A record without its picks."""

    outcome: Outcome


def done(picks: Picks, *, path: str, seconds: float, files: list[str], notes: list[str]) -> Record:
    """Make the record of a micrograph that was picked."""
    outcome = Outcome(
        name=picks.micrograph,
        path=path,
        status="done",
        picks=len(picks),
        seconds=seconds,
        diameter=picks.diameter,
        pixel_size=picks.pixel_size,
        shape_hw=picks.shape_hw,
        optics_group=picks.optics_group,
        uid=picks.uid,
        files=files,
        notes=notes,
    )
    scores = None if picks.scores is None else picks.scores.tolist()
    return Record(outcome, [(x, y) for x, y in picks.xy.tolist()], scores)


def write_record(record: Record, path: Path) -> None:
    """Write a record atomically, with a checksum; the last step for a micrograph."""
    write_bytes(path, with_checksum(msgspec.json.encode(record)))


def read_record(path: Path) -> Record:
    """Read a record with its picks. Raises `FileError` for one that is damaged, and `FileNotFoundError` where there is none."""
    content = _content(path)
    try:
        return _checked_record(content)[0]
    except _DAMAGE as error:
        remedy = "Run the same `cryopick pick` again; it picks that micrograph again"
        raise FileError(path, f"is damaged ({_reason(error)})", remedy) from error


def read_outcome(path: Path) -> Outcome | None:
    """Read a record without its picks; None if it is missing or, with a warning, damaged."""
    try:
        content = _content(path)
    except FileNotFoundError:
        return None
    try:
        return _outcome(content)
    except _DAMAGE as error:
        logger.warning("%s is damaged (%s); that micrograph is picked again", path, _reason(error))
        return None


_DAMAGE = (msgspec.MsgspecError, ValueError, OverflowError, RecursionError, CryopickError)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise FileError(path, f"cannot be read ({error.strerror or error})", "Check what it is, and its permissions") from None


def _reason(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


def _outcome(content: bytes) -> Outcome:
    """Return the outcome in a record's bytes; without a checksum, as in earlier versions, the picks are checked too."""
    if not has_checksum(content):
        return _checked_record(content)[0].outcome
    outcome = msgspec.json.decode(content, type=_Head).outcome
    _check_outcome(outcome)
    return outcome


def _checked_record(content: bytes) -> tuple[Record, Picks]:
    """Return the record in some bytes, and its picks. Raises one of `_DAMAGE`."""
    has_checksum(content)
    record = msgspec.json.decode(content, type=Record)
    _check_outcome(record.outcome)
    picks = record.to_picks()
    if len(picks) != record.outcome.picks:
        raise ValueError(f"it has {len(picks)} picks where it says {record.outcome.picks}")
    return record, picks


def _check_outcome(outcome: Outcome) -> None:
    """Raise `ValueError` for an outcome that no version writes."""
    sizes = [size for size in (outcome.diameter, outcome.pixel_size) if size is not None]
    if not all(0 < size < math.inf for size in [*sizes, *(outcome.shape_hw or ())]):
        raise ValueError("it has a size that is not positive")
    if outcome.picks < 0 or not 0 <= outcome.seconds < math.inf:
        raise ValueError("it has a number that is negative")
    if outcome.status == "pending" or not outcome.name or "\0" in outcome.name + outcome.path:
        raise ValueError("it is of no micrograph that was picked")
    if not all(map(is_below, outcome.files)):
        raise ValueError("it names a file outside the folder of the run")


def is_below(name: str) -> bool:
    """Return whether a relative path, such as a record names, stays below the folder that it is relative to."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def record_paths(folder: Path) -> list[Path]:
    """Return the records in a folder, sorted by name; without temporary files, those of earlier versions included."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.name.endswith(".json") and not entry.is_dir())
    return [folder / name for name in names if _is_record(folder / name)]


def _is_record(path: Path) -> bool:
    if is_temporary(path.name):
        return False
    if not _FORMER_TEMPORARY.fullmatch(path.name):
        return True
    try:
        return path.stem in stems_of(_outcome(path.read_bytes()).name)
    except (*_DAMAGE, OSError):
        return False


def is_another(picked: Path, given: Path) -> bool:
    """Return whether the picked micrograph is another file than the given one; a missing file counts as moved."""
    try:
        return picked != given and not picked.samefile(given)
    except (OSError, ValueError):  # one is missing or inaccessible
        return False


def file_stems(names: Sequence[str]) -> list[str]:
    """Return the stem of each micrograph's files: that of its name, with a hash of the name if two share a stem.

    Stems that differ only in case count as equal, as on some file systems. A name that result files cannot have, see
    `check_name`, gets a stem for the record of that failure. Raises `NameMatchError` if two micrographs have the same coordinate
    file in RELION's layout.
    """
    places: dict[PurePath, str] = {}
    for name in names:
        if name_problem(name):
            continue
        place = coordinate_file(name)
        if place in places:
            both = f"{places[place]} and {name}"
            raise NameMatchError(f"{both} have the same coordinate file in RELION's layout, {place}; pick them into two folders")
        places[place] = name
    stems = [_stem(name) for name in names]
    shared = Counter(short.casefold() for short in stems)
    return [short if shared[short.casefold()] == 1 else _with_hash(short, name) for short, name in zip(stems, names, strict=True)]


def free_stem(name: str, taken: Mapping[str, str]) -> str:
    """Find a stem like `file_stems` for one more micrograph; `taken` holds the recorded names of others by stem, case folded."""
    short = _stem(name)
    return short if taken.get(short.casefold(), recorded(name)) == recorded(name) else _with_hash(short, name)


def stems_of(name: str) -> tuple[str, str]:
    """Return the stems that the files of a micrograph may have: without and with a hash."""
    short = _stem(name)
    return short, _with_hash(short, name)


def _stem(name: str) -> str:
    return _with_hash("unusable-name", name) if name_problem(name) else stem(name)


def _with_hash(short: str, name: str) -> str:
    return f"{short}-{hashlib.sha256(recorded(name).encode()).hexdigest()[:8]}"


def recorded(text: str) -> str:
    """Return a name or path as records have it: bytes that are not UTF-8, which JSON cannot hold, are written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def shown(text: str) -> str:
    """Return a name or path in one line of printable characters, others written as escapes."""
    parts = (repr(each)[1:-1] if unicodedata.category(each) in UNPRINTABLE else each for each in text)
    return "".join(parts)


def name_problem(name: str) -> str:
    """Describe why result files cannot have a micrograph's name; empty if they can."""
    kinds = set(map(unicodedata.category, name))
    if "Cs" in kinds:
        return "the name must be UTF-8"
    if kinds & UNPRINTABLE:
        return "the name must have no tabs, line ends or other control characters"
    if not stem(name) or PurePosixPath(name).name == "..":
        return "the name is empty"
    try:
        quoted_column([name])
    except CryopickError:
        return "the name has blanks and both kinds of quotes, which a STAR file cannot hold"
    excess = len(coordinate_file(name).name.encode()) - LONGEST_FILE_NAME
    return f"the name is {excess} bytes too long for result files" if excess > 0 else ""


def check_name(name: str) -> None:
    """Raise `SettingError` for a micrograph name that result files cannot have."""
    if problem := name_problem(name):
        raise SettingError(f"{shown(name)}: {problem}; rename the micrograph or exclude it")
