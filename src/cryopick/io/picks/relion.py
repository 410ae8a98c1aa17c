"""RELION's auto-picking job: a coordinate STAR file for each micrograph and an index, for RELION 3.1, 4 and 5."""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np

from cryopick.coordinates import Frame, relion_rows
from cryopick.errors import FileError, NameMatchError
from cryopick.files import write_bytes, write_text
from cryopick.io.names import stem
from cryopick.io.picks.base import Peek, Reading, Writing, placed
from cryopick.io.picks.columns import cells
from cryopick.io.picks.star import (
    NO_SCORE,
    coordinates,
    figures_of_merit,
    further_columns,
    labelled,
    relion_frame,
    unless_by_hand,
)
from cryopick.io.tables.delimited import read_text
from cryopick.io.tables.star import Column, read_star, star_text
from cryopick.types import Picks

FRAME = Frame(quantum=1.0)  # the extraction job truncates decimals

SUFFIX = "_autopick.star"
INDEX = "autopick.star"
INDICES = (INDEX, "manualpick.star")
PREFIX_3_1 = "coords_suffix"
INDEX_3_1 = PREFIX_3_1 + SUFFIX

LISTING_LABEL = "_rlnMicrographCoordinates"

_WITHOUT_LABELS_BYTES = 200
_JOB_FOLDER = re.compile(r"^(?:.*?/)?[^/]+/job\d{3,}/")
_COORDINATE_SUFFIX = re.compile(r"_(auto|manual)?picks?$")


class RelionJob:
    """The folder or index of an auto-picking or manual-picking job, or the coordinate STAR file of one micrograph."""

    frame: ClassVar[Frame] = FRAME
    suffix: ClassVar[str] = SUFFIX
    single: ClassVar[bool] = False

    def recognises(self, peek: Peek) -> bool:
        """See `PickFormat.recognises`."""
        if peek.entries:
            return any(name in INDICES or name.startswith(PREFIX_3_1) or name.endswith(SUFFIX) for name in peek.entries)
        lists_files = LISTING_LABEL in peek.head
        lists_points = "_rlnCoordinateX" in peek.head and "_rlnMicrographName" not in peek.head
        return lists_files or lists_points or peek.path.name.startswith(PREFIX_3_1) or peek.path.name.endswith(SUFFIX)

    def read(self, path: Path, reading: Reading) -> list[Picks]:
        """See `PickFormat.read`."""
        return [_read_coordinates(file, name, reading) for name, file in _listed(path)]

    def write(self, picks: Iterable[Picks], path: Path, writing: Writing) -> None:
        """See `PickFormat.write`."""
        names: dict[Path, str] = {}
        for each in picks:
            file = path / coordinate_file(each.micrograph)
            if file in names:
                both = f"{names[file]} and {each.micrograph}"
                raise NameMatchError(f"{both} would both be written to {file}; write them to different folders")
            names[write_coordinates(each, path)] = each.micrograph
        write_index([(name, file) for file, name in names.items()], path)


def write_coordinates(picks: Picks, job: Path) -> Path:
    """Write the coordinate STAR file of one micrograph in the job folder and return its path.

    RELION 3.1 expects the micrograph's own path without its RELION job: ``MotionCorr/job002/raw/a.mrc`` gives
    ``raw/a_autopick.star``.
    """
    points = placed(picks, replace(FRAME, rows=relion_rows(picks.micrograph)))
    unknown = np.full(len(picks), NO_SCORE)
    table: dict[str, Column] = {
        "rlnCoordinateX": points[:, 0],
        "rlnCoordinateY": points[:, 1],
        "rlnClassNumber": np.zeros(len(picks), np.int64),
        "rlnAnglePsi": np.zeros(len(picks)),
        "rlnAutopickFigureOfMerit": unknown if picks.scores is None else picks.scores,
    }
    table |= {label: cells(values) for label, values in labelled(picks).items()} if len(picks) else {}
    file = job / coordinate_file(picks.micrograph)
    write_text(file, star_text({"": table}))
    return file


