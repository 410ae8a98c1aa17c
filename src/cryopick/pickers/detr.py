"""A compact detection transformer, applied tile by tile at a fixed particle size.

It is a small anchor-based relative of DETR (Carion et al. 2020), inspired by CryoTransformer (Dhakal et al. 2024). With tiles,
the number of queries does not limit the number of particles.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import Tensor, nn

from cryopick.coordinates import PixelMap, inside
from cryopick.detection.detections import Detections, to_picks
from cryopick.detection.peaks import NOTHING, suppress
from cryopick.detection.refinement import refine
from cryopick.errors import FileError, SettingError
from cryopick.models.anchor_detr import ANCHOR
from cryopick.models.inference import batches
from cryopick.models.weights import Card, check_scale, find, load, read_card, resolve_input
from cryopick.pickers.base import BatchPicker, StageFunctions
from cryopick.pickers.diameter import DiameterEstimate, combine, default_estimator
from cryopick.preprocess.particle_scaled import NetworkInput, scale_to_particle
from cryopick.preprocess.tiles import Tile, tiles
from cryopick.types import Micrograph, Picks

ARCHITECTURE = "anchor-detr"
MIN_LOGIT = -5.0
"""Logit below which boxes are ignored."""
AT_ONCE = {"cpu": 8, "cuda": 64}
"""Number of tiles in a batch."""


@dataclass(frozen=True)
class DetrSettings:
    """Settings of the picker `detr`.

    Attributes
    ----------
    weights : file or name of the network's weights.
    threshold : lowest score of a pick, from 0 to 1.
    spacing : smallest distance of two picks, in diameters.
    similarity : reduction of the calibrated logit of a candidate without any similarity to the average of the most confident
        picks of its micrograph; 0 keeps the network's own scores. See `detection.refinement`.
    particles : whether protein is darker or lighter than ice.
    device : device on which the network runs.
    """

    weights: str = "detr"
    threshold: float = 0.3
    spacing: float = 0.5
    similarity: float = 4.0
    particles: Literal["dark", "light"] = "dark"
    device: Literal["cpu", "cuda"] = "cpu"

    def __post_init__(self) -> None:
        if self.spacing < 0:
            raise SettingError(f"spacing must not be negative, got {self.spacing:g}")


LARGEST_TILE = 4096


@dataclass(frozen=True)
class DetrScale:
    """The scale of a network's input and output, from its card.

    Attributes
    ----------
    particle_px : particle diameter in the network's input, in pixels.
    tile : side of the network's input in pixels.
    margin : pixels on each side of a tile that belong to its neighbours.
    calibration : slope and offset that calibrate the logits.
    """

    particle_px: float = 12.0
    tile: int = 96
    margin: int = 8
    calibration: tuple[float, float] = (1.0, 0.0)

    def __post_init__(self) -> None:
        check_scale(self.particle_px, self.calibration)
        if not (0 <= 2 * self.margin < self.tile <= LARGEST_TILE):
            raise SettingError(f"tile must be over two margins and at most {LARGEST_TILE}, got {self.tile} and {self.margin}")


@dataclass(frozen=True, eq=False)
class DetrInput:
    """A micrograph and the network's input (None if there is nothing to search).

    `diameter` is the given one, `nominal` that or an estimate, both in Å (pixels without a pixel size).
    """

    micrograph: Micrograph
    prepared: NetworkInput | None = None
    diameter: float | None = None
    nominal: float = 0.0


@dataclass(frozen=True, eq=False)
class BoxCandidates:
    """Boxes in an image, best first: centres float64 (n, 2), sides and logits float32 (n,)."""

    xy: NDArray[np.float64]
    sides: NDArray[np.float32]
    logits: NDArray[np.float32]


class DetrPicker(BatchPicker[DetrInput, NDArray[np.float64]]):
    """Picks with a compact detection transformer; see `DetrSettings`.

    Without a diameter, that of the picks is the median side of the boxes.

    A `network` (an `AnchorDetr` in evaluation mode on the settings' device) and its `scale` may be given in place of weights.
    Raises `FileError` for weights that cannot be used.
    """

    Settings: ClassVar[type[DetrSettings]] = DetrSettings
    SUMMARY: ClassVar[str] = "compact detection transformer, trained on simulated micrographs"
    STAGES: ClassVar[StageFunctions] = {"prepare": (scale_to_particle,), "network": (nn.Module.__call__,)}

    def __init__(self, settings: DetrSettings, /, *, network: nn.Module | None = None, scale: DetrScale | None = None) -> None:
        self.settings = settings
        if network is None:
            path = find(settings.weights)
            scale = scale or _read_scale(path)
            network = load(path, architecture=ARCHITECTURE, device=settings.device)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.scale = scale or DetrScale()

    def prepare(self, micrograph: Micrograph, *, diameter: float | None = None) -> DetrInput:
        """See `BatchPicker`. Without a diameter, one is estimated by the default picker's network."""
        settings = self.settings
        found = None if diameter is not None else default_estimator(settings.particles).measure_diameter(micrograph)
        nominal = diameter if found is None else found.diameter
        if nominal is None:
            return DetrInput(micrograph)
        prepared = scale_to_particle(
            micrograph,
            particle_px=self.scale.particle_px,
            diameter_px=micrograph.to_px(nominal),
            particles=settings.particles,
            device=settings.device,
        )
        return DetrInput(micrograph, prepared, diameter, nominal)

    def predict(self, prepared: Sequence[DetrInput], /) -> list[NDArray[np.float64]]:
        """Return the network's boxes in each input, see `predict_boxes`."""
        images = [one.prepared.values for one in prepared if one.prepared is not None]
        boxes = iter(predict_boxes(self.network, images, self.scale, device=self.settings.device))
        return [np.zeros((0, 4)) if one.prepared is None else next(boxes) for one in prepared]

    def finish(self, given: DetrInput, boxes: NDArray[np.float64], /) -> Picks:
        """See `BatchPicker`."""
        settings, micrograph, prepared, diameter = self.settings, given.micrograph, given.prepared, given.diameter
        if prepared is None:
            return to_picks(NOTHING, PixelMap(), micrograph, diameter=diameter)
        shown = micrograph.to_px(given.nominal) / prepared.to_home.length
        found = spaced(boxes, prepared.values.shape, spacing=settings.spacing * shown)
        refined = self._refined(found, prepared.values, diameter=shown)
        kept = suppress(refined.xy, refined.scores, settings.spacing * shown)
        kept = kept[refined.scores[kept] >= settings.threshold]
        if diameter is None:
            sides = found.sides[kept] if len(kept) else np.array([self.scale.particle_px])
            diameter = micrograph.from_px(float(np.median(sides)) * prepared.to_home.length)
        detections = Detections(refined.xy[kept], refined.scores[kept])
        return to_picks(detections, prepared.to_home, micrograph, diameter=diameter)

    def estimate_diameter(self, micrographs: Iterable[Micrograph]) -> DiameterEstimate | None:
        """See `EstimatesDiameter`."""
        return combine(micrographs, default_estimator(self.settings.particles).measure_diameter)

    def _refined(self, found: BoxCandidates, values: NDArray[np.float32], *, diameter: float) -> Detections:
        """Return centres of boxes and their probabilities, after comparison with the most confident ones of the micrograph."""
        slope, offset = self.scale.calibration
        logits = slope * found.logits + offset
        detections = Detections(found.xy, np.asarray(expit(logits), np.float32))
        if not self.settings.similarity:
            return detections
        refined = refine(values, detections, diameter=diameter)
        logits = logits + self.settings.similarity * (refined.similarity - 1)
        return Detections(refined.xy, np.asarray(expit(logits), np.float32))


def find_particles(
    network: nn.Module,
    values: NDArray[np.float32],
    scale: DetrScale,
    *,
    spacing: float,
    device: torch.device | str = "cpu",
) -> BoxCandidates:
    """Find the boxes of an `AnchorDetr` in an image (h, w) of any size, none closer than `spacing` pixels to a better one."""
    (boxes,) = predict_boxes(network, [values], scale, device=device)
    return spaced(boxes, values.shape, spacing=spacing)


@torch.inference_mode()
def predict_boxes(
    network: nn.Module,
    images: Sequence[NDArray[np.float32]],
    scale: DetrScale,
    *,
    device: torch.device | str = "cpu",
) -> list[NDArray[np.float64]]:
    """Predict the boxes of an `AnchorDetr` in images (h, w) of any size: float64 (n, 4) as x, y, side and logit.

    Every tile keeps the boxes whose centres lie in its own part.
    """
    padded = [torch.from_numpy(_padded(values, scale.tile)).to(device) for values in images]
    parts = [
        (index, tile)
        for index, image in enumerate(padded)
        for tile in tiles((image.shape[0], image.shape[1]), size=scale.tile, overlap=2 * scale.margin)
    ]
    views = [padded[index][tile.rows, tile.columns] for index, tile in parts]
    boxes = [[np.zeros((0, 4))] for _ in images]
    for places, batch in batches(views, AT_ONCE[torch.device(device).type]):
        output = network(torch.stack(batch)[:, None])
        answers = torch.cat((output.boxes[-1], output.logits[-1][..., None]), dim=-1)
        for (index, tile), answer in zip((parts[place] for place in places), answers, strict=True):
            boxes[index].append(_own(tile, answer))
    return [np.concatenate(own) for own in boxes]


def spaced(boxes: NDArray[np.float64], shape_hw: tuple[int, ...], *, spacing: float) -> BoxCandidates:
    """Select the boxes (n, 4) that lie in an image of `shape_hw` and no closer than `spacing` pixels to a better one."""
    xy, sides, logits = np.split(boxes, (2, 3), axis=1)
    on = np.flatnonzero(inside(xy, (shape_hw[0], shape_hw[1]), border=-0.5))
    kept = on[suppress(xy[on], logits[on, 0].astype(np.float32), spacing)]
    return BoxCandidates(xy[kept], sides[kept, 0].astype(np.float32), logits[kept, 0].astype(np.float32))


def _padded(values: NDArray[np.float32], tile: int) -> NDArray[np.float32]:
    """Pad an image with zeros at its ends if it is shorter than a tile and no multiple of the distance of anchors."""
    short = [-side % ANCHOR if side < tile else 0 for side in values.shape]
    return np.pad(values, ((0, short[0]), (0, short[1])))


def _own(tile: Tile, answer: Tensor) -> NDArray[np.float64]:
    """Select the boxes (n, 4), as x, y, side and logit, in a tile's own part, and convert them to pixels of the image."""
    boxes: NDArray[np.float64] = answer[answer[:, 3] > MIN_LOGIT].double().cpu().numpy()
    boxes[:, :2] = PixelMap.crop(tile.columns.start, tile.rows.start).to_home(boxes[:, :2])
    from_edges = PixelMap.from_edges().from_home(boxes[:, :2])
    first = (tile.own_columns.start, tile.own_rows.start)
    end = (tile.own_columns.stop, tile.own_rows.stop)
    return boxes[((from_edges >= first) & (from_edges < end)).all(axis=1)]


def _read_scale(path: Path) -> DetrScale:
    card = read_card(path) or Card("detr")
    if card.architecture != ARCHITECTURE:
        raise FileError(
            path,
            f"holds weights of {card.architecture}, not of {ARCHITECTURE}",
            "Use --picker cryotransformer for the weights of the published transformer",
        )
    return resolve_input(path, DetrScale, card.input)
