"""Labelled micrographs on disk: those learnt from, those validated on, and the files in which they are kept as they are shown."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from cryopick.coordinates import PixelMap, inside
from cryopick.errors import CryopickError, SettingError
from cryopick.io.datasets.cryoppp import BadArea, LabelledMicrograph
from cryopick.io.micrographs.sources import MicrographSource
from cryopick.randomness import generator
from cryopick.train.data.cache import PreparedImage
from cryopick.train.data.crops import Lesson, prepare_lessons
from cryopick.train.data.labelled import Skipped, find_labelled, label_border
from cryopick.types import Micrograph, Picks

logger = logging.getLogger(__name__)
T = TypeVar("T")

THREADS = 4
"""Micrographs in hand at a time: the chain's filters run beside each other, and memory is bounded."""
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


def shared_files(
    items: Sequence[T],
    images: Sequence[PreparedImage],
    write: Callable[[T, PreparedImage], Skipped | None],
    *,
    fabric: Any,
) -> list[tuple[T, Path]]:
    """Items with the file of the prepared image of each, in their order; items that `write` skips are logged and excluded.

    Only images that are not valid yet are written; the processes share that work.

    Raises `CryopickError` where every item is skipped.
    """
    mine = [pair for pair in zip(items, images, strict=True) if not pair[1].is_valid][fabric.global_rank :: fabric.world_size]
    fabric.barrier()  # no process may see another's files before it has chosen its own
    with ThreadPoolExecutor(THREADS) as pool:
        skipped = [bad for bad in pool.map(lambda pair: write(*pair), mine) if bad is not None]
    tell_skipped(skipped)
    fabric.barrier()
    kept = [(item, image.path) for item, image in zip(items, images, strict=True) if image.is_valid]
    if not kept:
        raise CryopickError(f"no micrograph can be learnt from. {'; '.join(map(str, skipped[:3]))}")
    return kept


def tell_skipped(skipped: Sequence[Skipped]) -> None:
    """Name in the log what is left out, and why."""
    for one in skipped[:NAMED]:
        logger.warning("left out: %s", one)
    if len(skipped) > NAMED:
        logger.warning("left out: %d more", len(skipped) - NAMED)


@dataclass(frozen=True)
class PartSource(MicrographSource):
    """Some columns of a micrograph, as if they were a whole one."""

    columns: tuple[int, int] = (0, 0)

    def read(self, *, salvage: bool = False) -> Micrograph:
        whole = super().read(salvage=salvage)
        return replace(whole, pixels=whole.pixels[:, slice(*self.columns)])


def split(
    micrographs: Sequence[LabelledMicrograph], *, share: float, seed: int
) -> tuple[list[LabelledMicrograph], list[LabelledMicrograph]]:
    """Micrographs to learn from, and at least one with particles to keep aside; the halves of one that is alone."""
    if len(micrographs) == 1:
        left, right = halves(micrographs[0])
        return [left], [right]
    able = [index for index, one in enumerate(micrographs) if len(one.truth)]
    order = generator(seed, "held out").permutation(able)
    aside = set(order[: min(max(1, round(share * len(micrographs))), len(micrographs) - 1)].tolist())
    parts: tuple[list[LabelledMicrograph], list[LabelledMicrograph]] = ([], [])
    for index, one in enumerate(micrographs):
        parts[index in aside].append(one)
    return parts


def halves(one: LabelledMicrograph) -> tuple[LabelledMicrograph, LabelledMicrograph]:
    """The left and the right half of a micrograph, as two of them."""
    height, width = one.truth.shape_hw or (0, 0)
    middle = width // 2
    first, second = ((0, middle), (middle, width))
    return _part(one, first, height, "left half"), _part(one, second, height, "right half")


def _part(one: LabelledMicrograph, columns: tuple[int, int], height: int, what: str) -> LabelledMicrograph:
    source = PartSource(**{**vars(one.source), "name": f"{one.source.name} ({what})"}, columns=columns)
    shape_hw, crop = (height, columns[1] - columns[0]), PixelMap.crop(columns[0], 0)

    def within(picks: Picks) -> Picks:
        moved = replace(picks, micrograph=source.name, xy=crop.from_home(picks.xy), shape_hw=shape_hw)
        return moved.where(inside(moved.xy, shape_hw))

    areas = [BadArea(area.radius, [(x, y) for x, y in crop.from_home(area.points).tolist()]) for area in one.areas]
    return LabelledMicrograph(source, within(one.truth), within(one.false_positives), areas)