def coordinate_file(micrograph: str) -> PurePosixPath:
    """Return the path of a micrograph's coordinates relative to the job folder."""
    inner = PurePosixPath(_JOB_FOLDER.sub("", micrograph))
    folders = [part for part in inner.parts[:-1] if part not in {"/", ".."}]
    return PurePosixPath(*folders, stem(inner.name) + SUFFIX)


def write_index(names_and_files: Iterable[tuple[str, Path]], job: Path) -> None:
    """Write the job's `autopick.star` (RELION 4 and 5) and `coords_suffix_autopick.star` (RELION 3.1).

    `names_and_files` are the micrographs' names, exactly as in the `micrographs.star` that particles will be extracted with,
    and their coordinate files; RELION takes relative paths from its project folder.
    """
    listed = list(names_and_files)
    table = {
        "rlnMicrographName": [name for name, _ in listed],
        "rlnMicrographCoordinates": [file.as_posix() for _, file in listed],
    }
    write_bytes(job / INDEX, star_text({"coordinate_files": table}).encode("utf-8", "surrogateescape"))
    write_text(job / INDEX_3_1, f"{(job / INDEX).as_posix()}\n")


def _listed(path: Path) -> Iterator[tuple[str, Path]]:
    """Return names of micrographs and their coordinate files, from the job's index or the files found."""
    index = _index_of(path) if path.is_dir() else path
    if index is None or index.name.startswith(PREFIX_3_1):
        suffix = SUFFIX if index is None else index.name.removeprefix(PREFIX_3_1)
        job = path if index is None else index.parent
        files = sorted(file for file in job.rglob(f"*{suffix}") if not file.name.startswith(PREFIX_3_1))
        if not files:
            raise FileError(job, f"has no file that ends in {suffix}", "Give the folder of a RELION picking job")
        for file in files:
            yield file.relative_to(job).as_posix().removesuffix(suffix), file
        return
    if LISTING_LABEL not in Peek.at(index).head:
        yield _COORDINATE_SUFFIX.sub("", index.stem), index
        return
    table = next((table for table in read_star(index).values() if LISTING_LABEL.removeprefix("_") in table), None)
    if table is None:
        raise FileError(index, f"has no table with {LISTING_LABEL}", "Give the autopick.star of a RELION job")
    for name, written in zip(table.text("rlnMicrographName"), table.text("rlnMicrographCoordinates"), strict=True):
        yield name, _found(written, index)


def _index_of(job: Path) -> Path | None:
    indices = [job / name for name in INDICES if (job / name).is_file()]
    return next(iter([*indices, *sorted(job.glob(f"{PREFIX_3_1}*.star"))]), None)


def _found(written: str, index: Path) -> Path:
    """Return a coordinate file as named in the index, or relative to the index if the job has been moved."""
    parts = PurePosixPath(written).parts
    candidates = [Path(written), *(index.parent / PurePosixPath(*parts[start:]) for start in range(len(parts)))]
    found = next((candidate for candidate in candidates if os.path.isfile(candidate)), None)  # noqa: PTH113 - no name is too long
    if found is None:
        raise FileError(index, f"lists {written}, which does not exist", "Run in RELION's project folder, or correct the path")
    return found


def _read_coordinates(path: Path, written: str, reading: Reading) -> Picks:
    if path.stat().st_size < _WITHOUT_LABELS_BYTES and "_rln" not in read_text(path):
        return reading.picks(path, written, [], Frame())  # RELION writes such files for micrographs without picks
    table = next((table for table in read_star(path).values() if "rlnCoordinateX" in table), None)
    if table is None:
        raise FileError(path, "has no table with _rlnCoordinateX", "Give coordinates of a RELION job")
    merits = figures_of_merit(table)
    scores = None if merits is None else unless_by_hand(merits)
    return reading.picks(
        path,
        written,
        coordinates(table),
        relion_frame(FRAME, written, reading),
        scores=scores,
        diameters=table.numbers("rlnParticleDiameter") if "rlnParticleDiameter" in table else None,
        data=further_columns(table),
    )
