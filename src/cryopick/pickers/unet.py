"""CryoSegNet's picker (Gyawali et al. 2024): a U-Net's map of particles, instances in it, rules for their boxes.

On the paper route (preset ``paper``, the authors' weights or one's own) with the published stages, sizes and constants; on the
fast route (weights that `cryopick train` made) at a fixed particle size, with the peaks of a map of centres.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, logit
from torch import nn

from cryopick.config import resolve
from cryopick.coordinates import PixelMap
from cryopick.detection.box_rules import Particles, published_rules, robust_rules
from cryopick.detection.components import Instances, prompts, watershed
from cryopick.detection.detections import Detections, to_picks
from cryopick.detection.peaks import find_peaks, suppress
from cryopick.detection.refinement import likeness
from cryopick.detection.sam_masks import Segmenter, generate_masks
from cryopick.errors import SettingError
from cryopick.models.architectures import ARCHITECTURES
from cryopick.models.inference import FastNetwork, batches
from cryopick.models.sam import REMEDY, load_sam
from cryopick.models.weights import find, load, read_card
from cryopick.pickers.base import pick_in_parts
from cryopick.pickers.cryosegnet import denoised
from cryopick.pickers.diagnostics import Stages, nothing_seen, write_stages
from cryopick.pickers.diameter import DiameterEstimate, EstimatesDiameter, Limits, Size, Sizer, combine, middle, surest_diameter
from cryopick.pickers.unet_settings import SegnetSettings
from cryopick.preprocess.denoise import stretch
from cryopick.preprocess.padding import strip_padding
from cryopick.preprocess.particle_scaled import Prepared, evened, scaled
from cryopick.preprocess.tiles import tiles
from cryopick.types import Micrograph, Picks

Map = NDArray[np.float32]

ARCHITECTURE = "attention-unet"
TILE, OVERLAP = 1024, 128
AT_ONCE = {"cpu": 1, "cuda": 8}
"""Tiles that go through the network together: on a CPU, more are no faster and take more memory."""
UNKNOWN_SPACING = 10.0
"""Pixels of the map between peaks, where the diameter is unknown."""
FAINTEST = 0.05
"""Height from which peaks are compared with the surest ones."""
EXAMPLE = 256
"""Side of the picture on which 16 bits must give what 32 give, or are not used."""


@dataclass(frozen=True)
class Trained:
    """What a network's weights say about its input and answer, in their card; the published ones say nothing.

    Attributes
    ----------
    particle_px : the diameter in pixels that particles must have; None for the published input.
    learnt_px : range of diameters in pixels that it was taught; None for `particle_px` alone. It is surest in their middle.
    calibration : slope and offset of the map's logits after which its peaks are probabilities.
    """

    particle_px: float | None = None
    learnt_px: tuple[float, float] | None = None
    calibration: tuple[float, float] = (1.0, 0.0)

    @property
    def surest_px(self) -> float:
        """The diameter in pixels at which the network is surest of a particle."""
        low, high = self.learnt_px or (self.particle_px or 1.0,) * 2
        return math.sqrt(low * high)


@dataclass(frozen=True, eq=False)
class Ready:
    """A micrograph, what the network is to see of it (None where that is nothing), and its particles' diameter, if known."""

    micrograph: Micrograph
    prepared: Prepared | None
    diameter: float | None


@dataclass(frozen=True, eq=False)
class Seen:
    """The network's map of a micrograph, and instances in it, or None where its peaks are what counts."""

    probability: Map
    instances: Instances | None


