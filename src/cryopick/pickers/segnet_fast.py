"""The fast route: a small attention-gated U-Net at a fixed particle size, and the peaks of its map of centres."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cryopick.errors import SettingError
from cryopick.models.contrast import local_standardise
from cryopick.models.weights import find, load, read_card
from cryopick.pickers.average import estimate_diameter
from cryopick.pickers.base import Detections, to_picks
from cryopick.pickers.peaks import NOTHING, find_peaks
from cryopick.preprocess.padding import strip_padding
from cryopick.preprocess.resample import crop_to_scale
from cryopick.preprocess.tiles import tiles
from cryopick.types import Micrograph, Picks

Map = NDArray[np.float32]

TILE, OVERLAP = 1024, 128


@dataclass(frozen=True)
class FastSettings:
    """Settings of the fast route.

    Attributes
    ----------
    weights : name or file of weights whose card tells the particle size they were trained at.
    threshold : smallest score of a pick; of the picks with score s about a share s is right on simulated micrographs.
    spacing : closest that two picks may be, in diameters.
    border : closest that a pick may be to the edge of what was imaged, in diameters.
    particles : whether protein is darker or lighter than ice.
    device : where the network runs.
    """

    weights: str = "segnet"
    threshold: float = 0.5
    spacing: float = 0.5
    border: float = 0.25
    particles: Literal["dark", "light"] = "dark"
    device: Literal["cpu", "cuda"] = "cpu"


class FastPicker:
    """Picks with a network that has seen simulated particles of every kind; see `FastSettings`.

    The micrograph is Fourier-cropped until a particle spans as many pixels as in training and evened out around each pixel; large
    pictures are looked at in tiles.
    """

    Settings: ClassVar[type[FastSettings]] = FastSettings

    def __init__(self, settings: FastSettings) -> None:
        self.settings = settings
        path = find(settings.weights)
        card = read_card(path)
        if card is None or "particle_px" not in card.input:
            raise SettingError(f"{path} has no card that tells the particle size it was trained at; train it with this program")
        self.particle_px = float(card.input["particle_px"])
        self.slope, self.offset = card.input.get("calibration", (1.0, 0.0))
        self.network: nn.Module = load(path, device=settings.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def pick(self, micrograph: Micrograph, *, diameter: float | None = None) -> Picks:
        """Picks of one micrograph; see `cryopick.pickers.base.Picker`."""
        imaged, crop = strip_padding(micrograph.pixels)
        dark = imaged if self.settings.particles == "dark" else -imaged
        unit = micrograph.pixel_size or 1.0
        diameter_px = _estimate(dark) if diameter is None else diameter / unit
        if diameter_px is None or diameter_px > min(imaged.shape):
            return to_picks(NOTHING, crop, micrograph, diameter=diameter)
        small, shrink = crop_to_scale(dark, diameter_px / self.particle_px)
        across = diameter_px / shrink.length
        found = find_peaks(self._scores(small, across), spacing=self.settings.spacing * across, threshold=self.settings.threshold)
        margin = self.settings.border * across
        height, width = small.shape
        keep = ((found.xy >= margin) & (found.xy <= (width - 1 - margin, height - 1 - margin))).all(axis=1)
        kept = Detections(found.xy[keep], found.scores[keep])
        return to_picks(kept, crop.then(shrink), micrograph, diameter=diameter_px * unit)

    @torch.inference_mode()
    def _scores(self, pixels: Map, across: float) -> Map:
        """The calibrated map of centres (h, w) of a picture whose particles are `across` pixels wide."""
        values = torch.from_numpy(np.ascontiguousarray(pixels)).to(self.settings.device)[None, None]
        seen = local_standardise((values - values.mean()) / values.std().clamp(min=1e-12), diameter_px=across)
        scores = np.empty(pixels.shape, np.float32)
        for tile in tiles(pixels.shape, size=TILE, overlap=OVERLAP):
            part = seen[..., tile.rows, tile.columns].contiguous(memory_format=torch.channels_last)
            logits = self.network(part)[0, 0].float()
            scores[tile.own_rows, tile.own_columns] = (self.slope * logits + self.offset).sigmoid().cpu().numpy()[tile.own]
        return scores


def _estimate(dark: Map) -> float | None:
    side = min(dark.shape)
    smallest, largest = max(16.0, side / 100), side / 6
    if largest < smallest or dark.min() == dark.max():
        return None
    return estimate_diameter(dark, smallest=smallest, largest=largest, slenderness=0.55, spacing=0.6)
