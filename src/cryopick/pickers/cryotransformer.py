"""CryoTransformer as published (Dhakal et al., Bioinformatics 40, btae109, 2024): the whole denoised micrograph, 600 queries.

Unlike in the released program, each box keeps its own score, and padding and hot pixels do not flatten the contrast;
`scoring: published` repeats that program's ranking of boxes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from cryopick.config import resolve
from cryopick.coordinates import PixelMap
from cryopick.detection.box_rules import Values, select_boxes
from cryopick.detection.detections import Detections, to_picks
from cryopick.detection.peaks import NOTHING
from cryopick.errors import FileError, SettingError
from cryopick.models.architectures import ARCHITECTURES
from cryopick.models.detr_input import as_batch, fitted_hw, resized
from cryopick.models.inference import batches
from cryopick.models.weights import Card, find, load, read_card
from cryopick.pickers.base import BatchPicker, StageFunctions
from cryopick.pickers.diameter import DiameterEstimate
from cryopick.preprocess.published import PublishedChain, PublishedInput, published_input
from cryopick.types import Micrograph, Picks

ARCHITECTURE = "detr"
AT_ONCE = {"cpu": 1, "cuda": 4}
"""Number of images in a batch."""


@dataclass(frozen=True)
class InputSize:
    """Size in pixels of a network's input, from the card of its weights; the defaults are the published ones.

    Attributes
    ----------
    short_side : of the image, for micrographs of any size.
    long_side : limit of the longer side; the image is made smaller if necessary.
    """

    short_side: int = 800
    long_side: int = 1333

    def __post_init__(self) -> None:
        if not 1 <= self.short_side <= self.long_side:
            raise SettingError(f"short_side must be from 1 to long_side ({self.long_side}), got {self.short_side}")


@dataclass(frozen=True)
class CryoTransformerSettings:
    """Settings of the picker `cryotransformer`; see also `select_boxes` and `PublishedChain`.

    Attributes
    ----------
    weights : file of the network's weights.
    threshold : lowest score of a pick, from 0 to 1; None keeps all above the `quantile` of the micrograph's scores, as published.
    scoring : "own" takes each box's own probability of being a particle; "published" repeats the released program.
    quantile : share of the boxes that are dropped if no threshold is given.
    max_overlap : IoU above which the lower-scoring of two boxes is dropped.
    denoised : whether micrographs have already been denoised.
    device : device on which the network runs.
    chain : settings of the denoising chain.
    """

    weights: str | None = None
    threshold: float | None = None
    scoring: Literal["own", "published"] = "own"
    quantile: float = 0.25
    max_overlap: float = 0.7
    denoised: bool = False
    device: Literal["cpu", "cuda"] = "cpu"
    chain: PublishedChain = field(default_factory=PublishedChain)

    def __post_init__(self) -> None:
        for name in ("quantile", "max_overlap"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingError(f"{name} must be in [0, 1], got {getattr(self, name):g}")


@dataclass(frozen=True, eq=False)
class CryoTransformerInput:
    """A micrograph, its denoised image, and the particle diameter, if given."""

    micrograph: Micrograph
    shown: PublishedInput
    diameter: float | None


@dataclass(frozen=True, eq=False)
class QueryOutput:
    """Logits (n, 2) and boxes (n, 4) of a `Detr` for one image, see `select_boxes`."""

    logits: Values
    boxes: Values


class CryoTransformerPicker(BatchPicker[CryoTransformerInput, QueryOutput]):
    """Picks with CryoTransformer; see `CryoTransformerSettings`.

    If no diameter is given, the picks get the median side of the boxes.

    Rows are ordered as in the network's training, and those of picks as in the micrograph. A `network` (a `Detr` in evaluation
    mode on the settings' device) and its input `size` may be given in place of weights. Raises `SettingError` if weights are
    missing, and `FileError` if they cannot be used.
    """

    Settings: ClassVar[type[CryoTransformerSettings]] = CryoTransformerSettings
    SUMMARY: ClassVar[str] = "CryoTransformer as published: denoising, ResNet, DETR (needs weights)"
    STAGES: ClassVar[StageFunctions] = {"prepare": (published_input,), "network": (nn.Module.__call__,)}

    def __init__(
        self, settings: CryoTransformerSettings, /, *, network: nn.Module | None = None, size: InputSize | None = None
    ) -> None:
        self.settings = settings
        if network is None:
            path = _weights(settings)
            size = size or _read_size(path)
            network = load(path, architecture=ARCHITECTURE, device=settings.device)
        self.network, self.size = network, size or InputSize()

    def prepare(self, micrograph: Micrograph, *, diameter: float | None = None) -> CryoTransformerInput:
        """See `BatchPicker`."""
        diameter_px = None if diameter is None else micrograph.to_px(diameter)
        shown = published_input(micrograph, self.settings.chain, denoised=self.settings.denoised, diameter_px=diameter_px)
        return CryoTransformerInput(micrograph, shown, diameter)

    @torch.inference_mode()
    def predict(self, prepared: Sequence[CryoTransformerInput], /) -> list[QueryOutput]:
        """See `BatchPicker`."""
        images = [self._fitted(one.shown) for one in prepared]
        outputs: dict[int, QueryOutput] = {}
        for places, batch in batches(images, AT_ONCE[self.settings.device]):
            answer = self.network(*as_batch(batch))
            for place, logits, boxes in zip(places, answer.logits, answer.boxes, strict=True):
                outputs[place] = QueryOutput(logits.double().cpu().numpy(), boxes.double().cpu().numpy())
        return [outputs[place] for place in range(len(prepared))]

    def finish(self, given: CryoTransformerInput, output: QueryOutput, /) -> Picks:
        """See `BatchPicker`."""
        settings, micrograph, grey, diameter = self.settings, given.micrograph, given.shown.grey, given.diameter
        if grey.min() == grey.max():  # the quantile would keep boxes even of an image without contrast
            return to_picks(NOTHING, PixelMap(), micrograph, diameter=diameter)
        boxes = select_boxes(
            output.logits,
            output.boxes,
            (grey.shape[0], grey.shape[1]),
            scoring=settings.scoring,
            quantile=settings.quantile,
            threshold=settings.threshold,
            max_overlap=settings.max_overlap,
        )
        to_home = given.shown.output_to_home.then(PixelMap.from_edges())
        if diameter is None and boxes.diameter_px is not None:
            diameter = micrograph.from_px(boxes.diameter_px * to_home.length)
        detections = Detections(boxes.centres, boxes.scores.astype(np.float32))
        return to_picks(detections, to_home, micrograph, diameter=diameter)

    def estimate_diameter(self, micrographs: Iterable[Micrograph]) -> DiameterEstimate | None:
        """See `EstimatesDiameter`; the published method needs no diameter."""
        return None

    def _fitted(self, shown: PublishedInput) -> Tensor:
        """Resize the image for the network and move it to its device. Only CPUs can smooth integer grey values."""
        height, width = shown.grey.shape
        fitted = fitted_hw((height, width), short_side=self.size.short_side, long_side=self.size.long_side)
        return resized(torch.from_numpy(np.ascontiguousarray(shown.grey)), fitted).to(self.settings.device)


def _weights(settings: CryoTransformerSettings) -> Path:
    if settings.weights is None:
        published = ARCHITECTURES.get(ARCHITECTURE).published
        raise SettingError(f"the picker cryotransformer needs the network's weights. {published}. Give the file: --weights FILE")
    return find(settings.weights, architecture=ARCHITECTURE)


def _read_size(path: Path) -> InputSize:
    card = read_card(path) or Card(ARCHITECTURE)
    if card.architecture != ARCHITECTURE:
        remedy = "Use --picker detr for the weights of the compact transformer"
        raise FileError(path, f"holds weights of {card.architecture}, not of {ARCHITECTURE}", remedy)
    return resolve(InputSize, {name: card.input[name] for name in ("short_side", "long_side") if name in card.input})
