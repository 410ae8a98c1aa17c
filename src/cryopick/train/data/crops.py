"""Labelled micrographs as batches for training: prepared once as the picker prepares them, then cut at random."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryopick.coordinates import PixelMap, inside
from cryopick.errors import CryopickError, FileError, SettingError
from cryopick.io.datasets.cryoppp import BadArea, LabelledMicrograph
from cryopick.preprocess.particle_scaled import scale_to_particle
from cryopick.randomness import generator
from cryopick.simulate.crops import Crops
from cryopick.train.data.augment import augment
from cryopick.train.data.cache import PreparedImage, source_identity
from cryopick.train.data.labelled import EDGE, Skipped
from cryopick.train.data.targets import MAPS, SegnetRecipe, discs, target_maps
from cryopick.train.loop import Batch, Data
from cryopick.types import Picks

SCALES = 4
"""Sizes at which a micrograph is prepared when particles are to vary in size; crops are never interpolated."""
ON_A_PARTICLE = 0.5
"""Share of the crops that are laid around a labelled particle, so that sparse labels are seen."""
SUBPIXEL = 4
"""Bits that lines have below a pixel."""
DOUBT = 0.6
"""Diameters around a doubtful place within which nothing is taught: a particle there, and where picks may lie off."""

Values = NDArray[np.float32]


@dataclass(frozen=True)
class Picture:
    """A micrograph as the network sees it, kept in a file in 16 bits of which only what is needed is read.

    Attributes
    ----------
    to_home : from its pixels to the micrograph's.
    diameter_px : of a particle in it.
    """

    path: Path
    shape_hw: tuple[int, int]
    to_home: PixelMap
    diameter_px: float

    def part(self, top: int, left: int, shape_hw: tuple[int, int]) -> Values:
        """Float32 of a shape, from a row and column on; mirrored where the picture ends."""
        from safetensors import safe_open

        stops = np.minimum((top + shape_hw[0], left + shape_hw[1]), self.shape_hw).tolist()
        with safe_open(self.path, framework="np") as file:
            part = file.get_slice("values")[top : stops[0], left : stops[1]].astype(np.float32)
        missing = [(0, size - had) for size, had in zip(shape_hw, part.shape, strict=True)]
        return np.pad(part, missing, mode="symmetric") if any(after for _, after in missing) else np.asarray(part)


@dataclass(frozen=True, eq=False)
class Lesson:
    """A labelled micrograph at one or several scales.

    `doubtful` are places that may be particles though they are not labelled: nothing is taught around them.
    """

    labelled: LabelledMicrograph
    pictures: tuple[Picture, ...]
    doubtful: Picks


def prepare_lessons(
    micrographs: Sequence[LabelledMicrograph],
    *,
    diameters_px: Sequence[float],
    folder: Path,
    particles: Literal["dark", "light"] = "dark",
    on_done: Callable[[int], None] | None = None,
) -> tuple[list[Lesson], list[Skipped]]:
    """Micrographs scaled and evened out as the picker's fast route does, for each diameter in pixels; and those that cannot be.

    The pictures are files in `folder`; those that are there already, of the same micrograph and settings, are taken. One
    micrograph is in memory at a time.
    """
    lessons, skipped = [], []
    for number, one in enumerate(micrographs, 1):
        try:
            lessons.append(Lesson(one, _pictures(one, diameters_px, folder, particles), Picks(one.source.name)))
        except FileError as error:
            skipped.append(Skipped(one.source.name, f"{error.found}. {error.remedy}"))
        except CryopickError as error:
            skipped.append(Skipped(one.source.name, str(error)))
        if on_done is not None:
            on_done(number)
    if not lessons:
        raise CryopickError(f"no micrograph can be learnt from. {'; '.join(map(str, skipped[:3]))}")
    return lessons, skipped


def jittered_diameters(diameter_px: tuple[float, float]) -> list[float]:
    """The diameters in pixels at which micrographs are prepared so that particles span a range of them."""
    low, high = diameter_px
    return [low] if low == high else np.geomspace(low, high, SCALES).tolist()


class LabelledCrops:
    """Random crops of labelled micrographs; which ones make up a step depends on the seed, the step and the rank alone.

    A batch has `pictures` (b, 1, s, s), `maps` (b, 3, s, s) as `target_maps` draws them, and `known` (b, 3, s, s), which is 1
    where a map may be learnt from: not within `border` diameters of the micrograph's edges nor near doubtful places unless a
    labelled particle or a bad area is there, and for junk, which nobody labels all of, on particles, labelled false positives and
    bad areas only.
    """

    def __init__(
        self,
        lessons: Sequence[Lesson],
        recipe: SegnetRecipe,
        *,
        seed: int,
        border: float = EDGE,
        device: torch.device | str = "cpu",
    ) -> None:
        self.lessons, self.recipe, self.seed, self.border, self.device = lessons, recipe, seed, border, device

    def batches(self, first: int, last: int, *, count: int, rank: int, world: int) -> Iterator[Batch]:
        share = count // world + (rank < count % world)
        for step in range(first, last):
            rng = generator(self.seed, "labelled", step, rank)
            crops, known = self.crops(share, rng)
            maps = target_maps(crops, centre=self.recipe.centre)
            torch_rng = torch.Generator(self.device).manual_seed(int(rng.integers(2**62)))
            pictures, targets = augment(
                crops.pixels[:, None],
                torch.cat((maps, known), dim=1),
                settings=self.recipe.augmentation,
                generator=torch_rng,
            )
            yield {"pictures": pictures, "maps": targets[:, : len(MAPS)], "known": targets[:, len(MAPS) :]}

    def crops(self, count: int, rng: np.random.Generator) -> tuple[Crops, Tensor]:
        """Crops, whose pixels are as the network sees them, and where their maps are known (b, 3, s, s)."""
        chosen = []
        for _ in range(count):
            lesson = self.lessons[int(rng.integers(len(self.lessons)))]
            picture = lesson.pictures[int(rng.integers(len(lesson.pictures)))]
            chosen.append((lesson, picture, *_place(lesson, picture, self.recipe.crop, rng)))
        return _gather(chosen, self.recipe.crop, self.border, self.device)


def held_out_crops(lessons: Iterable[Lesson], *, size: int, border: float = EDGE) -> Crops:
    """All of some micrographs, less their borders, in crops of `size` pixels side by side; pixels as the network sees them.

    At the first of each lesson's scales. Pictures that are smaller than a crop are mirrored at their ends, with what is in them.
    """
    chosen = []
    for lesson in lessons:
        picture = lesson.pictures[0]
        (left, top), (right, bottom) = np.rint(_counted(lesson, picture, border)).astype(int).tolist()
        tops, lefts = (range(start, max(stop - size + 1, start + 1), size) for start, stop in ((top, bottom), (left, right)))
        chosen += [(lesson, picture, row, column) for row in tops for column in lefts]
    return _gather(chosen, size, border, "cpu")[0]


class Mixed:
    """Batches of which a share comes from one source, the rest from another whose maps are known everywhere."""

    def __init__(self, some: Data, others: Data, *, share: float) -> None:
        self.some, self.others, self.share = some, others, share

    def batches(self, first: int, last: int, *, count: int, rank: int, world: int) -> Iterator[Batch]:
        if count < 2 * world:
            raise SettingError(f"batch is {count}; a mixture needs at least {2 * world}, one crop of each kind for each process")
        part = world * min(max(round(self.share * count / world), 1), count // world - 1)
        one = self.some.batches(first, last, count=part, rank=rank, world=world)
        other = self.others.batches(first, last, count=count - part, rank=rank, world=world)
        for left, right in zip(one, other, strict=True):
            device = right["pictures"].device
            whole = {"known": torch.ones_like(right["maps"]), **right}
            yield {name: torch.cat((left[name].to(device), whole[name])) for name in left}


def _pictures(
    one: LabelledMicrograph, diameters_px: Sequence[float], folder: Path, particles: Literal["dark", "light"]
) -> tuple[Picture, ...]:
    images = [PreparedImage.of(folder, one.source.name, source_identity(one), size, particles) for size in diameters_px]
    if not all(image.is_valid for image in images):
        micrograph = one.source.read()
        for image, size in zip(images, diameters_px, strict=True):
            diameter_px = one.truth.diameter_px or 0.0
            prepared = scale_to_particle(micrograph, particle_px=size, diameter_px=diameter_px, particles=particles)
            if prepared is None:
                raise CryopickError(f"a particle of {diameter_px:.0f} pixels is larger than the picture")
            image.write({"values": prepared.values.astype(np.float16)}, to_home=prepared.map_to_home)
    return tuple(_open(image, one) for image in images)


def _open(image: PreparedImage, one: LabelledMicrograph) -> Picture:
    to_home = image.to_home()
    return Picture(image.path, image.shape_hw("values"), to_home, (one.truth.diameter_px or 0.0) / to_home.length)


def _place(lesson: Lesson, picture: Picture, size: int, rng: np.random.Generator) -> tuple[int, int]:
    """Row and column where a random crop begins."""
    height, width = picture.shape_hw
    room = np.maximum((width - size, height - size), 0)
    start = rng.uniform((0, 0), room + 1)
    particles = lesson.labelled.truth.xy
    if len(particles) and rng.random() < ON_A_PARTICLE:
        particle = picture.to_home.from_home(particles[rng.integers(len(particles))])[0]
        start = particle - rng.uniform(0, size, 2)
    left, top = np.clip(np.floor(start).astype(int), 0, room).tolist()
    return top, left


def _counted(lesson: Lesson, picture: Picture, border: float) -> NDArray[np.float64]:
    """First and last point (2, 2) of the picture that is not within `border` diameters of the micrograph's edges."""
    height, width = lesson.labelled.truth.shape_hw or (0, 0)
    margin = border * (lesson.labelled.truth.diameter_px or 0.0)
    corners = picture.to_home.from_home([(margin, margin), (width - 1 - margin, height - 1 - margin)])
    rows, columns = picture.shape_hw
    return np.clip(corners, 0, (columns - 1, rows - 1))


