"""What a run found, read back from its records: with the micrographs' shapes, which no flat STAR file holds."""

from pathlib import Path

from cryopick.distributed.folder import RunFolder
from cryopick.distributed.records import read_record
from cryopick.types import Picks


def is_run(path: Path) -> bool:
    """Whether this is the output folder of `cryopick pick`."""
    return RunFolder(path).settings.is_file() and RunFolder(path).records.is_dir()


def run_picks(path: Path) -> list[Picks]:
    """Picks of every finished micrograph of a run's output folder, by the names of the records."""
    records = (read_record(record) for record in sorted(RunFolder(path).records.glob("*.json")))
    return [record.to_picks() for record in records if record.outcome.status == "done"]
