"""The pictures that the published transformer learns from, prepared once as the picker prepares them and kept in files."""

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
from cryopick.train.data.splits import shared_files
from cryopick.types import Micrograph, Picks

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Example:
    """A picture uint8 (h, w) as the picker shows it to the network, where answers to it lie, and its micrograph's particles."""

    grey: Tensor
    to_home: PixelMap
    truth: Picks

    @property
    def shape_hw(self) -> tuple[int, int]:
        return self.grey.shape[0], self.grey.shape[1]


class Examples(Protocol):
    """Examples by their number: a list of them, or files."""

    def __len__(self) -> int: ...
    def __getitem__(self, number: int, /) -> Example: ...


class ExampleFiles:
    """Examples of which each is read when it is asked for, so that memory does not grow with their number."""

    def __init__(self, kept: Sequence[tuple[Picks, Path]]) -> None:
        self._kept = kept

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, number: int, /) -> Example:
        truth, path = self._kept[number]
        image = PreparedImage(path)
        return Example(torch.from_numpy(image.read()["grey"]), image.to_home(), truth)


def example(micrograph: Micrograph, truth: Picks, *, chain: PublishedChain, denoised: bool, size: InputSize) -> Example:
    """A micrograph denoised, or taken as it is, and resized as for picking."""
    shown = published_input(micrograph, chain, denoised=denoised, diameter_px=truth.diameter_px)
    height, width = shown.grey.shape
    fitted = fitted_hw((height, width), short_side=size.short_side, long_side=size.long_side)
    small = resized(torch.from_numpy(np.ascontiguousarray(shown.grey)), fitted)
    fit = PixelMap.resize((width / fitted[1], height / fitted[0]))
    return Example(small, shown.output_to_home.then(fit), truth)


def example_files(
    micrographs: Sequence[LabelledMicrograph],
    *,
    chain: PublishedChain,
    denoised: bool,
    size: InputSize,
    folder: Path,
    fabric: Any,
) -> ExampleFiles:
    """The examples of all micrographs that can be read, in their order; the others are named in the log.

    Pictures are files in `folder` of less than a megabyte each at the published size; those that are there already, of the same
    micrograph and settings, are taken. The processes share the work.

    Raises `CryopickError` where no micrograph can be read.
    """

    def write(one: LabelledMicrograph, image: PreparedImage) -> Skipped | None:
        try:
            made = example(one.source.read(), one.truth, chain=chain, denoised=denoised, size=size)
        except CryopickError as error:
            return Skipped(one.source.name, str(error))
        image.write({"grey": made.grey.numpy()}, to_home=made.to_home)
        return None

    logger.info("preparing %d micrographs", len(micrographs))
    images = [PreparedImage.of(folder, one.source.name, source_identity(one), chain, denoised, size) for one in micrographs]
    return ExampleFiles([(one.truth, path) for one, path in shared_files(micrographs, images, write, fabric=fabric)])
