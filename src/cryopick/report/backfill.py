"""Glimpses of micrographs that were picked without leaving any, made from the micrographs themselves."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cryopick.display.thumbnails import make_thumbnail, write_thumbnail
from cryopick.errors import CryopickError
from cryopick.io.micrographs.files import read_micrograph
from cryopick.parallel.pool import run_tasks
from cryopick.report.summary import Subject, whole_record
from cryopick.runs.folder import RunFolder

logger = logging.getLogger(__name__)


def without_thumbnail(folder: RunFolder, subjects: Sequence[Subject]) -> list[Subject]:
    """Those that were picked and have no thumbnail, while their micrograph is still there."""
    done = (subject for subject in subjects if subject.outcome.status == "done")
    absent = (subject for subject in done if not folder.thumbnail(subject.stem).is_file())
    return [subject for subject in absent if Path(subject.outcome.path).is_file()]


def make_thumbnails(folder: RunFolder, subjects: Sequence[Subject], *, workers: int = 1) -> Iterator[str]:
    """Read these micrographs again and write a thumbnail of each; their stems come as they are done.

    A micrograph that cannot be read is passed over with a warning, and a fresh start of the run removes what was written.
    """
    with folder.writing(), folder.one_at_a_time():
        folder.note_assembled(*(folder.thumbnail(subject.stem) for subject in subjects))
    stems = [subject.stem for subject in subjects]
    yield from run_tasks(stems, partial(_Maker, folder), workers=workers, lost=_lost)


@dataclass(frozen=True)
class _Maker:
    folder: RunFolder

    def __call__(self, stem: str) -> str:
        record = whole_record(self.folder.record(stem))
        about = record.outcome
        try:
            micrograph = read_micrograph(Path(about.path), pixel_size=about.pixel_size, name=about.name, salvage=True)
        except CryopickError as error:
            logger.warning("no picture: %s", error)
            return stem
        with self.folder.writing():
            write_thumbnail(make_thumbnail(micrograph, record.to_picks()), self.folder.thumbnail(stem))
        return stem


def _lost(stem: str, reason: str) -> str:
    logger.warning("%s: no picture: %s", stem, reason)
    return stem
