"""Split labelled micrographs into training and held-out ones, and prepare them in files with all processes of a run."""

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
from cryopick.train.data.crops import PreparedMicrograph, prepare_micrographs
from cryopick.train.data.labelled import Skipped, find_labelled, label_border
from cryopick.train.loop import require_at_least_one
from cryopick.types import Micrograph, Picks

logger = logging.getLogger(__name__)
T = TypeVar("T")

PREPARED = "prepared"
"""Name of the folder of prepared micrographs in a run."""
THREADS = 4
"""Number of micrographs prepared at the same time, which limits the memory."""
MAX_LOGGED = 20
"""Number of skipped micrographs that are logged by name; only the number of the rest is logged."""


@dataclass(frozen=True)
class DiskSettings:
    """The labelled micrographs to train on.

    Attributes
    ----------
    data : folder in CryoPPP's layout, folder of micrographs with files of picks, or file of picks with names of micrographs.
    picks : file or folder of picks, if `data` has none.
    diameter : particle diameter [Å]; by default that of the picks.
    pixel_size : pixel size [Å]; by default that of the files.
    particles : whether particles are darker or lighter than ice.
    held_out : share of the micrographs that are held out for validation, at least one.
    max_held_out : largest number of them.
    simulated : share of each batch that is simulated.
    """

    data: str
    picks: str | None = None
    diameter: float | None = None
    pixel_size: float | None = None
    particles: Literal["dark", "light"] = "dark"
    held_out: float = 0.2
    max_held_out: int = 100
    simulated: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.held_out < 1:
            raise SettingError(f"held_out must be in (0, 1), got {self.held_out}")
        if not 0 <= self.simulated < 1:
            raise SettingError(f"simulated must be in [0, 1), got {self.simulated}")
        require_at_least_one(self, "max_held_out")


@dataclass(frozen=True, eq=False)
class Split:
    """Training and held-out micrographs; labels within `border` diameters of the edges are not used."""

    training: list[LabelledMicrograph]
    held_out: list[LabelledMicrograph]
    border: float


def load_split(settings: DiskSettings, *, seed: int) -> Split:
    """Find the labelled micrographs of the settings and split them; unusable ones are skipped and logged.

    Raises `CryopickError` if fewer than two are left.
    """
    found = find_labelled(settings.data, settings.picks, diameter=settings.diameter, pixel_size=settings.pixel_size)
    log_skipped(found.skipped)
    count = len(found.micrographs)
    if count < 2:
        raise CryopickError(
            f"{settings.data}: at least 2 labelled micrographs are needed, one of them for validation, got {count}"
        )
    share = min(settings.held_out, settings.max_held_out / count)
    training, held_out = split_micrographs(found.micrographs, share=share, seed=seed)
    logger.info("%d training and %d held-out micrographs", len(training), len(held_out))
    return Split(training, held_out, label_border(found.micrographs))


def prepare_shared(
    micrographs: Sequence[LabelledMicrograph], diameters_px: Sequence[float], *, fabric: Any, folder: Path, settings: DiskSettings
) -> list[PreparedMicrograph]:
    """Prepare micrographs like `prepare_micrographs`, shared among the processes; each process returns all of them."""

    def prepare(some: Sequence[LabelledMicrograph]) -> tuple[list[PreparedMicrograph], list[Skipped]]:
        return prepare_micrographs(some, diameters_px=diameters_px, folder=folder, particles=settings.particles)

    if fabric.world_size > 1:
        with suppress(CryopickError):  # if this process can read none; reported below, for all processes
            prepare(micrographs[fabric.global_rank :: fabric.world_size])
        fabric.barrier()
    prepared, skipped = prepare(micrographs)
    if fabric.is_global_zero:
        log_skipped(skipped)
    return prepared


def prepare_files(
    items: Sequence[T],
    images: Sequence[PreparedImage],
    write: Callable[[T, PreparedImage], Skipped | None],
    *,
    fabric: Any,
) -> list[tuple[T, Path]]:
    """Write the prepared image of each item, unless it is valid, with the work shared by the processes.

    Returns items and files in order. Items for which `write` returns a reason are skipped and logged. Raises `CryopickError`
    if no image is left.
    """
    mine = [pair for pair in zip(items, images, strict=True) if not pair[1].is_valid][fabric.global_rank :: fabric.world_size]
    fabric.barrier()  # before any process writes a file, all must know which ones are theirs
    with ThreadPoolExecutor(THREADS) as pool:
        skipped = [bad for bad in pool.map(lambda pair: write(*pair), mine) if bad is not None]
    log_skipped(skipped)
    fabric.barrier()
    kept = [(item, image.path) for item, image in zip(items, images, strict=True) if image.is_valid]
    if not kept:
        raise CryopickError(f"no micrograph can be used for training. {'; '.join(map(str, skipped[:3]))}")
    return kept


def log_skipped(skipped: Sequence[Skipped]) -> None:
    """Log the skipped items with their reasons."""
    for one in skipped[:MAX_LOGGED]:
        logger.warning("skipped %s", one)
    if len(skipped) > MAX_LOGGED:
        logger.warning("skipped %d more", len(skipped) - MAX_LOGGED)


@dataclass(frozen=True)
class ColumnsSource(MicrographSource):
    """A range of columns of a micrograph as a separate micrograph."""

    columns: tuple[int, int] = (0, 0)

    def read(self, *, salvage: bool = False) -> Micrograph:
        """See `MicrographSource.read`."""
        whole = super().read(salvage=salvage)
        return replace(whole, pixels=whole.pixels[:, slice(*self.columns)])


def split_micrographs(
    micrographs: Sequence[LabelledMicrograph], *, share: float, seed: int
) -> tuple[list[LabelledMicrograph], list[LabelledMicrograph]]:
    """Split micrographs at random into training and held-out ones, of which at least one has particles.

    A single micrograph is split into its halves.
    """
    if len(micrographs) == 1:
        left, right = halves(micrographs[0])
        return [left], [right]
    with_particles = [index for index, one in enumerate(micrographs) if len(one.truth)]
    order = generator(seed, "held out").permutation(with_particles)
    held_out = set(order[: min(max(1, round(share * len(micrographs))), len(micrographs) - 1)].tolist())
    parts: tuple[list[LabelledMicrograph], list[LabelledMicrograph]] = ([], [])
    for index, one in enumerate(micrographs):
        parts[index in held_out].append(one)
    return parts


def halves(one: LabelledMicrograph) -> tuple[LabelledMicrograph, LabelledMicrograph]:
    """Return the left and the right half of a micrograph as separate micrographs."""
    height, width = one.truth.shape_hw or (0, 0)
    middle = width // 2
    first, second = ((0, middle), (middle, width))
    return _part(one, first, height, "left half"), _part(one, second, height, "right half")


def _part(one: LabelledMicrograph, columns: tuple[int, int], height: int, what: str) -> LabelledMicrograph:
    source = ColumnsSource(**{**vars(one.source), "name": f"{one.source.name} ({what})"}, columns=columns)
    shape_hw, crop = (height, columns[1] - columns[0]), PixelMap.crop(columns[0], 0)

    def within(picks: Picks) -> Picks:
        moved = replace(picks, micrograph=source.name, xy=crop.from_home(picks.xy), shape_hw=shape_hw)
        return moved.where(inside(moved.xy, shape_hw))

    areas = [BadArea(area.radius, [(x, y) for x, y in crop.from_home(area.points).tolist()]) for area in one.areas]
    return LabelledMicrograph(source, within(one.truth), within(one.false_positives), areas)
