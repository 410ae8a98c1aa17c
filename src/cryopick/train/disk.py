"""Labelled micrographs on disk, parted into those that are learnt from and those that are validated on."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cryopick.errors import CryopickError, SettingError
from cryopick.io.dataset import LabelledMicrograph
from cryopick.train.held_out import split
from cryopick.train.labelled import Skipped, find_labelled, label_border
from cryopick.train.labelled_crops import Lesson, prepare_lessons

logger = logging.getLogger(__name__)
NAMED = 20
"""Skipped micrographs that are named; of more only the number is told."""


@dataclass(frozen=True)
class DiskSettings:
    """Which micrographs are learnt from.

    Attributes
    ----------
    data : folder of CryoPPP's shape, micrographs with files of picks beside them, or a file of picks that names them.
    picks : file or folder of picks where `data` has none.
    diameter, pixel_size : of all, in Å; None takes what the files say.
    particles : whether they are darker or lighter than ice.
    held_out, most_held_out : share of the micrographs that are kept apart to validate on, at least one; and how many at most.
    simulated : share of each batch that is simulated.
    """

    data: str
    picks: str | None = None
    diameter: float | None = None
    pixel_size: float | None = None
    particles: Literal["dark", "light"] = "dark"
    held_out: float = 0.2
    most_held_out: int = 100
    simulated: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.held_out < 1:
            raise SettingError(f"held_out must lie between 0 and 1, not be {self.held_out}")
        if not 0 <= self.simulated < 1:
            raise SettingError(f"simulated must be at least 0 and below 1, not {self.simulated}")
        if self.most_held_out < 1:
            raise SettingError(f"most_held_out must be at least 1, not {self.most_held_out}")


@dataclass(frozen=True, eq=False)
class Parts:
    """Micrographs that are learnt from, and others; `border` is how far from the edges labels say nothing, in diameters."""

    learnt: list[LabelledMicrograph]
    held_out: list[LabelledMicrograph]
    border: float


def find_parts(settings: DiskSettings, *, seed: int) -> Parts:
    """The labelled micrographs of the settings; those that cannot be learnt from are named in the log and left out.

    Raises `CryopickError` where fewer than two are left.
    """
    found = find_labelled(settings.data, settings.picks, diameter=settings.diameter, pixel_size=settings.pixel_size)
    tell_skipped(found.skipped)
    count = len(found.micrographs)
    if count < 2:
        raise CryopickError(f"{settings.data}: one labelled micrograph is too few: one to learn from and one to validate on")
    share = min(settings.held_out, settings.most_held_out / count)
    learnt, held_out = split(found.micrographs, share=share, seed=seed)
    logger.info("%d micrographs to learn from, %d to validate on", len(learnt), len(held_out))
    return Parts(learnt, held_out, label_border(found.micrographs))


def shared_lessons(
    micrographs: Sequence[LabelledMicrograph], diameters_px: Sequence[float], *, fabric: Any, folder: Path, settings: DiskSettings
) -> list[Lesson]:
    """As `prepare_lessons`, the work parted between the processes; each has all lessons in the end."""

    def prepare(some: Sequence[LabelledMicrograph]) -> tuple[list[Lesson], list[Skipped]]:
        return prepare_lessons(some, diameters_px=diameters_px, folder=folder, particles=settings.particles)

    if fabric.world_size > 1:
        with suppress(CryopickError):  # none of these can be read: told below, where all are known
            prepare(micrographs[fabric.global_rank :: fabric.world_size])
        fabric.barrier()
    lessons, skipped = prepare(micrographs)
    if fabric.is_global_zero:
        tell_skipped(skipped)
    return lessons


def tell_skipped(skipped: Sequence[Skipped]) -> None:
    """Name in the log what is left out, and why."""
    for one in skipped[:NAMED]:
        logger.warning("left out: %s", one)
    if len(skipped) > NAMED:
        logger.warning("left out: %d more", len(skipped) - NAMED)
