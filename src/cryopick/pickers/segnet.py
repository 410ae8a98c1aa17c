"""CryoSegNet's picker (Gyawali et al. 2024): denoise, a U-Net's map of particles, instances in it, rules for their boxes.

The paper route: the published stages, sizes and constants (preset ``paper``), for the authors' weights or one's own.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cryopick.coordinates import PixelMap
from cryopick.errors import SettingError
from cryopick.models.architectures import ARCHITECTURES
from cryopick.models.sam import REMEDY, fitted_hw, load_sam
from cryopick.models.weights import load
from cryopick.pickers.base import Detections, to_picks
from cryopick.pickers.box_rules import Particles, published_rules, robust_rules
from cryopick.pickers.instances import NECK, Instances, prompts, watershed
from cryopick.pickers.mask_generator import MaskSettings, Segmenter, generate_masks
from cryopick.pickers.peaks import find_peaks
from cryopick.pickers.stages import Stages, write_stages
from cryopick.preprocess.denoise import DenoiseSettings, denoise, grey_window, stretch
from cryopick.preprocess.padding import strip_padding
from cryopick.types import Micrograph, Picks

Grey = NDArray[np.uint8]
Map = NDArray[np.float32]

ARCHITECTURE = "attention-unet"


@dataclass(frozen=True)
class SegnetSettings:
    """Settings of the picker. The defaults need no Segment Anything; the preset ``paper`` has the published ones.

    Attributes
    ----------
    weights : file, or name, of the U-Net's weights.
    sam : Segment Anything's weights, for `instances: sam`: an id, a folder or a ``.pth`` file.
    instances : how the map is parted: by Segment Anything, by a watershed, or, for a network trained on centres, by its peaks.
    prompts : where Segment Anything is asked: on its own grid, as published, or once in every part of the map, which is much
        faster and misses no small particle.
    rules : which boxes are particles, and where: the published rules, with the box's middle, or the robust ones, with the
        region's centre of mass. Peaks have no boxes.
    threshold : smallest score; for masks their predicted IoU, for parts their mean probability, for peaks their height.
    level : the map's value from which a pixel belongs to a particle.
    neck : parts of the map with a wider neck are one particle, see `instances.parts`.
    spacing : peaks are this many diameters apart, or ten pixels of the map where the diameter is unknown.
    side : the network sees the micrograph with its longer side at this many pixels.
    aspect : "kept", or "squeezed" into a square as published, which makes ovals of discs unless the micrograph is square.
    denoised : the micrograph has been through the denoising chain already.
    clean : before denoising, leave padded borders out and clip grey values at `clip` standard deviations; most micrographs have
        neither, and are not changed by this.
    clip : see `clean`.
    learnt_shift : x and y, in pixels of the micrograph, by which training pictures lay off their masks. The published chain
        moves pictures by 3 and its masks stay, so that the published network puts its map right again.
    maps : folder where the denoised picture, the map, the instances and a figure of them are written for every micrograph.
    device : where the networks run.
    bfloat16 : let the U-Net multiply in 16 bits: several times faster on GPUs and on CPUs made for it (AVX512-BF16, AMX), much
        slower on others; the map changes by less than 0.001.
    denoise : settings of the denoising chain, the rows' order apart.
    masks : settings of the mask generator.
    """

    weights: str | None = None
    sam: str | None = None
    instances: Literal["sam", "watershed", "peaks"] = "watershed"
    prompts: Literal["grid", "map"] = "map"
    rules: Literal["published", "robust"] = "robust"
    threshold: float = 0.5
    level: float = 0.5
    neck: float = NECK
    spacing: float = 0.5
    side: int = 1024
    aspect: Literal["kept", "squeezed"] = "kept"
    denoised: bool = False
    clean: bool = True
    clip: float = 8.0
    learnt_shift: tuple[float, float] = (3.0, 3.0)
    maps: str | None = None
    device: Literal["cpu", "cuda"] = "cpu"
    bfloat16: bool = False
    denoise: DenoiseSettings = field(default_factory=DenoiseSettings)
    masks: MaskSettings = field(default_factory=MaskSettings)


@dataclass(frozen=True, eq=False)
class Prepared:
    """What the network sees of a micrograph.

    Attributes
    ----------
    picture : uint8 (h, w); a 255th of it is the network's input.
    to_home : where its pixels lie in the micrograph.
    map_to_home : where the pixels of the network's answer lie: elsewhere, when it has learnt to undo a shift.
    """

    picture: Grey
    to_home: PixelMap
    map_to_home: PixelMap


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
        self._network = network or _load_network(settings)
        self._segmenter = segmenter or (_load_segmenter(settings) if settings.instances == "sam" else None)

    def pick(self, micrograph: Micrograph, *, diameter: float | None = None) -> Picks:
        """See `Picker.pick`. The published rules estimate the diameter as a box's diagonal, the robust ones as its mean side."""
        stages = self.stages(micrograph, diameter=diameter)
        if self.settings.maps is not None:
            write_stages(stages, micrograph, Path(self.settings.maps))
        return stages.picks

    def stages(self, micrograph: Micrograph, *, diameter: float | None = None) -> Stages:
        """All that was made on the way to the picks."""
        diameter_px = _in_pixels(diameter, micrograph)
        prepared = prepare(micrograph, self.settings, diameter_px=diameter_px)
        probability, home = self._probability(prepared.picture), prepared.map_to_home
        if self.settings.instances == "peaks":
            instances, detections, found_px = None, self._peaks(probability, home, diameter_px), None
        else:
            instances = self._instances(probability)
            particles = self._particles(instances, probability.shape, home, diameter_px)
            detections = Detections(particles.xy, np.clip(instances.scores[particles.kept], 0, 1))
            found_px = particles.diameter_px
        if diameter is None and found_px is not None:
            diameter = found_px * (micrograph.pixel_size or 1.0)
        picks = to_picks(detections, home, micrograph, diameter=diameter)
        return Stages(prepared.picture, prepared.to_home, probability, home, instances, picks)

    @torch.inference_mode()
    def _probability(self, picture: Grey) -> Map:
        """The network's first map; the published network has no other."""
        values = torch.from_numpy(picture).to(self.settings.device, torch.float32)[None, None] / 255
        with torch.autocast(self.settings.device, torch.bfloat16, enabled=self.settings.bfloat16):
            logits = self._network(values.contiguous(memory_format=torch.channels_last))
        return np.asarray(torch.sigmoid(logits.float())[0, 0].cpu().numpy(), np.float32)

    def _instances(self, probability: Map) -> Instances:
        settings = self.settings
        if settings.instances == "watershed" or self._segmenter is None:
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

    def _peaks(self, centre_map: Map, home: PixelMap, diameter_px: float | None) -> Detections:
        spacing = 10.0 if diameter_px is None else self.settings.spacing * diameter_px / home.length
        return find_peaks(centre_map, spacing=spacing, threshold=self.settings.threshold)


