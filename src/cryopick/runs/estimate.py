"""One diameter for a whole run where none is given: estimated over a few micrographs before the first is picked, and recorded."""

import logging
from collections.abc import Callable, Iterator, Sequence

import msgspec

from cryopick.runs.folder import RunFolder
from cryopick.runs.settings import HEADER, RunSettings, differences
from cryopick.io.micrographs.sources import MicrographSource
from cryopick.pickers.base import Picker
from cryopick.pickers.diameter import DiameterEstimate, estimate_diameter
from cryopick.types import Micrograph

logger = logging.getLogger(__name__)

SAMPLED = 4
"""Micrographs that are looked at: a folder's are of one kind, and each takes a second or two."""

TRIED = 5
"""Files that are tried in each part of the list until one can be read."""


def prepare_sized(
    folder: RunFolder,
    settings: RunSettings,
    sources: Sequence[MicrographSource],
    build: Callable[[RunSettings], Picker],
    *,
    overwrite: bool = False,
    shared: bool = False,
) -> RunSettings:
    """Prepare the folder as `RunFolder.prepare` does, and give back the settings with the run's diameter in them.

    It is the one given, or the estimate that an earlier run began with, or is estimated now and recorded. Pickers that need none
    have none, and so have micrographs that cannot be read. Raises also `CryopickError` where particles of no size stand out.
    """
    settings = settings if overwrite else recorded(folder, settings)
    folder.prepare(settings, overwrite=overwrite, shared=shared)
    begun = any(folder.records.glob("*.json"))
    if settings.diameter is None and settings.estimate is None and not begun:
        estimate = estimate_diameter(build(settings), spread(sources, salvage=settings.salvage))
        settings = msgspec.structs.replace(settings, estimate=estimate)
        folder.prepare(settings, shared=shared)
    return settings


def recorded(folder: RunFolder, settings: RunSettings) -> RunSettings:
    """The settings with the estimate in the folder's ``run.yaml``, if that is of a run with the same settings."""
    import yaml

    text = folder.settings.read_text(encoding="utf-8", errors="replace") if folder.settings.is_file() else ""
    if not text.startswith(HEADER) or differences(text, settings):
        return settings
    estimate = (yaml.safe_load(text).get("pick") or {}).get("estimate")
    return msgspec.structs.replace(settings, estimate=estimate and msgspec.convert(estimate, DiameterEstimate))


def spread(sources: Sequence[MicrographSource], *, salvage: bool = False) -> Iterator[Micrograph]:
    """The first micrograph that can be read of each of `SAMPLED` equal parts of the list by name, whatever its order."""
    ordered = sorted(sources, key=lambda source: source.name)
    parts = min(SAMPLED, len(ordered))
    for part in range(parts):
        for source in ordered[part * len(ordered) // parts : (part + 1) * len(ordered) // parts][:TRIED]:
            try:
                micrograph = source.read(salvage=salvage)
            except Exception:  # the run itself will name it
                logger.debug("%s cannot be read", source.name, exc_info=True)
                continue
            yield micrograph
            break
