"""Picks of a run, read from its records, which also contain the micrographs' shapes."""

import csv
import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from cryopick.checks import checked_pixel_size
from cryopick.coordinates import IMAGE_FRAME
from cryopick.errors import CryopickError, FileError, SettingError
from cryopick.io.picks.formats import outside_of, read_picks, reduced_doubt
from cryopick.io.picks.reading import KnownMicrographs, Reading, Source
from cryopick.runs.folder import RunFolder
from cryopick.runs.records import Record, Status, read_record
from cryopick.types import Picks

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PickedMicrograph:
    """A micrograph as described by its picks: a `Source` that needs no file."""

    name: str
    shape_hw: tuple[int, int] | None
    pixel_size: float | None
    optics_group: int
    uid: int | None
    path: Path | None = None

    @classmethod
    def of(cls, picks: Picks) -> "PickedMicrograph":
        """Return the micrograph that picks belong to."""
        return cls(picks.micrograph, picks.shape_hw, picks.pixel_size, picks.optics_group, picks.uid)


def is_run(path: Path) -> bool:
    """Return whether this is the output folder of a run of `cryopick pick`."""
    folder = RunFolder(path)
    return os.path.isfile(folder.settings) and os.path.isfile(folder.table)  # noqa: PTH113 - False for closed folders too


def run_picks(
    path: Path,
    *,
    micrographs: Sequence[Source] | None = None,
    unknown: set[str] | None = None,
    pixel_size: float | None = None,
) -> list[Picks]:
    """Return the picks of every finished micrograph of a run, including empty ones.

    `micrographs`, `unknown` and `pixel_size` as in `read_picks`. Raises `FileError` for a record that cannot be read.
    """
    folder = RunFolder(path)
    known = KnownMicrographs(micrographs or (), unknown=unknown, file=path)
    reading = Reading(known, checked_pixel_size(pixel_size, str(path)))
    finished = {row.name for row in read_table(folder.table) if row.status == "done"}
    picked: dict[str, tuple[Path, Picks]] = {}
    for record_path in folder.record_paths():
        with suppress(FileNotFoundError):  # a live run has removed it
            record = read_record(record_path)
            name = record.outcome.name
            if record.outcome.status == "done" and name in finished and not _is_later(picked.get(name), record_path):
                picked[name] = record_path, _picks(record_path, record, reading)
    if missing := sorted(finished - set(picked)):
        problem = f"says that {missing[0]} was picked, but there is no record of it"
        raise FileError(folder.table, problem, "Run the same `cryopick pick` again; it picks that micrograph again")
    found = [picks for _, picks in picked.values()]
    return found if unknown is None else [picks for picks in found if picks.micrograph not in unknown]


def _is_later(earlier: tuple[Path, Picks] | None, path: Path) -> bool:
    """Return whether a micrograph has a later record: its stem changes when another micrograph of the same stem comes."""
    return earlier is not None and earlier[0].stat().st_mtime_ns > path.stat().st_mtime_ns


@dataclass(frozen=True)
class TableRow:
    """A micrograph in the ``micrographs.csv`` of a run; see `Outcome`."""

    name: str
    path: str
    status: str
    pixel_size: float | None


def read_table(path: Path) -> list[TableRow]:
    """Return the rows of the ``micrographs.csv`` of a run. Raises `FileError` for a file that is damaged."""
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            table = csv.DictReader(file, strict=True)
            if not {"name", "path", "pixel_size", "status"} <= set(table.fieldnames or ()):
                raise ValueError("its first line does not name the columns")
            return [_row(row) for row in table]
    except (OSError, ValueError, CryopickError, csv.Error) as error:
        remedy = "Run the same `cryopick pick` again; it writes this file again"
        raise FileError(path, f"is damaged ({error})", remedy) from error


def _row(row: dict[str, str]) -> TableRow:
    if None in row or None in row.values():
        raise ValueError("a row has too few or too many cells")
    if row["status"] not in get_args(Status):
        raise ValueError(f"a row has the status {row['status']!r}")
    pixel_size = float(row["pixel_size"]) if row["pixel_size"] else None
    return TableRow(row["name"], row["path"], row["status"], checked_pixel_size(pixel_size, row["name"]))


def read_picks_or_run(
    path: Path,
    *,
    format: str | None = None,  # noqa: A002
    micrographs: Sequence[Source] | None = None,
    unknown: set[str] | None = None,
    pixel_size: float | None = None,
    downsample: float = 1.0,
) -> list[Picks]:
    """Read picks like `read_picks`; without a `format`, `path` may also be the output folder of a run.

    Warns about picks outside their micrographs. Raises `SettingError` for a factor if `path` is a run.
    """
    if format is None and is_run(path):
        if downsample != 1:
            raise SettingError(f"{path}: downsample does not apply to runs; give its particles.star if its images were reduced")
        return run_picks(path, micrographs=micrographs, unknown=unknown, pixel_size=pixel_size)
    found = read_picks(
        path, format=format, micrographs=micrographs, unknown=unknown, pixel_size=pixel_size, downsample=downsample
    )
    for doubt in filter(None, (outside_of(found), reduced_doubt(found))):
        logger.warning("%s: %s", path, doubt)
    return found


def _picks(path: Path, record: Record, reading: Reading) -> Picks:
    picks = record.to_picks()
    found = reading.picks(
        path,
        picks.micrograph,
        picks.xy,
        IMAGE_FRAME,
        scores=picks.scores,
        diameter=picks.diameter,
        diameter_px=picks.diameter if picks.pixel_size is None else None,
        shape_hw=picks.shape_hw,
        pixel_size=picks.pixel_size,
    )
    return replace(found, optics_group=picks.optics_group, uid=picks.uid)