def prepare(micrograph: Micrograph, settings: SegnetSettings, *, diameter_px: float | None = None) -> Prepared:
    """Denoise and resize a micrograph for the network.

    MRC files are turned upside down, because the published network was trained on them so; other files are taken as they are.
    """
    pixels, to_home, upside_down = micrograph.pixels, PixelMap(), micrograph.kind == "mrc"
    if settings.denoised:
        grey = _as_grey(pixels[::-1] if upside_down else pixels)
        seen = answer = PixelMap.flip_rows(len(pixels)) if upside_down else to_home
    else:
        if settings.clean:
            pixels, to_home = strip_padding(pixels)
            pixels = np.clip(pixels, *grey_window(pixels, settings.clip))
        grey, change = denoise(pixels, replace(settings.denoise.for_diameter(diameter_px), flip_rows=upside_down))
        seen = to_home.then(change)
        shift_x, shift_y = settings.learnt_shift
        answer = seen.then(PixelMap.crop(-shift_x, -shift_y))
    height, width = fitted_hw(grey.shape, settings.side) if settings.aspect == "kept" else (settings.side, settings.side)
    # The published programs resize so: bilinear without smoothing, rounded to whole grey values.
    picture = np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    fit = PixelMap.resize((grey.shape[1] / width, grey.shape[0] / height))
    return Prepared(picture, seen.then(fit), answer.then(fit))


def _load_network(settings: SegnetSettings) -> nn.Module:
    if settings.weights is None:
        published = ARCHITECTURES.get(ARCHITECTURE).published
        raise SettingError(f"the picker segnet needs the U-Net's weights. {published}. Name the file: --weights FILE")
    network: Any = load(settings.weights, architecture=ARCHITECTURE, device=settings.device)
    return cast(nn.Module, network.to(memory_format=torch.channels_last))  # the same numbers, faster on CPUs


def _load_segmenter(settings: SegnetSettings) -> Segmenter:
    if settings.sam is None:
        raise SettingError(
            f"instances by Segment Anything need its weights: --sam WHERE. {REMEDY}. "
            "To do without: --set instances=watershed --set rules=robust --threshold 0.5"
        )
    return load_sam(settings.sam, device=settings.device)


def _in_pixels(diameter: float | None, micrograph: Micrograph) -> float | None:
    return None if diameter is None else diameter / (micrograph.pixel_size or 1.0)


def _as_grey(pixels: Map) -> Grey:
    """Grey values as they are where they are such, 0 to 255; else stretched."""
    low, high = float(pixels.min()), float(pixels.max())
    return pixels.astype(np.uint8) if low >= 0 and 1 < high <= 255 else stretch(pixels)
