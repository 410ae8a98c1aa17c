"""Random crops of labelled micrographs, which are prepared once as for picking."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

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
from cryopick.train.data.labelled import DEFAULT_BORDER, Skipped
from cryopick.train.data.targets import MAPS, CropSettings, discs, target_maps
from cryopick.train.loop import Batch, BatchSource, process_share
from cryopick.types import Picks

SCALES = 4
"""Number of scales at which a micrograph is prepared if particle sizes are to vary; crops are never interpolated."""
CENTRED_SHARE = 0.5
"""Share of the crops around a labelled particle, so that sparse labels are used."""
SUBPIXEL = 4
"""Fractional bits of the coordinates of lines that OpenCV draws."""
UNCERTAIN_RADIUS = 0.6
"""Radius of the disc around an uncertain pick that is ignored, in diameters: a particle, and the error of a pick."""

Values = NDArray[np.float32]


@dataclass(frozen=True)
class ScaledImage:
    """A micrograph as input of the network, in a file of 16-bit floats that is read in parts.

    Attributes
    ----------
    path : of the file.
    shape_hw : of the image.
    to_home : maps its pixels to those of the micrograph.
    diameter_px : of a particle, in its pixels.
    """

    path: Path
    shape_hw: tuple[int, int]
    to_home: PixelMap
    diameter_px: float

    def part(self, top: int, left: int, shape_hw: tuple[int, int]) -> Values:
        """Read a part, float32 (h, w), that starts at a row and column; mirrored beyond the edges of the image."""
        from safetensors import safe_open

        stops = np.minimum((top + shape_hw[0], left + shape_hw[1]), self.shape_hw).tolist()
        with safe_open(self.path, framework="np") as file:
            part = file.get_slice("values")[top : stops[0], left : stops[1]].astype(np.float32)
        missing = [(0, size - had) for size, had in zip(shape_hw, part.shape, strict=True)]
        return np.pad(part, missing, mode="symmetric") if any(after for _, after in missing) else np.asarray(part)


@dataclass(frozen=True, eq=False)
class PreparedMicrograph:
    """A labelled micrograph at one or several scales.

    Attributes
    ----------
    labelled : the micrograph and its labels.
    images : the micrograph at each scale.
    uncertain : picks that may be particles although they are not labelled; the surroundings are ignored in training.
    """

    labelled: LabelledMicrograph
    images: tuple[ScaledImage, ...]
    uncertain: Picks


def prepare_micrographs(
    micrographs: Sequence[LabelledMicrograph],
    *,
    diameters_px: Sequence[float],
    folder: Path,
    particles: Literal["dark", "light"] = "dark",
    on_done: Callable[[int], None] | None = None,
) -> tuple[list[PreparedMicrograph], list[Skipped]]:
    """Scale and standardise micrographs as for picking, for each diameter in pixels; also return the skipped ones.

    The images are written to files in `folder`; existing files of the same micrograph and settings are reused. Only one
    micrograph is in memory at a time. `on_done` is called with the number of finished micrographs. Raises `CryopickError` if
    none can be read.
    """
    prepared, skipped = [], []
    for number, one in enumerate(micrographs, 1):
        try:
            prepared.append(PreparedMicrograph(one, _images(one, diameters_px, folder, particles), Picks(one.source.name)))
        except FileError as error:
            skipped.append(Skipped(one.source.name, f"{error.found}. {error.remedy}"))
        except CryopickError as error:
            skipped.append(Skipped(one.source.name, str(error)))
        if on_done is not None:
            on_done(number)
    if not prepared:
        raise CryopickError(f"no micrograph can be used for training. {'; '.join(map(str, skipped[:3]))}")
    return prepared, skipped


def jittered_diameters(diameter_px: tuple[float, float]) -> list[float]:
    """Return the diameters [px] at which micrographs are prepared so that particles cover a range of diameters [px]."""
    low, high = diameter_px
    return [low] if low == high else np.geomspace(low, high, SCALES).tolist()


class LabelledCrops:
    """Batches of random crops of labelled micrographs; those of a step depend only on the seed, the step and the rank.

    A batch has `images` (b, 1, s, s), `maps` (b, 3, s, s) as drawn by `target_maps`, and `known` (b, 3, s, s), which is 1 where
    a map takes part in the loss. Centres and particles are unknown within `border` diameters of the micrograph's edges and around
    uncertain picks, except on labelled particles and bad areas. Junk, which is never labelled completely, is known only on
    particles, labelled false positives and bad areas.
    """

    def __init__(
        self,
        micrographs: Sequence[PreparedMicrograph],
        crop: CropSettings,
        *,
        seed: int,
        border: float = DEFAULT_BORDER,
        device: torch.device | str = "cpu",
    ) -> None:
        self.micrographs, self.crop, self.seed, self.border, self.device = micrographs, crop, seed, border, device

    def batches(self, first: int, last: int, *, count: int, rank: int, world: int) -> Iterator[Batch]:
        """See `BatchSource.batches`."""
        share = process_share(count, rank=rank, world=world)
        for step in range(first, last):
            rng = generator(self.seed, "labelled", step, rank)
            crops, known = self.crops(share, rng)
            maps = target_maps(crops, centre_radius=self.crop.centre_radius)
            torch_rng = torch.Generator(self.device).manual_seed(int(rng.integers(2**62)))
            images, targets = augment(
                crops.pixels[:, None],
                torch.cat((maps, known), dim=1),
                settings=self.crop.augmentation,
                generator=torch_rng,
            )
            yield {"images": images, "maps": targets[:, : len(MAPS)], "known": targets[:, len(MAPS) :]}

    def crops(self, count: int, rng: np.random.Generator) -> tuple[Crops, Tensor]:
        """Draw `count` crops, with pixels as the network's input, and where their maps are known (count, 3, s, s)."""
        windows = []
        for _ in range(count):
            micrograph = self.micrographs[int(rng.integers(len(self.micrographs)))]
            image = micrograph.images[int(rng.integers(len(micrograph.images)))]
            windows.append(Window(micrograph, image, *_draw_corner(micrograph, image, self.crop.size, rng)))
        return _gather(windows, self.crop.size, self.border, self.device)