class SegnetPicker:
    """Picks with an attention U-Net; see `SegnetSettings`.

    A `network` (pictures (1, 1, h, w) in [0, 1] to logits of the same size) and a `segmenter` may be given instead of weights.
    Raises `SettingError` when weights are missing, `FileError` when they cannot be used.
    """

    Settings: ClassVar[type[SegnetSettings]] = SegnetSettings

    def __init__(
        self, settings: SegnetSettings, /, *, network: nn.Module | None = None, segmenter: Segmenter | None = None
    ) -> None:
        self.settings = settings
        self._network, self._trained = (network, Trained()) if network is not None else _load_network(settings)
        self._segmenter = segmenter or (_load_segmenter(settings) if settings.instances == "sam" else None)
        by_default = "watershed" if self._trained.particle_px is None else "peaks"
        self._instances_from = by_default if settings.instances == "auto" else settings.instances

    def pick(self, micrograph: Micrograph, *, diameter: float | None = None) -> Picks:
        """See `Picker.pick`. The published rules estimate the diameter as a box's diagonal, the robust ones as its mean side."""
        return pick_in_parts(self, micrograph, diameter=diameter)

    def stages(self, micrograph: Micrograph, *, diameter: float | None = None) -> Stages:
        """All that was made on the way to the picks."""
        ready = self.prepare(micrograph, diameter=diameter)
        (seen,) = self.look([ready])
        return self._stages(ready, seen)

    def prepare(self, micrograph: Micrograph, *, diameter: float | None = None) -> Ready:
        """See `BatchPicker`. Without a diameter, one is looked for with the network."""
        if diameter is None:
            found = self.size(micrograph)
            diameter = None if found is None else found.diameter
        diameter_px = None if diameter is None else micrograph.to_px(diameter)
        return Ready(micrograph, self._prepare(micrograph, diameter_px), diameter)

    def look(self, ready: Sequence[Ready], /) -> list[Seen | None]:
        """See `BatchPicker`; None where there is nothing to see."""
        shown = [one.prepared.values for one in ready if one.prepared is not None]
        maps = iter(self._probabilities(shown))
        return [None if one.prepared is None else self._seen(next(maps)) for one in ready]

    def finish(self, ready: Ready, seen: Seen | None, /) -> Picks:
        """See `BatchPicker`."""
        stages = self._stages(ready, seen)
        if self.settings.maps is not None:
            write_stages(stages, ready.micrograph, Path(self.settings.maps))
        return stages.picks

    def _seen(self, probability: Map) -> Seen:
        return Seen(probability, None if self._instances_from == "peaks" else self._instances(probability))

    def _stages(self, ready: Ready, seen: Seen | None) -> Stages:
        micrograph, prepared, diameter = ready.micrograph, ready.prepared, ready.diameter
        if prepared is None or seen is None:
            return nothing_seen(micrograph, diameter=diameter)
        probability, instances = seen.probability, seen.instances
        home, diameter_px = prepared.map_to_home, prepared.diameter_px
        if instances is None:
            detections = self._peaks(probability, prepared)
        else:
            particles = self._particles(instances, probability.shape, home, diameter_px)
            detections = Detections(particles.xy, np.clip(instances.scores[particles.kept], 0, 1))
            diameter_px = diameter_px or particles.diameter_px
        if diameter is None and diameter_px is not None:
            diameter = micrograph.from_px(diameter_px)
        picks = to_picks(detections, home, micrograph, diameter=diameter)
        return Stages(prepared.picture, prepared.to_home, probability, home, instances, picks)

    def size(self, micrograph: Micrograph, *, limits: Limits | None = None) -> Size | None:
        """See `Sizer.size` and `surest_diameter`; None on the published route, which has not learnt one size of particles."""
        if self._trained.particle_px is None:
            return None
        particle_px = self._trained.surest_px

        def look(pixels: Map, span: float) -> Map:
            values = evened(pixels, diameter_px=span, device=self.settings.device)
            return self._probability(middle(values, particle_px=particle_px))

        imaged, _ = strip_padding(micrograph.pixels)
        found = surest_diameter(
            imaged if self.settings.particles == "dark" else -imaged,
            look,
            particle_px=particle_px,
            limits=None if limits is None else (micrograph.to_px(limits[0]), micrograph.to_px(limits[1])),
        )
        return None if found is None else replace(found, diameter=micrograph.from_px(found.diameter))

    def estimate_diameter(self, micrographs: Iterable[Micrograph]) -> DiameterEstimate | None:
        """See `EstimatesDiameter`; the published route needs none."""
        return None if self._trained.particle_px is None else combine(micrographs, self.size)

    def _prepare(self, micrograph: Micrograph, diameter_px: float | None) -> Prepared | None:
        if self._trained.particle_px is None:
            return denoised(micrograph, self.settings, diameter_px=diameter_px)
        if diameter_px is None:
            return None
        settings, particle_px = self.settings, self._trained.particle_px
        return scaled(
            micrograph,
            particle_px=particle_px,
            diameter_px=diameter_px,
            particles=settings.particles,
            device=settings.device,
        )

    def _probability(self, values: Map) -> Map:
        return self._probabilities([values])[0]

    @torch.inference_mode()
    def _probabilities(self, pictures: Sequence[Map]) -> list[Map]:
        """The network's first map of each, looked at in tiles where it is large; the published network has no other map."""
        device, (slope, offset) = self.settings.device, self._trained.calibration
        maps = [np.empty(picture.shape, np.float32) for picture in pictures]
        parts = [
            (index, tile) for index, picture in enumerate(pictures) for tile in tiles(picture.shape, size=TILE, overlap=OVERLAP)
        ]
        views = [pictures[index][tile.rows, tile.columns] for index, tile in parts]
        for places, batch in batches(views, AT_ONCE[device]):
            logits = self._network(torch.from_numpy(np.stack(batch)).to(device)[:, None])[:, 0]
            answers = (slope * logits + offset).sigmoid().cpu().numpy()
            for (index, tile), answer in zip((parts[place] for place in places), answers, strict=True):
                maps[index][tile.own_rows, tile.own_columns] = answer[tile.own]
        return maps

    def _instances(self, probability: Map) -> Instances:
        settings = self.settings
        if self._instances_from == "watershed" or self._segmenter is None:
            return watershed(probability, level=settings.level, neck=settings.neck)
        points = prompts(probability, level=settings.level, neck=settings.neck) if settings.prompts == "map" else None
        return generate_masks(stretch(probability), self._segmenter, settings.masks, points=points)

    def _particles(self, instances: Instances, shape_hw: tuple[int, int], home: PixelMap, diameter_px: float | None) -> Particles:
        scale_xy = (abs(home.scale[0]), abs(home.scale[1]))
        if self.settings.rules == "published":
            return published_rules(instances, scale_xy=scale_xy, min_iou=self.settings.threshold)
        return robust_rules(
            instances,
            shape_hw=shape_hw,
            scale_xy=scale_xy,
            diameter_px=diameter_px,
            min_score=self.settings.threshold,
        )

    def _peaks(self, probability: Map, prepared: Prepared) -> Detections:
        """Peaks of the map; where the network has learnt one size, each is held against the surest ones of the micrograph."""
        settings = self.settings
        if prepared.diameter_px is None:
            return find_peaks(probability, spacing=UNKNOWN_SPACING, threshold=settings.threshold)
        diameter = prepared.diameter_px / prepared.map_to_home.length
        weight = self._trained.calibration[0] * settings.likeness
        if self._trained.particle_px is None or weight == 0:
            return find_peaks(probability, spacing=settings.spacing * diameter, threshold=settings.threshold)
        found = find_peaks(probability, spacing=settings.spacing * diameter, threshold=min(FAINTEST, settings.threshold))
        held = likeness(prepared.values, found, diameter=diameter)
        change = weight * (held.alike - 1)
        scores = np.asarray(expit(logit(found.scores.clip(max=1 - 1e-6)) + change), np.float32)
        kept = suppress(held.xy, scores, settings.spacing * diameter)
        kept = kept[scores[kept] >= settings.threshold]
        return Detections(held.xy[kept], scores[kept])


