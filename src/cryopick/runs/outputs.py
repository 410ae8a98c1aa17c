"""Joint files for all micrographs of a run, assembled from the records in the order of the input."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from cryopick.errors import CryopickError
from cryopick.files import is_temporary
from cryopick.io.picks.base import text_file
from cryopick.io.picks.formats import place_in, write_picks
from cryopick.io.picks.relion import INDEX, INDEX_3_1, coordinate_file, write_index
from cryopick.runs.folder import RunFolder
from cryopick.runs.records import Outcome, read_record, shown
from cryopick.runs.settings import RunSettings
from cryopick.types import Picks

COLUMNS = ["name", "path", "picks", "seconds", "diameter", "pixel_size", "status", "error", "notes"]


def assemble(folder: RunFolder, outcomes: Iterable[tuple[str, Outcome]], settings: RunSettings) -> list[str]:
    """Write ``particles.star``, RELION's index, ``micrographs.csv`` and the further formats.

    `outcomes` come with the stems of their records. The picks of only one micrograph at a time are in memory. Returns a
    message for each format that cannot represent the picks and is not written.
    """
    with folder.writing():
        folder.note_assembled(folder.particles, folder.table, folder.relion / INDEX, folder.relion / INDEX_3_1)
        finished = _write_table(folder.table, outcomes)
        write_picks(_picks(folder, finished), folder.particles, format="star")
        write_index([(name, folder.relion / coordinate_file(name)) for name in finished.values()], folder.relion)
        return [problem for name in settings.formats for problem in _write_format(folder, name, finished)]


def format_path(folder: RunFolder, name: str) -> Path:
    """Return the path of the picks in a format: in a folder of its own."""
    return place_in(folder.path / name, "particles", format=name)


def _write_format(folder: RunFolder, name: str, finished: Mapping[str, str]) -> list[str]:
    place = folder.path / name
    foreign = _files(place) - folder.assembled()
    try:
        write_picks(_picks(folder, finished), format_path(folder, name), format=name)
    except CryopickError as error:
        return [f"{name} was not written: {error}"]
    finally:
        folder.note_assembled(*(_files(place) - foreign))
    return []


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file() and not is_temporary(path.name)}


def _picks(folder: RunFolder, finished: Mapping[str, str]) -> Iterator[Picks]:
    return (read_record(folder.record(stem)).to_picks() for stem in finished)


def _write_table(path: Path, outcomes: Iterable[tuple[str, Outcome]]) -> dict[str, str]:
    """Write a row for each micrograph; return the names of the finished ones by stem."""
    finished = {}
    with text_file(path) as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for stem, outcome in outcomes:
            row = {name: getattr(outcome, name) for name in COLUMNS}
            notes = shown("; ".join(outcome.notes))
            row |= {"name": shown(outcome.name), "path": shown(outcome.path), "error": shown(outcome.error), "notes": notes}
            table.writerow((row | {"seconds": f"{outcome.seconds:.3f}"}).values())
            if outcome.status == "done":
                finished[stem] = outcome.name
    return finished
