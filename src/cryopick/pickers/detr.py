"""CryoTransformer's picker (Dhakal et al. 2024): a transformer's boxes around particles.

On the paper route (a published network, or one of its kind) in one look at the denoised micrograph; on the tiled route (weights
that `cryopick train` made) at a fixed particle size, tile by tile, so that no number of queries limits what is found.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import Tensor, nn

from cryopick.config import resolve
from cryopick.coordinates import PixelMap, inside
from cryopick.detection.detections import Detections, to_picks
from cryopick.detection.peaks import NOTHING, suppress
from cryopick.detection.refinement import likeness
from cryopick.errors import SettingError
from cryopick.models.anchor_detr import ANCHOR
from cryopick.models.architectures import ARCHITECTURES
from cryopick.models.inference import batches
from cryopick.models.weights import Card, find, load, read_card
from cryopick.pickers.base import BatchPicker, pick_in_parts
from cryopick.pickers.cryotransformer import InputSize, PaperRoute, PaperSettings
from cryopick.pickers.diameter import DiameterEstimate, combine
from cryopick.pickers.unet import default_sizer
from cryopick.preprocess.particle_scaled import Prepared, scaled
from cryopick.preprocess.tiles import Tile, tiles
from cryopick.types import Micrograph, Picks

TILED, PAPER = "anchor-detr", "detr"
THRESHOLD = 0.3
FAINTEST = -5.0
"""Logit below which no box is looked at."""
AT_ONCE = {"cpu": 8, "cuda": 64}
"""Tiles that go through the network together."""


@dataclass(frozen=True)
class TransformerSettings:
    """Settings of the picker; the weights decide the route.

    Attributes
    ----------
    weights : file, or name, of the network's weights; the package's own are called "transformer".
    denoised : micrographs have been through the denoising chain already; on the paper route.
    threshold : smallest score of a box. None is 0.3 on the tiled route; on the paper route it keeps all above a quantile.
    spacing : of two boxes whose centres are less than this many diameters apart the less sure one goes; on the tiled route.
    likeness : by how much the calibrated logit falls of a box that shows nothing of what the surest ones of its micrograph
        show, see `pickers.likeness`; 0 takes boxes as the network gives them; on the tiled route.
    particles : whether protein is darker or lighter than ice; on the tiled route.
    device : where the network runs.
    paper : settings of the paper route alone.
    """

    weights: str | None = "transformer"
    denoised: bool = False
    threshold: float | None = None
    spacing: float = 0.5
    likeness: float = 4.0
    particles: Literal["dark", "light"] = "dark"
    device: Literal["cpu", "cuda"] = "cpu"
    paper: PaperSettings = field(default_factory=PaperSettings)

    def __post_init__(self) -> None:
        if self.spacing < 0:
            raise SettingError(f"spacing is {self.spacing}; it must be at least 0")


@dataclass(frozen=True)
class Trained:
    """What the weights of the tiled route say in their card about their input and answer.

    Attributes
    ----------
    particle_px : the diameter in pixels that particles must have.
    tile : side of what the network looks at, in pixels. `margin` : how much of it is left to the neighbours, on each side.
    calibration : slope and offset of the logits after which they are those of probabilities.
    """

    particle_px: float = 12.0
    tile: int = 96
    margin: int = 8
    calibration: tuple[float, float] = (1.0, 0.0)


class TransformerPicker:
    """Picks with a transformer; see `TransformerSettings`.

    Raises `SettingError` for settings, and `FileError` for weights, that cannot be used.
    """

    Settings: ClassVar[type[TransformerSettings]] = TransformerSettings

    def __init__(self, settings: TransformerSettings, /) -> None:
        self.settings = settings
        if settings.weights is None:
            published = ARCHITECTURES.get(PAPER).published
            raise SettingError(f"the published transformer needs its weights. {published}. Name the file: --weights FILE")
        path = find(settings.weights, architecture=PAPER)
        card = read_card(path) or Card(PAPER)
        device = settings.device
        self.route: BatchPicker[Any, Any]
        if card.architecture == TILED:
            network = load(path, architecture=TILED, device=device)
            self.route = TiledRoute(network, settings, trained=resolve(Trained, card.input))
        else:
            size = resolve(InputSize, _known(card.input, "short_side", "long_side"))
            network = load(path, architecture=PAPER, device=device)
            threshold, denoised = settings.threshold, settings.denoised
            self.route = PaperRoute(network, settings.paper, size=size, threshold=threshold, denoised=denoised, device=device)

    def pick(self, micrograph: Micrograph, *, diameter: float | None = None) -> Picks:
        """See `Picker.pick`. Without a diameter it is the median of the boxes' sides."""
        return pick_in_parts(self.route, micrograph, diameter=diameter)

    def prepare(self, micrograph: Micrograph, *, diameter: float | None = None) -> Any:
        """See `BatchPicker`."""
        return self.route.prepare(micrograph, diameter=diameter)

    def look(self, ready: Sequence[Any], /) -> list[Any]:
        """See `BatchPicker`."""
        return self.route.look(ready)

    def finish(self, ready: Any, seen: Any, /) -> Picks:
        """See `BatchPicker`."""
        return self.route.finish(ready, seen)

    def estimate_diameter(self, micrographs: Iterable[Micrograph]) -> DiameterEstimate | None:
        """See `EstimatesDiameter`; the paper route needs none."""
        tiled = isinstance(self.route, TiledRoute)
        return combine(micrographs, default_sizer(self.settings.particles).size) if tiled else None


