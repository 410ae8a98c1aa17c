"""What the folder of a run tells of its micrographs, without their picks."""

import csv
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import yaml

from cryopick.errors import FileError
from cryopick.provenance import flat
from cryopick.runs.folder import RunFolder
from cryopick.runs.records import Outcome, Record, read_record


@dataclass(frozen=True)
class Subject:
    """One micrograph of a run.

    Attributes
    ----------
    stem : of its files in the run's folder.
    median_score : of its picks; None where it has none, or they have no scores.
    """

    stem: str
    outcome: Outcome
    median_score: float | None

    @property
    def count(self) -> int:
        return self.outcome.picks

    @property
    def diameter(self) -> float | None:
        return self.outcome.diameter if self.outcome.picks else None


def survey(folder: RunFolder) -> list[Subject]:
    """Every micrograph that has been picked or has failed, in the order of the run's table.

    Records are read one at a time and their picks let go. Micrographs that the table leaves out are left out; where there is no
    table yet, all records count, by name. Raises `FileError` where there is no record at all, and for damaged ones.
    """
    order = _order(folder.table)
    subjects = [_subject(path) for path in sorted(folder.records.glob("*.json"))]
    known = [subject for subject in subjects if not order or subject.outcome.name in order]
    if not known:
        raise FileError(folder.path, "holds no results of `cryopick pick`", "Give the folder that was its --out")
    return sorted(known, key=lambda subject: order.get(subject.outcome.name, 0))


def whole_record(path: Path) -> Record:
    """A record with its picks. Raises `FileError` where it is damaged."""
    try:
        return read_record(path)
    except msgspec.DecodeError as error:
        remedy = "Run the same `cryopick pick` again; it picks that micrograph anew"
        raise FileError(path, f"is damaged ({error})", remedy) from error


def settings_of(folder: RunFolder) -> dict[str, str]:
    """The run's settings for people: dotted names and values in the order of ``run.yaml``, what is not set left out."""
    content = yaml.safe_load(folder.settings.read_text(encoding="utf-8")) or {}
    named = flat({"cryopick": content.get("cryopick"), **(content.get("pick") or {}), "versions": content.get("versions")})
    return {key: str(value) for key, value in named.items() if value not in (None, [], {})}


def _subject(path: Path) -> Subject:
    record = whole_record(path)
    median = float(np.median(record.scores)) if record.scores else None
    return Subject(path.stem, record.outcome, median)


def _order(table: Path) -> dict[str, int]:
    if not table.is_file():
        return {}
    with table.open(encoding="utf-8", errors="surrogateescape", newline="") as rows:
        return {row["name"]: number for number, row in enumerate(csv.DictReader(rows))}
