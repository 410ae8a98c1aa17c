"""CryoSegNet (Gyawali et al., Briefings in Bioinformatics 25, bbae282, 2024): denoising, U-Net, Segment Anything, box rules.

Stages, sizes and constants are as published, without the defects of the released program: there are no duplicates, scores are
real, the aspect ratio is kept, and padding and hot pixels do not flatten the contrast.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import nn

from cryopick.coordinates import PixelMap
from cryopick.detection.box_rules import SelectedParticles, published_rules, robust_rules
from cryopick.detection.components import NECK, Instances, prompts, watershed
from cryopick.detection.detections import Detections, to_picks
from cryopick.detection.maps import probability_maps
from cryopick.detection.sam_masks import MaskSettings, Segmenter, generate_masks
from cryopick.errors import FileError, SettingError
from cryopick.models.architectures import ARCHITECTURES
from cryopick.models.attention_unet import AttentionUNet
from cryopick.models.sam import REMEDY, load_sam, long_side_hw
from cryopick.models.weights import find, load_fast, read_card
from cryopick.pickers.base import BatchPicker, StageFunctions
from cryopick.pickers.diagnostics import Stages, write_stages
from cryopick.pickers.diameter import DiameterEstimate
from cryopick.preprocess.denoise import stretch
from cryopick.preprocess.particle_scaled import NetworkInput
from cryopick.preprocess.published import PublishedChain, published_input
from cryopick.types import Micrograph, Picks

Map = NDArray[np.float32]

ARCHITECTURE = "attention-unet"


@dataclass(frozen=True)
class CryoSegNetSettings:
    """Settings of the picker `cryosegnet`; the defaults are the published ones.

    Attributes
    ----------
    weights : file of the U-Net's weights.
    sam : Segment Anything's weights, for `instances: sam`: a Hugging Face id, a folder or a ``.pth`` file.
    instances : division of the map into particles: by Segment Anything, as published, or by a watershed.
    prompts : prompts of Segment Anything: on a regular grid, as published, or one in every part of the map, which is much
        faster and misses no small particles.
    rules : selection of particles among the regions: the published rules, which take the middle of the box, or the robust ones,
        which take the centre of mass.
    threshold : lowest score of a pick: the predicted IoU of a mask, the mean probability of a part of the watershed.
    level : value of the map from which a pixel belongs to a particle.
    neck : parts of the map that are joined by a wider neck are one particle, see `components.parts`.
    side : length in pixels of the longer side of the network's input.
    aspect : "kept", or "squeezed" into a square as published, which turns discs into ovals unless the micrograph is square.
    denoised : whether micrographs have already been denoised.
    maps : folder for the denoised image, the map, the instances and a figure of each micrograph; not written if omitted.
    device : device on which the networks run.
    chain : settings of the denoising chain.
    masks : settings of the mask generator.
    """

    weights: str | None = None
    sam: str | None = None
    instances: Literal["sam", "watershed"] = "sam"
    prompts: Literal["grid", "map"] = "grid"
    rules: Literal["published", "robust"] = "published"
    threshold: float = 0.94
    level: float = 0.5
    neck: float = NECK
    side: int = 1024
    aspect: Literal["kept", "squeezed"] = "kept"
    denoised: bool = False
    maps: str | None = None
    device: Literal["cpu", "cuda"] = "cpu"
    chain: PublishedChain = field(default_factory=PublishedChain)
    masks: MaskSettings = field(default_factory=MaskSettings)

    def __post_init__(self) -> None:
        if self.side < 1:
            raise SettingError(f"side must be at least 1 pixel, got {self.side}")
        if self.chain.clip <= 0:
            raise SettingError(f"chain.clip must be positive, got {self.chain.clip:g}")


def denoised(micrograph: Micrograph, settings: CryoSegNetSettings, *, diameter_px: float | None = None) -> NetworkInput:
    """Denoise and resize a micrograph as published; its grey values divided by 255 are the U-Net's input.

    See `published_input` for the order of rows.
    """
    shown = published_input(micrograph, settings.chain, denoised=settings.denoised, diameter_px=diameter_px)
    grey, seen, answer = shown.grey, shown.to_home, shown.output_to_home
    height, width = long_side_hw(grey.shape, settings.side) if settings.aspect == "kept" else (settings.side, settings.side)
    # As in the published programs: bilinear without smoothing, rounded to integer grey values.
    image = np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    fit = PixelMap.resize((grey.shape[1] / width, grey.shape[0] / height))
    return NetworkInput(image, image.astype(np.float32) / np.float32(255), seen.then(fit), answer.then(fit), diameter_px)


@dataclass(frozen=True, eq=False)
class CryoSegNetInput:
    """A micrograph, the U-Net's input, and the particle diameter, if given."""

    micrograph: Micrograph
    prepared: NetworkInput
    diameter: float | None


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The U-Net's map of a micrograph, and the instances in it."""

    probability: Map
    instances: Instances


