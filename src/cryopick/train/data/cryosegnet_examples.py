"""Examples for CryoSegNet in files: micrographs denoised and resized as published, with masks."""

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
from cryopick.simulate.micrograph import micrograph_name, simulate_micrograph
from cryopick.simulate.settings import SimulationSettings
from cryopick.train.data.cache import PreparedImage, source_identity
from cryopick.train.data.epochs import shuffled_index
from cryopick.train.data.labelled import MISSING_DIAMETER, Skipped
from cryopick.train.data.splits import prepare_files
from cryopick.train.data.targets import disc_mask
from cryopick.train.loop import Batch
from cryopick.types import Micrograph, Picks

Grey = NDArray[np.uint8]


class LazyExample(NamedTuple):
    """A labelled micrograph that is read or simulated when `load` is called.

    Attributes
    ----------
    name : of the micrograph.
    identity : different if the result of `load` is different.
    load : returns the micrograph and its particles.
    """

    name: str
    identity: object
    load: Callable[[], tuple[Micrograph, Picks]]


@dataclass(frozen=True, eq=False)
class MaskExample:
    """An example for a segmenting network.

    Attributes
    ----------
    image : uint8 (h, w).
    mask : uint8 (h, w), 1 on particles and 0 elsewhere.
    xy : centres of the particles (n, 2), in pixels of the image.
    diameter_px : of the particles, in pixels of the image.
    """

    image: Grey
    mask: Grey
    xy: NDArray[np.float64]
    diameter_px: float


def examples_from_disk(micrographs: Sequence[LabelledMicrograph]) -> list[LazyExample]:
    """Make examples from labelled micrographs; their identity changes with the file and with the labels."""

    def one(labelled: LabelledMicrograph) -> LazyExample:
        source, truth = labelled.source, labelled.truth
        identity = (*source_identity(labelled), truth.xy.tobytes())
        return LazyExample(source.name, identity, lambda: (source.read(), truth))

    return [one(labelled) for labelled in micrographs]


def simulated_examples(count: int, settings: SimulationSettings, *, seed: int, size: int, pixel_size: float) -> list[LazyExample]:
    """Make examples from `count` simulated micrographs of `size` × `size` pixels of `pixel_size` Å."""

    def one(index: int) -> LazyExample:
        def load() -> tuple[Micrograph, Picks]:
            made = simulate_micrograph(seed=seed, index=index, size=size, pixel_size=pixel_size, settings=settings)
            return made.micrograph, made.truth

        return LazyExample(micrograph_name(seed, index), (seed, index, size, pixel_size, settings), load)

    return [one(index) for index in range(count)]


def prepare_examples(
    micrographs: Sequence[LazyExample], settings: CryoSegNetSettings, *, folder: Path, fabric: Any
) -> list[tuple[str, Path]]:
    """Write an example file for each micrograph; return names and files in their order.

    Micrographs that cannot be read are skipped and named in the log. Existing files of the same micrograph and settings are
    reused, and the processes share the remaining work. Raises `CryopickError` if no micrograph can be read.
    """
    relevant = replace(settings, weights=None, sam=None, maps=None, device="cpu")
    images = [PreparedImage.of(folder, each.name, each.identity, relevant) for each in micrographs]
    prepared = prepare_files(micrographs, images, lambda each, image: _write(each, image, settings), fabric=fabric)
    return [(each.name, path) for each, path in prepared]


def read_example(path: Path) -> MaskExample:
    """Read an example from its file."""
    arrays = PreparedImage(path).read()
    return MaskExample(arrays["image"], arrays["mask"], arrays["xy"], float(arrays["diameter_px"][0]))


class MaskBatches:
    """Batches of whole micrographs from example files, in an order that depends only on the seed; see `collate`.

    Every epoch uses each example once.
    """

    def __init__(self, paths: Sequence[Path], *, seed: int) -> None:
        self.paths, self.seed = paths, seed

    def batches(self, first: int, last: int, *, count: int, rank: int, world: int) -> Iterator[Batch]:
        """See `BatchSource.batches`."""
        for step in range(first, last):
            positions = range(step * count + rank, (step + 1) * count, world)
            indices = [shuffled_index(position, len(self.paths), seed=self.seed) for position in positions]
            yield collate([read_example(self.paths[index]) for index in indices])


def collate(examples: Sequence[MaskExample]) -> Batch:
    """Combine examples into a batch of `images` and `masks`, uint8 (b, 1, h, w), padded with 0 to the largest shape."""
    height, width = np.max([example.image.shape for example in examples], axis=0)

    def stacked(values: list[Grey]) -> torch.Tensor:
        filled = [np.pad(each, ((0, height - each.shape[0]), (0, width - each.shape[1]))) for each in values]
        return torch.from_numpy(np.stack(filled)[:, None])

    return {"images": stacked([each.image for each in examples]), "masks": stacked([each.mask for each in examples])}


def _write(labelled: LazyExample, image: PreparedImage, settings: CryoSegNetSettings) -> Skipped | None:
    try:
        micrograph, truth = labelled.load()
        if truth.diameter_px is None:
            raise CryopickError(MISSING_DIAMETER)
        prepared = denoised(micrograph, settings, diameter_px=truth.diameter_px)
        # Masks are at the positions of picks: as published, the network is trained to undo the shift of the denoising.
        home = prepared.map_to_home
        mask = disc_mask(truth, shape_hw=prepared.image.shape, to_home=home)
    except (CryopickError, OSError) as error:
        return Skipped(labelled.name, str(error))
    pixels = {"image": prepared.image, "mask": mask.astype(np.uint8)}
    particles = {"xy": home.from_home(truth.xy), "diameter_px": np.array([truth.diameter_px / home.length])}
    image.write({**pixels, **particles})
    return None