def _gather(
    chosen: Sequence[tuple[Lesson, Picture, int, int]], size: int, border: float, device: torch.device | str
) -> tuple[Crops, Tensor]:
    """The crops that begin at the given rows and columns, and where their maps are known."""
    points = {kind: _Points() for kind in ("truth", "junk", "doubtful")}
    counted = torch.zeros(len(chosen), size, size, device=device)
    painted = np.zeros((len(chosen), size, size), np.uint8)
    pixels = torch.from_numpy(np.stack([picture.part(top, left, (size, size)) for _, picture, top, left in chosen]))
    for image, (lesson, picture, top, left) in enumerate(chosen):
        to_home = picture.to_home.then(PixelMap.crop(left, top))
        labelled, reach = lesson.labelled, picture.diameter_px
        for kind, picks in (("truth", labelled.truth), ("junk", labelled.false_positives), ("doubtful", lesson.doubtful)):
            points[kind].add(to_home.from_home(picks.xy), image, size, reach)
        _paint(painted[image], labelled.areas, to_home)
        (x0, y0), (x1, y1) = _counted(lesson, picture, border) - (left, top)
        rows, columns = (slice(max(0, math.ceil(a)), max(0, math.floor(b) + 1)) for a, b in ((y0, y1), (x0, x1)))
        counted[image, rows, columns] = 1
    diameter = torch.tensor([picture.diameter_px for _, picture, _, _ in chosen], device=device)
    xy, inside_of = points["truth"].tensors(device)
    junk_xy, junk_image = points["junk"].tensors(device)
    crops = Crops(
        pixels.to(device),
        torch.ones_like(diameter),
        diameter,
        xy,
        inside_of,
        torch.ones_like(xy[:, 0]),
        junk_xy,
        junk_image,
        torch.from_numpy(painted).to(device),
    )
    return crops, _known(crops, counted, *points["doubtful"].tensors(device))