class CryoSegNetPicker(BatchPicker[CryoSegNetInput, Segmentation]):
    """Picks with CryoSegNet; see `CryoSegNetSettings`.

    If no diameter is given, the picks get a box's diagonal with the published rules, and its mean side with the robust ones.

    A `network` (images (n, 1, h, w) in [0, 1] to logits of the same size) and a `segmenter` may be given in place of weights.
    Raises `SettingError` if weights are missing, and `FileError` if they cannot be used.
    """

    Settings: ClassVar[type[CryoSegNetSettings]] = CryoSegNetSettings
    SUMMARY: ClassVar[str] = "CryoSegNet as published: denoising, U-Net, Segment Anything (needs weights)"
    STAGES: ClassVar[StageFunctions] = {"prepare": (denoised,), "network": (nn.Module.__call__,)}

    def __init__(
        self, settings: CryoSegNetSettings, /, *, network: nn.Module | None = None, segmenter: Segmenter | None = None
    ) -> None:
        self.settings = settings
        self._network = network or _load_network(settings)
        self._segmenter = segmenter or (_load_segmenter(settings) if settings.instances == "sam" else None)

    @classmethod
    def untrained(cls, settings: CryoSegNetSettings, /) -> "CryoSegNetPicker":
        """See `Untrained`: a U-Net of the published size, and the watershed because Segment Anything would add minutes."""
        return cls(replace(settings, instances="watershed"), network=AttentionUNet().eval().to(settings.device))

    def stages(self, micrograph: Micrograph, *, diameter: float | None = None) -> Stages:
        """Pick, and return all intermediate results."""
        prepared = self.prepare(micrograph, diameter=diameter)
        (segmentation,) = self.predict([prepared])
        return self._stages(prepared, segmentation)

    def prepare(self, micrograph: Micrograph, *, diameter: float | None = None) -> CryoSegNetInput:
        """See `BatchPicker`."""
        diameter_px = None if diameter is None else micrograph.to_px(diameter)
        return CryoSegNetInput(micrograph, denoised(micrograph, self.settings, diameter_px=diameter_px), diameter)

    def predict(self, prepared: Sequence[CryoSegNetInput], /) -> list[Segmentation]:
        """See `BatchPicker`."""
        maps = probability_maps(self._network, [one.prepared.values for one in prepared], device=self.settings.device)
        return [Segmentation(probability, self._instances(probability)) for probability in maps]

    def finish(self, prepared: CryoSegNetInput, segmentation: Segmentation, /) -> Picks:
        """See `BatchPicker`."""
        stages = self._stages(prepared, segmentation)
        if self.settings.maps is not None:
            write_stages(stages, prepared.micrograph, Path(self.settings.maps))
        return stages.picks

    def estimate_diameter(self, micrographs: Iterable[Micrograph]) -> DiameterEstimate | None:
        """See `EstimatesDiameter`; the published method needs no diameter."""
        return None

    def _instances(self, probability: Map) -> Instances:
        settings = self.settings
        if self._segmenter is None:  # instances=sam without its weights is an error when the picker is made
            return watershed(probability, level=settings.level, neck=settings.neck)
        points = prompts(probability, level=settings.level, neck=settings.neck) if settings.prompts == "map" else None
        return generate_masks(stretch(probability), self._segmenter, settings.masks, points=points)

    def _stages(self, given: CryoSegNetInput, segmentation: Segmentation) -> Stages:
        micrograph, prepared, diameter = given.micrograph, given.prepared, given.diameter
        probability, instances, home = segmentation.probability, segmentation.instances, prepared.map_to_home
        particles = self._particles(instances, probability.shape, home, prepared.diameter_px)
        detections = Detections(particles.xy, np.clip(instances.scores[particles.kept], 0, 1))
        diameter_px = prepared.diameter_px or particles.diameter_px
        if diameter is None and diameter_px is not None:
            diameter = micrograph.from_px(diameter_px)
        picks = to_picks(detections, home, micrograph, diameter=diameter)
        return Stages(prepared.image, prepared.to_home, probability, home, instances, picks)

    def _particles(
        self, instances: Instances, shape_hw: tuple[int, int], home: PixelMap, diameter_px: float | None
    ) -> SelectedParticles:
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


def _load_network(settings: CryoSegNetSettings) -> nn.Module:
    if settings.weights is None:
        published = ARCHITECTURES.get(ARCHITECTURE).published
        raise SettingError(f"the picker cryosegnet needs the U-Net's weights. {published}. Give the file: --weights FILE")
    path = find(settings.weights, architecture=ARCHITECTURE)
    card = read_card(path)
    if card is not None and "particle_px" in card.input:
        raise FileError(path, "holds weights of a compact network for particles of one size", "Use --picker unet")
    return load_fast(settings.weights, architecture=ARCHITECTURE, device=settings.device)


def _load_segmenter(settings: CryoSegNetSettings) -> Segmenter:
    if settings.sam is None:
        raise SettingError(
            f"the picker cryosegnet needs Segment Anything's weights: --sam WHERE. {REMEDY}. To omit it: --preset watershed"
        )
    return load_sam(settings.sam, device=settings.device)
