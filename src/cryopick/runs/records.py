"""One small file for each micrograph that a run has finished: what it found, or why it failed. A later run goes on from them."""

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
"""Bytes, on all usual file systems."""

Status = Literal["done", "failed", "pending"]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How it went with one micrograph.

    Attributes
    ----------
    name, path : the micrograph, as its source names it.
    status : "done", "failed" with an `error`, or "pending", which no record holds.
    picks : their number.
    seconds : wall time of reading, picking and writing it, without the waiting between them.
    diameter : Å where the pixel size is known, else pixels; the picker's estimate when none was given.
    files : what was written for this micrograph, relative to the output folder.
    notes : warnings while it was read and picked.
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
        scores = None if self.scores is None else np.array(self.scores, np.float32)
        xy = np.array(self.xy, np.float64).reshape(-1, 2)
        about = self.outcome
        return Picks(about.name, xy, scores, about.diameter, about.shape_hw, about.pixel_size, about.optics_group, about.uid)


class _Head(msgspec.Struct, frozen=True):
    """A record of which the picks are left unread."""

    outcome: Outcome


def done(picks: Picks, *, path: str, seconds: float, files: list[str], notes: list[str]) -> Record:
    """The record of a micrograph that was picked."""
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
    """Write a record atomically; the last thing that is done for a micrograph."""
    write_bytes(path, msgspec.json.encode(record))


def read_record(path: Path) -> Record:
    """Read a whole record."""
    return msgspec.json.decode(path.read_bytes(), type=Record)


def read_outcome(path: Path) -> Outcome | None:
    """Read a record without its picks; None when there is none, or when the disk has damaged it (which is logged)."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Head).outcome
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        logger.warning("%s: damaged (%s); its micrograph is picked again", path, error)
        return None


def is_another(picked: Path, given: Path) -> bool:
    """Whether a file of the same name was picked, from another folder; one that is gone has been moved, as projects are."""
    try:
        return picked != given and not picked.samefile(given)
    except OSError:  # one is gone, or cannot be seen at the moment
        return False


def file_stems(names: Sequence[str]) -> list[str]:
    """A file name without suffix for each micrograph's own files: its stem, with a hash of its whole name where two share one.

    Stems that differ in case alone count as the same, for file systems that think so. Raises `NameMatchError` when two
    micrographs have one coordinate file in RELION's layout, which nothing can change, and `SettingError` for a name that no
    file of results can have or hold.
    """
    places: dict[PurePath, str] = {}
    for name in names:
        check_name(name)
        place = coordinate_file(name)
        if place in places:
            both = f"{places[place]} and {name}"
            raise NameMatchError(f"{both} have one file of coordinates in RELION's layout, {place}; pick them into two folders")
        places[place] = name
    stems = [stem(name) for name in names]
    shared = Counter(short.casefold() for short in stems)
    return [short if shared[short.casefold()] == 1 else _with_hash(short, name) for short, name in zip(stems, names, strict=True)]


def free_stem(name: str, taken: Mapping[str, str]) -> str:
    """As one of `file_stems`, for a micrograph that comes after those whose stems are `taken` (case folded, with their names)."""
    check_name(name)
    short = stem(name)
    return short if taken.get(short.casefold(), name) == name else _with_hash(short, name)


def _with_hash(short: str, name: str) -> str:
    return f"{short}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def check_name(name: str) -> None:
    """Raises `SettingError` for a name that no file of results can have or hold."""
    try:
        size = len(coordinate_file(name).name.encode())
    except UnicodeEncodeError:
        shown = name.encode("ascii", "backslashreplace").decode()
        raise SettingError(
            f"{shown}: this name is not UTF-8, as results must be; rename the micrograph or leave it out"
        ) from None
    if size > LONGEST_FILE_NAME:
        excess = size - LONGEST_FILE_NAME
        raise SettingError(
            f"{name}: this name is {excess} bytes too long for files of results; rename the micrograph or leave it out"
        )