def _load_network(settings: SegnetSettings) -> tuple[nn.Module, Trained]:
    if settings.weights is None:
        published = ARCHITECTURES.get(ARCHITECTURE).published
        raise SettingError(f"the picker segnet needs the U-Net's weights. {published}. Name the file: --weights FILE")
    network = load(settings.weights, architecture=ARCHITECTURE, device=settings.device)
    card = read_card(find(settings.weights))
    told: dict[str, Any] = (
        {} if card is None else {key: card.input[key] for key in ("particle_px", "learnt_px", "calibration") if key in card.input}
    )
    example = torch.rand(1, 1, EXAMPLE, EXAMPLE, generator=torch.Generator().manual_seed(0)).to(settings.device)
    return FastNetwork(network, example), resolve(Trained, told)


def _load_segmenter(settings: SegnetSettings) -> Segmenter:
    if settings.sam is None:
        raise SettingError(
            f"instances by Segment Anything need its weights: --sam WHERE. {REMEDY}. "
            "To do without: --set instances=watershed --set rules=robust --threshold 0.5"
        )
    return load_sam(settings.sam, device=settings.device)


@lru_cache(maxsize=2)
def default_sizer(particles: Literal["dark", "light"] = "dark") -> Sizer:
    """The network in the package."""
    from cryopick.pickers.unet import SegnetPicker  # torch, for whom a diameter is unknown alone

    return SegnetPicker(SegnetPicker.Settings(particles=particles))


def estimate_diameter(picker: object, micrographs: Iterable[Micrograph]) -> DiameterEstimate | None:
    """The diameter for a run of a picker: its own estimate, or that of the network in the package.

    See `EstimatesDiameter.estimate_diameter`.
    """
    if isinstance(picker, EstimatesDiameter):
        return picker.estimate_diameter(micrographs)
    return combine(micrographs, default_sizer().size)