@dataclass(frozen=True, eq=False)
class Ready:
    """A micrograph, what the network is to see of it (None where that is nothing), and at which diameter of its particles.

    `diameter` is the one that was given, `nominal` that or an estimate.
    """

    micrograph: Micrograph
    prepared: Prepared | None = None
    diameter: float | None = None
    nominal: float = 0.0


class TiledRoute:
    """Picks with an `AnchorDetr` in evaluation mode, on the settings' device."""

    def __init__(self, network: nn.Module, settings: TransformerSettings, *, trained: Trained | None = None) -> None:
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.settings, self.trained = settings, trained or Trained()

    def pick(self, micrograph: Micrograph, *, diameter: float | None = None) -> Picks:
        return pick_in_parts(self, micrograph, diameter=diameter)

    def prepare(self, micrograph: Micrograph, *, diameter: float | None = None) -> Ready:
        settings = self.settings
        size = None if diameter is not None else default_sizer(settings.particles).size(micrograph)
        nominal = diameter if size is None else size.diameter
        if nominal is None:
            return Ready(micrograph)
        prepared = scaled(
            micrograph,
            particle_px=self.trained.particle_px,
            diameter_px=micrograph.to_px(nominal),
            particles=settings.particles,
            device=settings.device,
        )
        return Ready(micrograph, prepared, diameter, nominal)

    def look(self, ready: Sequence[Ready], /) -> list[NDArray[np.float64]]:
        """The network's boxes in each, see `look_at`."""
        shown = [one.prepared.values for one in ready if one.prepared is not None]
        boxes = iter(look_at(self.network, shown, self.trained, device=self.settings.device))
        return [np.zeros((0, 4)) if one.prepared is None else next(boxes) for one in ready]

    def finish(self, ready: Ready, boxes: NDArray[np.float64], /) -> Picks:
        settings, micrograph, prepared, diameter = self.settings, ready.micrograph, ready.prepared, ready.diameter
        if prepared is None:
            return to_picks(NOTHING, PixelMap(), micrograph, diameter=diameter)
        shown = micrograph.to_px(ready.nominal) / prepared.to_home.length
        found = apart(boxes, prepared.values.shape, spacing=settings.spacing * shown)
        held = self._held_against_surest(found, prepared.values, diameter=shown)
        kept = suppress(held.xy, held.scores, settings.spacing * shown)
        kept = kept[held.scores[kept] >= (THRESHOLD if settings.threshold is None else settings.threshold)]
        if diameter is None:
            sides = found.sides[kept] if len(kept) else np.array([self.trained.particle_px])
            diameter = micrograph.from_px(float(np.median(sides)) * prepared.to_home.length)
        return to_picks(Detections(held.xy[kept], held.scores[kept]), prepared.to_home, micrograph, diameter=diameter)

    def _held_against_surest(self, found: "Found", values: NDArray[np.float32], *, diameter: float) -> Detections:
        """Boxes' centres in a picture and their chances to be right, held against the surest ones of the micrograph."""
        slope, offset = self.trained.calibration
        logits = slope * found.logits + offset
        chances = Detections(found.xy, np.asarray(expit(logits), np.float32))
        if not self.settings.likeness:
            return chances
        held = likeness(values, chances, diameter=diameter)
        logits = logits + self.settings.likeness * (held.alike - 1)
        return Detections(held.xy, np.asarray(expit(logits), np.float32))


