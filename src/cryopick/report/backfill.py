"""Thumbnails for micrographs that were picked without them, made from the micrographs themselves."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cryopick.display.thumbnails import make_thumbnail, write_thumbnail
from cryopick.errors import CryopickError
from cryopick.io.micrographs.files import read_micrograph
from cryopick.parallel.pool import run_tasks
from cryopick.report.summary import MicrographSummary, load_record
from cryopick.runs.folder import RunFolder

logger = logging.getLogger(__name__)


def without_thumbnail(folder: RunFolder, micrographs: Sequence[MicrographSummary]) -> list[MicrographSummary]:
    """Return the picked micrographs that have no thumbnail and whose file still exists."""
    done = (micrograph for micrograph in micrographs if micrograph.outcome.status == "done")
    absent = (micrograph for micrograph in done if not folder.thumbnail(micrograph.stem).is_file())
    return [micrograph for micrograph in absent if Path(micrograph.outcome.path).is_file()]


def make_thumbnails(folder: RunFolder, micrographs: Sequence[MicrographSummary], *, workers: int = 1) -> Iterator[str]:
    """Read these micrographs again and write a thumbnail of each; yield each stem when it is done.

    A micrograph that cannot be read is skipped with a warning. The thumbnails belong to the run, so `--overwrite` removes them.
    """
    with folder.writing(), folder.one_at_a_time():
        folder.note_assembled(*(folder.thumbnail(micrograph.stem) for micrograph in micrographs))
    stems = [micrograph.stem for micrograph in micrographs]
    yield from run_tasks(stems, partial(_ThumbnailWriter, folder), workers=workers, lost=_warn_lost)


@dataclass(frozen=True)
class _ThumbnailWriter:
    folder: RunFolder

    def __call__(self, stem: str) -> str:
        record = load_record(self.folder.record(stem))
        outcome = record.outcome
        try:
            micrograph = read_micrograph(Path(outcome.path), pixel_size=outcome.pixel_size, name=outcome.name, salvage=True)
        except CryopickError as error:
            logger.warning("no thumbnail: %s", error)
            return stem
        with self.folder.writing():
            write_thumbnail(make_thumbnail(micrograph, record.to_picks()), self.folder.thumbnail(stem))
        return stem


def _warn_lost(stem: str, reason: str) -> str:
    logger.warning("%s: no thumbnail: %s", stem, reason)
    return stem
