"""One small file for each micrograph that a run has finished: what it found, or why it failed. A later run goes on from them."""

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Literal

import msgspec
import numpy as np

from cryopick.errors import CryopickError
from cryopick.io.atomic import write_bytes
from cryopick.types import Picks

logger = logging.getLogger(__name__)
Status = Literal["done", "failed", "pending"]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How it went with one micrograph; all that a record holds but the picks themselves.

    Attributes
    ----------
    name, path : the micrograph, as its source names it.
    status : "failed" with an `error`, or "done"; "pending" is never written.
    picks : their number.
    seconds : wall time from reading to writing.
    diameter : Å where the pixel size is known, else pixels; the picker's estimate when none was given.
    files : what was written for this micrograph, relative to the output folder.
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
    files: list[str] = []


class Record(Outcome, frozen=True, kw_only=True):
    """An outcome with its picks at full precision."""

    xy: list[tuple[float, float]] = []
    scores: list[float] | None = None

    def to_picks(self) -> Picks:
        scores = None if self.scores is None else np.array(self.scores, np.float32)
        xy = np.array(self.xy, np.float64).reshape(-1, 2)
        return Picks(self.name, xy, scores, self.diameter, self.shape_hw, self.pixel_size)


def done(picks: Picks, *, path: str, seconds: float, files: list[str]) -> Record:
    """The record of a micrograph that was picked."""
    return Record(
        name=picks.micrograph,
        path=path,
        status="done",
        picks=len(picks),
        seconds=seconds,
        diameter=picks.diameter,
        pixel_size=picks.pixel_size,
        shape_hw=picks.shape_hw,
        files=files,
        xy=[(x, y) for x, y in picks.xy.tolist()],
        scores=None if picks.scores is None else picks.scores.tolist(),
    )


def write_record(record: Record, path: Path) -> None:
    """Write a record atomically; the last thing that is done for a micrograph."""
    write_bytes(path, msgspec.json.encode(record))


def read_record(path: Path) -> Record:
    """Read a whole record."""
    return msgspec.json.decode(path.read_bytes(), type=Record)


def read_outcome(path: Path) -> Outcome | None:
    """Read a record without its picks; None when there is none, or when the disk has damaged it (which is logged)."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Outcome)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        logger.warning("%s: damaged (%s); its micrograph is picked again", path, error)
        return None


def file_stems(names: Sequence[str]) -> list[str]:
    """A file name without suffix for each micrograph's own files: its stem, with a hash of its whole name where two share one.

    Stems that differ in case alone count as the same, for file systems that think so. Raises `CryopickError` when two
    micrographs have the same whole name, because no pick file could tell them apart.
    """
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise CryopickError(
            f"{len(twice)} micrographs are given more than once under one name, such as {twice[0]}; give each once"
        )
    stems = [PurePath(name).stem for name in names]
    shared = Counter(stem.casefold() for stem in stems)
    return [
        stem if shared[stem.casefold()] == 1 else f"{stem}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        for stem, name in zip(stems, names, strict=True)
    ]