@dataclass(frozen=True, eq=False)
class Found:
    """Boxes in a picture, surest first: centres float64 (n, 2), sides and logits float32 (n,)."""

    xy: NDArray[np.float64]
    sides: NDArray[np.float32]
    logits: NDArray[np.float32]


def find_particles(
    network: nn.Module,
    values: NDArray[np.float32],
    trained: Trained,
    *,
    spacing: float,
    device: torch.device | str = "cpu",
) -> Found:
    """The boxes of an `AnchorDetr` in a picture (h, w) of any size, none closer than `spacing` pixels to a surer one."""
    (boxes,) = look_at(network, [values], trained, device=device)
    return apart(boxes, values.shape, spacing=spacing)


@torch.inference_mode()
def look_at(
    network: nn.Module,
    pictures: Sequence[NDArray[np.float32]],
    trained: Trained,
    *,
    device: torch.device | str = "cpu",
) -> list[NDArray[np.float64]]:
    """The boxes of an `AnchorDetr` in each picture (h, w) of any size: float64 (n, 4) as x, y, side and logit.

    Every tile keeps the boxes whose centres lie in the part that it answers for.
    """
    padded = [torch.from_numpy(_filled_up(values, trained.tile)).to(device) for values in pictures]
    parts = [
        (index, tile)
        for index, picture in enumerate(padded)
        for tile in tiles((picture.shape[0], picture.shape[1]), size=trained.tile, overlap=2 * trained.margin)
    ]
    views = [padded[index][tile.rows, tile.columns] for index, tile in parts]
    boxes = [[np.zeros((0, 4))] for _ in pictures]
    for places, batch in batches(views, AT_ONCE[torch.device(device).type]):
        said = network(torch.stack(batch)[:, None])
        answers = torch.cat((said.boxes[-1], said.logits[-1][..., None]), dim=-1)
        for (index, tile), answer in zip((parts[place] for place in places), answers, strict=True):
            boxes[index].append(_own(tile, answer))
    return [np.concatenate(own) for own in boxes]


def apart(boxes: NDArray[np.float64], shape_hw: tuple[int, ...], *, spacing: float) -> Found:
    """Of boxes (n, 4) in a picture those that lie in it and are no closer than `spacing` pixels to a surer one."""
    xy, sides, logits = np.split(boxes, (2, 3), axis=1)
    on = np.flatnonzero(inside(xy, (shape_hw[0], shape_hw[1]), border=-0.5))
    kept = on[suppress(xy[on], logits[on, 0].astype(np.float32), spacing)]
    return Found(xy[kept], sides[kept, 0].astype(np.float32), logits[kept, 0].astype(np.float32))


def _filled_up(values: NDArray[np.float32], tile: int) -> NDArray[np.float32]:
    """A picture with zeros at its ends where it is shorter than a tile and no multiple of the anchors' distance."""
    short = [-side % ANCHOR if side < tile else 0 for side in values.shape]
    return np.pad(values, ((0, short[0]), (0, short[1])))


def _own(tile: Tile, answer: Tensor) -> NDArray[np.float64]:
    """Of a tile's boxes (N, 4) as x, y, side and logit those that are its own, in the picture's pixels."""
    boxes: NDArray[np.float64] = answer[answer[:, 3] > FAINTEST].double().cpu().numpy()
    boxes[:, :2] = PixelMap.crop(tile.columns.start, tile.rows.start).to_home(boxes[:, :2])
    from_edges = PixelMap.from_edges().from_home(boxes[:, :2])
    first = (tile.own_columns.start, tile.own_rows.start)
    end = (tile.own_columns.stop, tile.own_rows.stop)
    return boxes[((from_edges >= first) & (from_edges < end)).all(axis=1)]


def _known(told: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: told[name] for name in names if name in told}
