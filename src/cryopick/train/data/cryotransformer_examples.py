"""Examples for CryoTransformer in files: micrographs prepared as for picking."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from cryopick.coordinates import PixelMap
from cryopick.errors import CryopickError
from cryopick.io.datasets.cryoppp import LabelledMicrograph
from cryopick.models.detr_input import fitted_hw, resized
from cryopick.pickers.cryotransformer import InputSize
from cryopick.preprocess.published import PublishedChain, published_input
from cryopick.train.data.cache import PreparedImage, source_identity
from cryopick.train.data.labelled import Skipped
from cryopick.train.data.splits import prepare_files
from cryopick.types import Micrograph, Picks

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class BoxExample:
    """An example for a network that finds boxes.

    Attributes
    ----------
    grey : uint8 (h, w), as the picker prepares it.
    to_home : maps positions in its output to pixels of the micrograph.
    truth : particles of the micrograph.
    """

    grey: Tensor
    to_home: PixelMap
    truth: Picks

    @property
    def shape_hw(self) -> tuple[int, int]:
        """Height and width of the image."""
        return self.grey.shape[0], self.grey.shape[1]


class BoxExamples(Protocol):
    """Examples by index: a list, or files."""

    def __len__(self) -> int: ...
    def __getitem__(self, number: int, /) -> BoxExample: ...


class BoxExampleFiles:
    """Examples in files; each is read when it is used, so memory does not grow with their number."""

    def __init__(self, files: Sequence[tuple[Picks, Path]]) -> None:
        self._files = files

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, number: int, /) -> BoxExample:
        truth, path = self._files[number]
        image = PreparedImage(path)
        return BoxExample(torch.from_numpy(image.read()["grey"]), image.to_home(), truth)


def prepare_example(
    micrograph: Micrograph, truth: Picks, *, chain: PublishedChain, denoised: bool, size: InputSize
) -> BoxExample:
    """Prepare a micrograph as for picking: run it through the denoising chain, unless it is `denoised`, and resize it."""
    denoised_image = published_input(micrograph, chain, denoised=denoised, diameter_px=truth.diameter_px)
    height, width = denoised_image.grey.shape
    fitted = fitted_hw((height, width), short_side=size.short_side, long_side=size.long_side)
    small = resized(torch.from_numpy(np.ascontiguousarray(denoised_image.grey)), fitted)
    fit = PixelMap.resize((width / fitted[1], height / fitted[0]))
    return BoxExample(small, denoised_image.output_to_home.then(fit), truth)


def prepare_examples(
    micrographs: Sequence[LabelledMicrograph],
    *,
    chain: PublishedChain,
    denoised: bool,
    size: InputSize,
    folder: Path,
    fabric: Any,
) -> BoxExampleFiles:
    """Write an example file for each micrograph to `folder`; return the examples in their order.

    A file takes less than a megabyte at the published size. Micrographs that cannot be read are skipped and named in the log.
    Existing files of the same micrograph and settings are reused, and the processes share the remaining work. Raises
    `CryopickError` if no micrograph can be read.
    """

    def write(one: LabelledMicrograph, image: PreparedImage) -> Skipped | None:
        try:
            made = prepare_example(one.source.read(), one.truth, chain=chain, denoised=denoised, size=size)
        except CryopickError as error:
            return Skipped(one.source.name, str(error))
        image.write({"grey": made.grey.numpy()}, to_home=made.to_home)
        return None

    logger.info("preparing %d micrographs", len(micrographs))
    images = [PreparedImage.of(folder, one.source.name, source_identity(one), chain, denoised, size) for one in micrographs]
    return BoxExampleFiles([(one.truth, path) for one, path in prepare_files(micrographs, images, write, fabric=fabric)])