def _paint(mask: NDArray[np.uint8], areas: Sequence[BadArea], to_home: PixelMap) -> None:
    """Set the mask (h, w) to 1 on bad areas, to a pixel; the last point twice, since no line has a single one."""
    for area in areas:
        line = np.rint(to_home.from_home([*area.points, area.points[-1]]) * 2**SUBPIXEL).astype(np.int32)
        width = max(1, round(2 * area.radius / to_home.length))
        cv2.polylines(mask, [line[:, None]], False, 1, thickness=width, shift=SUBPIXEL)


def _known(crops: Crops, counted: Tensor, doubtful_xy: Tensor, doubtful_image: Tensor) -> Tensor:
    shape, diameter = tuple(counted.shape), crops.diameter_px
    particles = discs(crops.xy, crops.image, diameter[crops.image] / 2, shape)
    rejected = discs(crops.junk_xy, crops.junk_image, diameter[crops.junk_image] / 2, shape)
    doubt = discs(doubtful_xy, doubtful_image, DOUBT * diameter[doubtful_image], shape)
    said = torch.maximum(torch.maximum(particles, rejected), (crops.cover > 0).float())
    background = torch.maximum(counted * (1 - doubt), said)
    return torch.stack((background, background, said), dim=1)


class _Points:
    """Points of all crops in one list, as `Crops` has them."""

    def __init__(self) -> None:
        self._xy: list[NDArray[np.float64]] = [np.zeros((0, 2))]
        self._image: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]

    def add(self, xy: NDArray[np.float64], image: int, size: int, reach: float) -> None:
        """Those that lie on a crop or at most `reach` pixels beyond."""
        near = xy[inside(xy, (size, size), border=-reach)]
        self._xy.append(near)
        self._image.append(np.full(len(near), image))

    def tensors(self, device: torch.device | str) -> tuple[Tensor, Tensor]:
        xy, image = np.concatenate(self._xy), np.concatenate(self._image)
        return torch.as_tensor(xy, dtype=torch.float32, device=device), torch.as_tensor(image, device=device)
