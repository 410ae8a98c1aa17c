"""Labelled micrographs, denoised and resized as published once, and kept in files of which a training reads a few at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from cryopick.errors import CryopickError
from cryopick.io.datasets.cryoppp import LabelledMicrograph
from cryopick.pickers.cryosegnet import CryoSegNetSettings, denoised
from cryopick.randomness import generator
from cryopick.simulate.micrograph import micrograph_name, simulate_micrograph
from cryopick.simulate.settings import SimulationSettings
from cryopick.train.data.cache import PreparedImage, source_identity
from cryopick.train.data.labelled import Skipped
from cryopick.train.data.splits import shared_files
from cryopick.train.data.targets import disc_mask
from cryopick.train.loop import Batch
from cryopick.types import Micrograph, Picks

Grey = NDArray[np.uint8]


class Labelled(NamedTuple):
    """A micrograph with its particles that is made, or read, when `load` is called.

    `identity` is another when what `load` gives is another.
    """

    name: str
    identity: object
    load: Callable[[], tuple[Micrograph, Picks]]


@dataclass(frozen=True, eq=False)
class Page:
    """What is kept of a micrograph: the picture and the mask uint8 (h, w), of 0 and 1; particles (n, 2) in its pixels."""

    picture: Grey
    mask: Grey
    xy: NDArray[np.float64]
    diameter_px: float


def from_disk(micrographs: Sequence[LabelledMicrograph]) -> list[Labelled]:
    """Micrographs of files, another when a file or its labels are changed."""

    def one(labelled: LabelledMicrograph) -> Labelled:
        source, truth = labelled.source, labelled.truth
        identity = (*source_identity(labelled), truth.xy.tobytes())
        return Labelled(source.name, identity, lambda: (source.read(), truth))

    return [one(labelled) for labelled in micrographs]


def simulated(count: int, settings: SimulationSettings, *, seed: int, size: int, pixel_size: float) -> list[Labelled]:
    """Simulated micrographs of `size`² pixels of so many Å."""

    def one(index: int) -> Labelled:
        def load() -> tuple[Micrograph, Picks]:
            made = simulate_micrograph(seed=seed, index=index, size=size, pixel_size=pixel_size, settings=settings)
            return made.micrograph, made.truth

        return Labelled(micrograph_name(seed, index), (seed, index, size, pixel_size, settings), load)

    return [one(index) for index in range(count)]


def prepare_pages(
    micrographs: Sequence[Labelled], settings: CryoSegNetSettings, *, folder: Path, fabric: Any
) -> list[tuple[str, Path]]:
    """Names and files of the pages of all micrographs that can be read, in their order; the others are named in the log.

    Files that are there already, of the same micrograph and settings, are taken; the processes share the rest of the work.

    Raises `CryopickError` where no micrograph can be read.
    """
    shown = replace(settings, weights=None, sam=None, maps=None, device="cpu")
    images = [PreparedImage.of(folder, each.name, each.identity, shown) for each in micrographs]
    pages = shared_files(micrographs, images, lambda each, image: _write(each, image, settings), fabric=fabric)
    return [(each.name, path) for each, path in pages]


def read_page(path: Path) -> Page:
    """A page from its file."""
    held = PreparedImage(path).read()
    return Page(held["picture"], held["mask"], held["xy"], float(held["diameter_px"][0]))


class Pages:
    """Batches of whole pages: `pictures` and `masks`, uint8 (b, 1, h, w), smaller ones filled up with 0.

    Every epoch goes through all pages once, in an order of its own that depends on the seed alone.
    """

    def __init__(self, paths: Sequence[Path], *, seed: int) -> None:
        self.paths, self.seed = paths, seed

    def batches(self, first: int, last: int, *, count: int, rank: int, world: int) -> Iterator[Batch]:
        for step in range(first, last):
            yield as_batch([read_page(self._turn(turn)) for turn in range(step * count + rank, (step + 1) * count, world)])

    def _turn(self, turn: int) -> Path:
        epoch, place = divmod(turn, len(self.paths))
        return self.paths[int(generator(self.seed, "epoch", epoch).permutation(len(self.paths))[place])]


def as_batch(pages: Sequence[Page]) -> Batch:
    """Pages beside each other, see `Pages`."""
    height, width = np.max([page.picture.shape for page in pages], axis=0)

    def stacked(values: list[Grey]) -> torch.Tensor:
        filled = [np.pad(each, ((0, height - each.shape[0]), (0, width - each.shape[1]))) for each in values]
        return torch.from_numpy(np.stack(filled)[:, None])

    return {"pictures": stacked([page.picture for page in pages]), "masks": stacked([page.mask for page in pages])}


def _write(labelled: Labelled, image: PreparedImage, settings: CryoSegNetSettings) -> Skipped | None:
    try:
        micrograph, truth = labelled.load()
        if truth.diameter_px is None:
            raise CryopickError("nobody says how large its particles are; give their diameter")
        prepared = denoised(micrograph, settings, diameter_px=truth.diameter_px)
        # The answer's place, not the picture's: as published, the network learns to undo the shift of the denoising.
        home = prepared.map_to_home
        mask = disc_mask(truth, shape_hw=prepared.image.shape, to_home=home)
    except (CryopickError, OSError) as error:
        return Skipped(labelled.name, str(error))
    held = {"picture": prepared.image, "mask": mask.astype(np.uint8)}
    about = {"xy": home.from_home(truth.xy), "diameter_px": np.array([truth.diameter_px / home.length])}
    image.write({**held, **about})
    return None
