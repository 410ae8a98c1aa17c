"""CryoTransformer as published (Dhakal et al. 2024): the denoised micrograph in one look, 600 queries, boxes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from cryopick.coordinates import PixelMap
from cryopick.detection.box_rules import Values, select_boxes
from cryopick.detection.detections import Detections, to_picks
from cryopick.errors import SettingError
from cryopick.models.detr_input import as_batch, fitted_hw, resized
from cryopick.models.inference import batches
from cryopick.pickers.base import pick_in_parts
from cryopick.preprocess.published import ChainPicture, PublishedChain, chain_picture
from cryopick.types import Micrograph, Picks

AT_ONCE = {"cpu": 1, "cuda": 4}
"""Pictures that go through the network together."""


@dataclass(frozen=True)
class InputSize:
    """At how many pixels a network wants to see pictures, as its weights' card says; the defaults are the published ones.

    Attributes
    ----------
    short_side : of the picture, whatever the micrograph's.
    long_side : the most that the longer side may have; the picture is made smaller where it would have more.
    """

    short_side: int = 800
    long_side: int = 1333

    def __post_init__(self) -> None:
        if not 1 <= self.short_side <= self.long_side:
            raise SettingError(f"a picture cannot have a short side of {self.short_side} and a long one of {self.long_side}")


@dataclass(frozen=True)
class PaperSettings:
    """Which boxes are particles, and what the network sees; see `select_boxes` and `PublishedChain`.

    Attributes
    ----------
    scoring : "own" takes the probability of a particle and keeps each box by its own score; "published" repeats the released
        program, for comparison.
    quantile : share of the boxes that goes where no threshold is given.
    max_overlap : IoU from which the less sure of two boxes goes.
    """

    scoring: Literal["own", "published"] = "own"
    quantile: float = 0.25
    max_overlap: float = 0.7
    chain: PublishedChain = field(default_factory=PublishedChain)

    def __post_init__(self) -> None:
        for name in ("quantile", "max_overlap"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingError(f"{name} is {getattr(self, name)}; it must be from 0 to 1")


@dataclass(frozen=True, eq=False)
class Ready:
    """A micrograph as the published programs show it, and its particles' diameter, if known."""

    micrograph: Micrograph
    shown: ChainPicture
    diameter: float | None


@dataclass(frozen=True, eq=False)
class Said:
    """Logits (n, 2) and boxes (n, 4) of a `Detr` for one picture, see `detr_boxes`."""

    logits: Values
    boxes: Values


class PaperRoute:
    """Picks with a `Detr`; the micrograph's rows are turned as the network has seen them, and the picks turned back.

    Parameters
    ----------
    network : in evaluation mode, on `device`.
    threshold : smallest score of a box; None keeps all above `settings.quantile` of the picture's scores.
    denoised : micrographs have been through the denoising chain already.
    """

    def __init__(
        self,
        network: nn.Module,
        settings: PaperSettings,
        *,
        size: InputSize | None = None,
        threshold: float | None = None,
        denoised: bool = False,
        device: str = "cpu",
    ) -> None:
        self.network, self.settings, self.device = network, settings, device
        self.size = size or InputSize()
        self.threshold, self.denoised = threshold, denoised

    def pick(self, micrograph: Micrograph, *, diameter: float | None = None) -> Picks:
        """See `Picker.pick`. Without a diameter it is the median side of the boxes that are kept."""
        return pick_in_parts(self, micrograph, diameter=diameter)

    def prepare(self, micrograph: Micrograph, *, diameter: float | None = None) -> Ready:
        """See `BatchPicker`."""
        diameter_px = None if diameter is None else micrograph.to_px(diameter)
        shown = chain_picture(micrograph, self.settings.chain, denoised=self.denoised, diameter_px=diameter_px)
        return Ready(micrograph, shown, diameter)

    @torch.inference_mode()
    def look(self, ready: Sequence[Ready], /) -> list[Said]:
        """See `BatchPicker`."""
        pictures = [self._fitted(one.shown) for one in ready]
        said: dict[int, Said] = {}
        for places, batch in batches(pictures, AT_ONCE[self.device]):
            answer = self.network(*as_batch(batch))
            for place, logits, boxes in zip(places, answer.logits, answer.boxes, strict=True):
                said[place] = Said(logits.double().cpu().numpy(), boxes.double().cpu().numpy())
        return [said[place] for place in range(len(ready))]

    def finish(self, ready: Ready, said: Said, /) -> Picks:
        """See `BatchPicker`."""
        micrograph, grey, diameter = ready.micrograph, ready.shown.grey, ready.diameter
        boxes = select_boxes(
            said.logits,
            said.boxes,
            (grey.shape[0], grey.shape[1]),
            scoring=self.settings.scoring,
            quantile=self.settings.quantile,
            threshold=self.threshold,
            max_overlap=self.settings.max_overlap,
        )
        to_home = ready.shown.answer_to_home.then(PixelMap.from_edges())
        if diameter is None and boxes.diameter_px is not None:
            diameter = micrograph.from_px(boxes.diameter_px * to_home.length)
        detections = Detections(boxes.centres, boxes.scores.astype(np.float32))
        return to_picks(detections, to_home, micrograph, diameter=diameter)

    def _fitted(self, shown: ChainPicture) -> Tensor:
        """The picture at the network's size, on its device. Processors resize it: GPUs cannot smooth whole grey values."""
        height, width = shown.grey.shape
        fitted = fitted_hw((height, width), short_side=self.size.short_side, long_side=self.size.long_side)
        return resized(torch.from_numpy(np.ascontiguousarray(shown.grey)), fitted).to(self.device)