def held_out_crops(micrographs: Iterable[PreparedMicrograph], *, size: int, border: float = DEFAULT_BORDER) -> Crops:
    """Tile micrographs, at the first of their scales and without their borders, with crops of `size` × `size` pixels.

    Pixels are as the network's input. Images smaller than a crop are mirrored at their edges, their labels included.
    """
    windows = []
    for micrograph in micrographs:
        image = micrograph.images[0]
        (left, top), (right, bottom) = np.rint(_inner_corners(micrograph, image, border)).astype(int).tolist()
        tops, lefts = (range(start, max(stop - size + 1, start + 1), size) for start, stop in ((top, bottom), (left, right)))
        windows += [Window(micrograph, image, row, column) for row in tops for column in lefts]
    return _gather(windows, size, border, "cpu")[0]


class Window(NamedTuple):
    """The place of a crop: its micrograph, the image at one scale, and the row and column at which it starts."""

    micrograph: PreparedMicrograph
    image: ScaledImage
    top: int
    left: int


class MixedBatches:
    """Batches of which a `share` comes from one source and the rest from another, whose maps are known everywhere."""

    def __init__(self, some: BatchSource, others: BatchSource, *, share: float) -> None:
        self.some, self.others, self.share = some, others, share

    def batches(self, first: int, last: int, *, count: int, rank: int, world: int) -> Iterator[Batch]:
        """See `BatchSource.batches`."""
        if count < 2 * world:
            raise SettingError(f"loop.batch must be at least {2 * world}, one crop of each source per process, got {count}")
        part = world * min(max(round(self.share * count / world), 1), count // world - 1)
        one = self.some.batches(first, last, count=part, rank=rank, world=world)
        other = self.others.batches(first, last, count=count - part, rank=rank, world=world)
        for left, right in zip(one, other, strict=True):
            device = right["images"].device
            whole = {"known": torch.ones_like(right["maps"]), **right}
            yield {name: torch.cat((left[name].to(device), whole[name])) for name in left}


def _images(
    one: LabelledMicrograph, diameters_px: Sequence[float], folder: Path, particles: Literal["dark", "light"]
) -> tuple[ScaledImage, ...]:
    images = [PreparedImage.of(folder, one.source.name, source_identity(one), size, particles) for size in diameters_px]
    if not all(image.is_valid for image in images):
        micrograph = one.source.read()
        for image, size in zip(images, diameters_px, strict=True):
            diameter_px = one.truth.diameter_px or 0.0
            prepared = scale_to_particle(micrograph, particle_px=size, diameter_px=diameter_px, particles=particles)
            if prepared is None:
                raise CryopickError(f"the particle diameter of {diameter_px:.0f} pixels exceeds the size of the micrograph")
            image.write({"values": prepared.values.astype(np.float16)}, to_home=prepared.map_to_home)
    return tuple(_open(image, one) for image in images)


def _open(image: PreparedImage, one: LabelledMicrograph) -> ScaledImage:
    to_home = image.to_home()
    return ScaledImage(image.path, image.shape_hw("values"), to_home, (one.truth.diameter_px or 0.0) / to_home.length)


def _draw_corner(micrograph: PreparedMicrograph, image: ScaledImage, size: int, rng: np.random.Generator) -> tuple[int, int]:
    """Draw the row and column at which a random crop starts."""
    height, width = image.shape_hw
    room = np.maximum((width - size, height - size), 0)
    start = rng.uniform((0, 0), room + 1)
    particles = micrograph.labelled.truth.xy
    if len(particles) and rng.random() < CENTRED_SHARE:
        particle = image.to_home.from_home(particles[rng.integers(len(particles))])[0]
        start = particle - rng.uniform(0, size, 2)
    left, top = np.clip(np.floor(start).astype(int), 0, room).tolist()
    return top, left


def _inner_corners(micrograph: PreparedMicrograph, image: ScaledImage, border: float) -> NDArray[np.float64]:
    """Return the corners (2, 2), in pixels of the image, of the area further than `border` diameters from the edges."""
    height, width = micrograph.labelled.truth.shape_hw or (0, 0)
    margin = border * (micrograph.labelled.truth.diameter_px or 0.0)
    corners = image.to_home.from_home([(margin, margin), (width - 1 - margin, height - 1 - margin)])
    rows, columns = image.shape_hw
    return np.clip(corners, 0, (columns - 1, rows - 1))


def _gather(windows: Sequence[Window], size: int, border: float, device: torch.device | str) -> tuple[Crops, Tensor]:
    """Cut out the crops at the given windows; also return where their maps are known (b, 3, size, size)."""
    points = {kind: _Points() for kind in ("truth", "junk", "uncertain")}
    inner = torch.zeros(len(windows), size, size, device=device)
    bad = np.zeros((len(windows), size, size), np.uint8)
    pixels = torch.from_numpy(np.stack([each.image.part(each.top, each.left, (size, size)) for each in windows]))
    for index, (micrograph, image, top, left) in enumerate(windows):
        to_home = image.to_home.then(PixelMap.crop(left, top))
        labelled, reach = micrograph.labelled, image.diameter_px
        for kind, picks in (("truth", labelled.truth), ("junk", labelled.false_positives), ("uncertain", micrograph.uncertain)):
            points[kind].add(to_home.from_home(picks.xy), index, size, reach)
        _paint(bad[index], labelled.areas, to_home)
        (x0, y0), (x1, y1) = _inner_corners(micrograph, image, border) - (left, top)
        rows, columns = (slice(max(0, math.ceil(a)), max(0, math.floor(b) + 1)) for a, b in ((y0, y1), (x0, x1)))
        inner[index, rows, columns] = 1
    diameter = torch.tensor([each.image.diameter_px for each in windows], device=device)
    xy, image_of = points["truth"].tensors(device)
    junk_xy, junk_image = points["junk"].tensors(device)
    crops = Crops(
        pixels.to(device),
        torch.ones_like(diameter),
        diameter,
        xy,
        image_of,
        torch.ones_like(xy[:, 0]),
        junk_xy,
        junk_image,
        torch.from_numpy(bad).to(device),
    )
    return crops, _known(crops, inner, *points["uncertain"].tensors(device))


def _paint(mask: NDArray[np.uint8], areas: Sequence[BadArea], to_home: PixelMap) -> None:
    """Set the mask (h, w) to 1 on bad areas; the last point is doubled because a line needs two."""
    for area in areas:
        line = np.rint(to_home.from_home([*area.points, area.points[-1]]) * 2**SUBPIXEL).astype(np.int32)
        width = max(1, round(2 * area.radius / to_home.length))
        cv2.polylines(mask, [line[:, None]], False, 1, thickness=width, shift=SUBPIXEL)


def _known(crops: Crops, inner: Tensor, uncertain_xy: Tensor, uncertain_image: Tensor) -> Tensor:
    """Return whether the maps of crops are known (b, 3, h, w), see `LabelledCrops`; `inner` (b, h, w) is 1 off the borders."""
    shape, diameter = tuple(inner.shape), crops.diameter_px
    particles = discs(crops.xy, crops.image, diameter[crops.image] / 2, shape)
    rejected = discs(crops.junk_xy, crops.junk_image, diameter[crops.junk_image] / 2, shape)
    ignored = discs(uncertain_xy, uncertain_image, UNCERTAIN_RADIUS * diameter[uncertain_image], shape)
    labelled = torch.maximum(torch.maximum(particles, rejected), (crops.cover > 0).float())
    background = torch.maximum(inner * (1 - ignored), labelled)
    return torch.stack((background, background, labelled), dim=1)


class _Points:
    """Points of all crops in one list, as in `Crops`."""

    def __init__(self) -> None:
        self._xy: list[NDArray[np.float64]] = [np.zeros((0, 2))]
        self._image: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]

    def add(self, xy: NDArray[np.float64], image: int, size: int, reach: float) -> None:
        """Add the points (n, 2) that lie on crop number `image` or at most `reach` pixels outside it."""
        near = xy[inside(xy, (size, size), border=-reach)]
        self._xy.append(near)
        self._image.append(np.full(len(near), image))

    def tensors(self, device: torch.device | str) -> tuple[Tensor, Tensor]:
        """Return all points float32 (n, 2), and the crop's number for each (n,)."""
        xy, image = np.concatenate(self._xy), np.concatenate(self._image)
        return torch.as_tensor(xy, dtype=torch.float32, device=device), torch.as_tensor(image, device=device)
