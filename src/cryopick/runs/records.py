"""Records: a small file for each micrograph with its picks, or the reason of its failure, from which runs are resumed."""

import hashlib
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Literal

import msgspec
import numpy as np

from cryopick.errors import NameMatchError, SettingError
from cryopick.files import write_bytes
from cryopick.io.names import stem
from cryopick.io.picks.relion import coordinate_file
from cryopick.types import Picks

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
    """Write a record atomically; the last step for a micrograph."""
    write_bytes(path, msgspec.json.encode(record))


def read_record(path: Path) -> Record:
    """Read a record with its picks."""
    return msgspec.json.decode(path.read_bytes(), type=Record)


def read_outcome(path: Path) -> Outcome | None:
    """Read a record without its picks; None if it is missing or, with a warning, damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Head).outcome
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        logger.warning("%s is damaged (%s); that micrograph is picked again", path, error)
        return None


def is_another(picked: Path, given: Path) -> bool:
    """Return whether the picked micrograph is another file than the given one; a missing file counts as moved."""
    try:
        return picked != given and not picked.samefile(given)
    except OSError:  # one is missing or inaccessible
        return False


def file_stems(names: Sequence[str]) -> list[str]:
    """Return the stem of each micrograph's files: that of its name, with a hash of the name if two share a stem.

    Stems that differ only in case count as equal, as on some file systems. Raises `NameMatchError` if two micrographs have the
    same coordinate file in RELION's layout, and `SettingError` for a name that result files cannot have.
    """
    places: dict[PurePath, str] = {}
    for name in names:
        check_name(name)
        place = coordinate_file(name)
        if place in places:
            both = f"{places[place]} and {name}"
            raise NameMatchError(f"{both} have the same coordinate file in RELION's layout, {place}; pick them into two folders")
        places[place] = name
    stems = [stem(name) for name in names]
    shared = Counter(short.casefold() for short in stems)
    return [short if shared[short.casefold()] == 1 else _with_hash(short, name) for short, name in zip(stems, names, strict=True)]


def free_stem(name: str, taken: Mapping[str, str]) -> str:
    """Find a stem like `file_stems` for one more micrograph; `taken` holds the other names by their stems, case folded."""
    check_name(name)
    short = stem(name)
    return short if taken.get(short.casefold(), name) == name else _with_hash(short, name)


def _with_hash(short: str, name: str) -> str:
    return f"{short}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def check_name(name: str) -> None:
    """Raise `SettingError` for a micrograph name that result files cannot have."""
    try:
        size = len(coordinate_file(name).name.encode())
    except UnicodeEncodeError:
        shown = name.encode("ascii", "backslashreplace").decode()
        raise SettingError(f"{shown}: the name must be UTF-8; rename the micrograph or exclude it") from None
    if size > LONGEST_FILE_NAME:
        excess = size - LONGEST_FILE_NAME
        raise SettingError(f"{name}: the name is {excess} bytes too long for result files; rename the micrograph or exclude it")
