"""Estimate one diameter for a whole run, from a few micrographs before the first is picked, if none is given."""

import logging
from collections.abc import Callable, Iterator, Sequence

import msgspec

from cryopick.io.micrographs.sources import MicrographSource
from cryopick.pickers.base import Picker
from cryopick.pickers.diameter import estimate_diameter
from cryopick.provenance import RunRecord
from cryopick.runs.folder import RunFolder
from cryopick.runs.settings import COMMAND, RunSettings, mismatch, read_run_record, recorded_estimate
from cryopick.types import Micrograph

logger = logging.getLogger(__name__)

SAMPLED = 4
"""Number of micrographs in the estimate; those of a folder are alike, and each takes a second or two."""

TRIED = 5
"""Number of files to try in each part of the list."""


def prepare_with_diameter(
    folder: RunFolder,
    settings: RunSettings,
    sources: Sequence[MicrographSource],
    build: Callable[[RunSettings], Picker],
    *,
    overwrite: bool = False,
    shared: bool = False,
) -> RunSettings:
    """Prepare the folder as `RunFolder.prepare` does, and return the settings with the run's diameter in them.

    The diameter is the given one, the estimate of the run that is resumed, or is estimated now and recorded. There is none if
    the picker needs none or no micrograph can be read. Raises also `CryopickError` if no diameter can be estimated.
    """
    settings = settings if overwrite else with_recorded_estimate(folder, settings)
    folder.prepare(settings, overwrite=overwrite, shared=shared)
    has_records = bool(folder.record_paths())
    if settings.diameter is None and settings.estimate is None and not has_records:
        estimate = estimate_diameter(build(settings), sample_micrographs(sources, salvage=settings.salvage))
        settings = msgspec.structs.replace(settings, estimate=estimate)
        folder.prepare(settings, shared=shared)
    return settings


def with_recorded_estimate(folder: RunFolder, settings: RunSettings) -> RunSettings:
    """Add the estimate in the folder's ``run.yaml`` to the settings, if they can resume that run."""
    if not RunRecord.is_at(folder.settings, COMMAND):
        return settings
    record = read_run_record(folder.settings)
    if mismatch(record, settings):
        return settings
    return msgspec.structs.replace(settings, estimate=recorded_estimate(record))


def sample_micrographs(sources: Sequence[MicrographSource], *, salvage: bool = False) -> Iterator[Micrograph]:
    """Yield the first readable micrograph of each of `SAMPLED` equal parts of the list, ordered by name."""
    ordered = sorted(sources, key=lambda source: source.name)
    parts = min(SAMPLED, len(ordered))
    for part in range(parts):
        for source in ordered[part * len(ordered) // parts : (part + 1) * len(ordered) // parts][:TRIED]:
            try:
                micrograph = source.read(salvage=salvage)
            except Exception:  # the run will report it
                logger.debug("%s cannot be read", source.name, exc_info=True)
                continue
            yield micrograph
            break
