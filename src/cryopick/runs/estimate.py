"""Estimate one diameter for a whole run where none is given, from a few micrographs and before the first is picked."""

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
"""Micrographs that the estimate is made from: those of a folder are alike, and each takes a second or two."""

TRIED = 5
"""Files that are tried in each part of the list before it is given up."""


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

    The diameter is the one given, or the estimate of the run that is resumed, or is estimated now and recorded. There is none
    for pickers that need none, and where no micrograph can be read. Raises also `CryopickError` where no particle size can be
    estimated.
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
    """The settings with the estimate in the folder's ``run.yaml``, if that is of a run that these settings can resume."""
    if not RunRecord.is_at(folder.settings, COMMAND):
        return settings
    record = read_run_record(folder.settings)
    if mismatch(record, settings):
        return settings
    return msgspec.structs.replace(settings, estimate=recorded_estimate(record))


def sample_micrographs(sources: Sequence[MicrographSource], *, salvage: bool = False) -> Iterator[Micrograph]:
    """The first readable micrograph of each of `SAMPLED` equal parts of the list, ordered by name."""
    ordered = sorted(sources, key=lambda source: source.name)
    parts = min(SAMPLED, len(ordered))
    for part in range(parts):
        for source in ordered[part * len(ordered) // parts : (part + 1) * len(ordered) // parts][:TRIED]:
            try:
                micrograph = source.read(salvage=salvage)
            except Exception:  # the run itself will report it
                logger.debug("%s cannot be read", source.name, exc_info=True)
                continue
            yield micrograph
            break
