"""RELION's auto-picking job: a coordinate STAR file for each micrograph and an index, for RELION 3.1, 4 and 5."""

import os
import re
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np

from cryopick.coordinates import Frame, relion_rows
from cryopick.errors import FileError, NameMatchError
from cryopick.files import write_bytes
from cryopick.io.names import micrograph_of, stem
from cryopick.io.picks.base import Peek, Writing, placed
from cryopick.io.picks.columns import cells
from cryopick.io.picks.per_micrograph import titled
from cryopick.io.picks.reading import KnownMicrographs, Reading
from cryopick.io.picks.star import (
    NO_SCORE,
    TOMOGRAM_LABELS,
    coordinates,
    figures_of_merit,
    further_columns,
    labelled,
    relion_frame,
    unless_by_hand,
)
from cryopick.io.tables.delimited import read_text
from cryopick.io.tables.star import Column, StarTable, only_table, read_star, star_text
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
_OF_MICROGRAPHS = ("rlnImageName", "rlnImageOriginalName", "rlnMicrographId", "rlnMicrographOriginalName")
"""Columns that differ between micrographs."""


class RelionJob:
    """The folder or index of an auto-picking or manual-picking job, or the coordinate STAR file of one micrograph."""

    frame: ClassVar[Frame] = FRAME
    suffix: ClassVar[str] = SUFFIX
    single: ClassVar[bool] = False

    def recognises(self, peek: Peek) -> bool:
        """See `PickFormat.recognises`."""
        if peek.entries:
            known = (name in INDICES or name.startswith(PREFIX_3_1) or name.endswith(SUFFIX) for name in peek.entries)
            return any(known) or bool(_coordinate_files(peek.path.iterdir(), most=1))
        lists_files = LISTING_LABEL in peek.head
        in_tomograms = any(f"_{label}" in peek.head for label in TOMOGRAM_LABELS)
        ours = peek.path.name.startswith(PREFIX_3_1) or peek.path.name.endswith(SUFFIX)
        return lists_files or _lists_points(peek) or in_tomograms or ours

    def read(self, path: Path, reading: Reading) -> list[Picks]:
        """See `PickFormat.read`."""
        return [_read_coordinates(file, name, reading) for name, file in _listed(path, reading.known)]

    def write(self, picks: Iterable[Picks], path: Path, writing: Writing) -> None:
        """See `PickFormat.write`."""
        texts: dict[Path, str] = {}  # all are formatted before the first is written, so that an error leaves none of them
        names: dict[Path, str] = {}
        for each in picks:
            file = path / coordinate_file(each.micrograph)
            if file in names:
                both = f"{names[file]} and {each.micrograph}"
                raise NameMatchError(f"{both} would both be written to {file}; write them to different folders")
            names[file], texts[file] = each.micrograph, _coordinate_text(each)
        for file, text in texts.items():
            write_bytes(file, text.encode("utf-8", "surrogateescape"))
        write_index([(name, file) for file, name in names.items()], path)


def write_coordinates(picks: Picks, job: Path) -> Path:
    """Write the coordinate STAR file of one micrograph in the job folder and return its path.

    RELION 3.1 expects the micrograph's own path without its RELION job: ``MotionCorr/job002/raw/a.mrc`` gives
    ``raw/a_autopick.star``.
    """
    file = job / coordinate_file(picks.micrograph)
    write_bytes(file, _coordinate_text(picks).encode("utf-8", "surrogateescape"))
    return file


def _coordinate_text(picks: Picks) -> str:
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
    return star_text({"": table})


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
    write_bytes(job / INDEX_3_1, f"{(job / INDEX).as_posix()}\n".encode("utf-8", "surrogateescape"))


def _listed(path: Path, known: KnownMicrographs) -> list[tuple[str, Path]]:
    """Return names of micrographs and their coordinate files, from the job's index or the files found."""
    index = _index_of(path) if path.is_dir() else path
    if index is None or index.name.startswith(PREFIX_3_1):
        return _in_folder(path if index is None else index.parent, index, known)
    if LISTING_LABEL not in Peek.at(index).head:
        return [(micrograph_of(index.stem, known.fits), index)]
    table = only_table(index, read_star(index), LISTING_LABEL.removeprefix("_"))
    if table is None:
        raise FileError(index, f"has no table with {LISTING_LABEL}", "Give the autopick.star of a RELION job")
    listed = zip(table.text("rlnMicrographName"), table.text("rlnMicrographCoordinates"), strict=True)
    return [(name, _found(written, index)) for name, written in listed]


def _in_folder(job: Path, index: Path | None, known: KnownMicrographs) -> list[tuple[str, Path]]:
    """Return the coordinate files of a job without an index, or of any folder, with the names of their micrographs."""
    suffix = SUFFIX if index is None else index.name.removeprefix(PREFIX_3_1)
    found = sorted(file for file in job.rglob(f"*{suffix}") if not file.name.startswith((PREFIX_3_1, ".")))
    if not found and index is None:
        found, suffix = _coordinate_files(sorted(job.rglob("*.star"))), ".star"
    if not found:
        wanted = "coordinate STAR files" if index is None else f"file that ends in {suffix}"
        raise FileError(job, f"has no {wanted}", "Give a RELION picking job, or a folder with a STAR file per micrograph")
    titles = {file: file.relative_to(job).as_posix().removesuffix(suffix) for file in found}
    return list(titled(job, titles, known) if suffix == ".star" else zip(titles.values(), titles, strict=True))


def _coordinate_files(files: Iterable[Path], *, most: int | None = None) -> list[Path]:
    """Return the first files, up to a number, that are coordinate STAR files of one micrograph each."""
    stars = (file for file in files if file.suffix.lower() == ".star" and file.name[0] != "." and file.is_file())
    return list(islice((file for file in stars if _lists_points(Peek.at(file))), most))


def _lists_points(peek: Peek) -> bool:
    """Return whether a STAR file has coordinates without the names of their micrographs."""
    return "_rlnCoordinateX" in peek.head and "_rlnMicrographName" not in peek.head


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
    tables = read_star(path)
    table = only_table(path, tables, "rlnCoordinateX")
    if table is None:
        for each in tables.values():
            coordinates(path, each) if set(TOMOGRAM_LABELS) & set(each.labels) else None
        raise FileError(path, "has no table with _rlnCoordinateX", "Give coordinates of a RELION job")
    points = coordinates(path, table)
    _refuse_several(path, table)
    merits = figures_of_merit(table)
    scores = None if merits is None else unless_by_hand(merits)
    return reading.picks(
        path,
        written,
        points,
        relion_frame(FRAME, written, reading),
        scores=scores,
        diameters=table.numbers("rlnParticleDiameter") if "rlnParticleDiameter" in table else None,
        data=further_columns(table),
    )


def _refuse_several(path: Path, table: StarTable) -> None:
    """Raise `FileError` if the rows belong to several micrographs."""
    if "rlnMicrographName" in table:
        if len(set(table.text("rlnMicrographName"))) > 1:
            raise FileError(path, "has picks of several micrographs", "Read it as star, not as relion")
        return
    label = next((label for label in _OF_MICROGRAPHS if label in table), None)
    if label is not None and len({value.rpartition("@")[2] for value in table.text(label)}) > 1:
        found = f"has particles of several micrographs (_{label}), but no column _rlnMicrographName"
        raise FileError(path, found, "Add that column, or give the STAR file that the particles were extracted from")
