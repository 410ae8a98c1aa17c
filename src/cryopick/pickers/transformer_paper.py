"""CryoTransformer as published (Dhakal et al. 2024): the denoised micrograph in one look, 600 queries, boxes."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import nn

from cryopick.coordinates import PixelMap
from cryopick.errors import SettingError
from cryopick.models.detr_input import as_batch, fitted_hw, resized
from cryopick.pickers.base import Detections, to_picks
from cryopick.pickers.detr_boxes import Boxes, select_boxes
from cryopick.pickers.published_chain import Grey, PublishedChain, chain_picture
from cryopick.types import Micrograph, Picks


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
        diameter_px = None if diameter is None else diameter / (micrograph.pixel_size or 1.0)
        shown = chain_picture(micrograph, self.settings.chain, denoised=self.denoised, diameter_px=diameter_px)
        boxes = self.boxes(shown.grey)
        to_home = shown.answer_to_home.then(PixelMap.from_edges())
        if diameter is None and boxes.diameter_px is not None:
            diameter = boxes.diameter_px * to_home.length * (micrograph.pixel_size or 1.0)
        detections = Detections(boxes.centres, boxes.scores.astype(np.float32))
        return to_picks(detections, to_home, micrograph, diameter=diameter)

    @torch.inference_mode()
    def boxes(self, grey: Grey) -> Boxes:
        """The particles' boxes in grey values (h, w), in their pixels counted from the outer edges."""
        shape_hw = (grey.shape[0], grey.shape[1])
        fitted = fitted_hw(shape_hw, short_side=self.size.short_side, long_side=self.size.long_side)
        picture = resized(torch.from_numpy(np.ascontiguousarray(grey)).to(self.device), fitted)
        said = self.network(*as_batch([picture]))
        return select_boxes(
            said.logits[0].double().cpu().numpy(),
            said.boxes[0].double().cpu().numpy(),
            shape_hw,
            scoring=self.settings.scoring,
            quantile=self.settings.quantile,
            threshold=self.threshold,
            max_overlap=self.settings.max_overlap,
        )
