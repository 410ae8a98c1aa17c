"""What a run found, read back from its records: with the micrographs' shapes, which no flat STAR file holds."""

import csv
from pathlib import Path

from cryopick.distributed.folder import RunFolder
from cryopick.distributed.records import read_record
from cryopick.types import Picks


def is_run(path: Path) -> bool:
    """Whether this is the output folder of `cryopick pick`."""
    folder = RunFolder(path)
    return folder.settings.is_file() and folder.table.is_file()


def run_picks(path: Path) -> list[Picks]:
    """Picks of every finished micrograph of a run: those in its ``particles.star``, and those without any pick."""
    folder = RunFolder(path)
    with folder.table.open(encoding="utf-8", newline="") as table:
        finished = {row["name"] for row in csv.DictReader(table) if row["status"] == "done"}
    records = map(read_record, sorted(folder.records.glob("*.json")))
    return [record.to_picks() for record in records if record.outcome.name in finished]
