"""Summaries of the micrographs of a run, without their picks."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cryopick.errors import FileError
from cryopick.provenance import flat, read_plain_yaml
from cryopick.runs.folder import RunFolder
from cryopick.runs.records import Outcome, Record, read_record, shown
from cryopick.runs.results import read_table
from cryopick.runs.settings import COMMAND


@dataclass(frozen=True)
class MicrographSummary:
    """One micrograph of a run.

    Attributes
    ----------
    stem : the stem of its files in the folder of the run.
    outcome : what the run recorded.
    median_score : of its picks; None without picks or scores.
    """

    stem: str
    outcome: Outcome
    median_score: float | None

    @property
    def count(self) -> int:
        """Number of picks."""
        return self.outcome.picks

    @property
    def diameter(self) -> float | None:
        """Particle diameter [Å, or pixels without a pixel size]; None without picks."""
        return self.outcome.diameter if self.outcome.picks else None


def read_summaries(folder: RunFolder) -> list[MicrographSummary]:
    """Return the micrographs that were picked or failed, in the order of the table of the run.

    Records are read one at a time, so that only one micrograph's picks are in memory. Micrographs that are not in the table are
    ignored; without a table, all records count, sorted by file name. Raises `FileError` for a folder without records and for
    damaged records.
    """
    order = _table_order(folder.table)
    micrographs = [_summarize(path) for path in folder.record_paths()]
    known = [micrograph for micrograph in micrographs if not order or shown(micrograph.outcome.name) in order]
    if not known:
        raise FileError(folder.path, "contains no results of `cryopick pick`", "Give the folder of a run (its --out)")
    return sorted(known, key=lambda micrograph: order.get(shown(micrograph.outcome.name), 0))


def load_record(path: Path) -> Record:
    """Read a record with its picks. Raises `FileError` for a damaged one."""
    return read_record(path)


def read_settings(folder: RunFolder) -> dict[str, str]:
    """Return the settings of a run as dotted names and text, in the order of ``run.yaml``, without those that are not set."""
    content = read_plain_yaml(folder.settings, COMMAND)
    settings = content.get("pick")
    of_the_run = settings if isinstance(settings, dict) else {}
    named = flat({"cryopick": content.get("cryopick"), **of_the_run, "versions": content.get("versions")})
    return {key: str(value) for key, value in named.items() if value not in (None, [], {})}


def _summarize(path: Path) -> MicrographSummary:
    record = load_record(path)
    median = float(np.median(record.scores)) if record.scores else None
    return MicrographSummary(path.stem, record.outcome, median)


def _table_order(table: Path) -> dict[str, int]:
    if not table.is_file():
        return {}
    return {row.name: number for number, row in enumerate(read_table(table))}
