"""Settings of the segnet picker, on both of its routes."""

from dataclasses import dataclass, field
from typing import Literal

from cryopick.detection.components import NECK
from cryopick.detection.sam_masks import MaskSettings
from cryopick.errors import SettingError
from cryopick.preprocess.denoise import DenoiseSettings


@dataclass(frozen=True)
class SegnetSettings:
    """Settings of the picker. The defaults need no Segment Anything; the preset ``paper`` has the published ones.

    How a micrograph becomes the network's input is the weights' business: weights that `cryopick train` made want it scaled by
    the particle (see `segnet_input.scaled`), any others want it denoised as published.

    Attributes
    ----------
    weights : file, or name, of the U-Net's weights; the package's own are called "segnet".
    sam : Segment Anything's weights, for `instances: sam`: an id, a folder or a ``.pth`` file.
    instances : how the map is parted: by Segment Anything, by a watershed, or, for a network trained on centres, by its peaks;
        "auto" for peaks where the map is one of centres, else a watershed.
    prompts : where Segment Anything is asked: on its own grid, as published, or once in every part of the map, which is much
        faster and misses no small particle.
    rules : which boxes are particles, and where: the published rules, with the box's middle, or the robust ones, with the
        region's centre of mass. Peaks have no boxes.
    threshold : smallest score; for masks their predicted IoU, for parts their mean probability, for peaks their height.
    level : the map's value from which a pixel belongs to a particle.
    neck : parts of the map with a wider neck are one particle, see `instances.parts`.
    spacing : peaks are this many diameters apart, or ten pixels of the map where the diameter is unknown.
    likeness : by how much the network's own logit, before it is calibrated, falls for a peak that shows nothing of what the
        surest peaks of its micrograph show, see `pickers.likeness`; 0 takes peaks as the network gives them; for scaled input.
    particles : whether protein is darker or lighter than ice; for scaled input.
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
    denoise : settings of the denoising chain, the rows' order apart.
    masks : settings of the mask generator.
    """

    weights: str | None = "segnet"
    sam: str | None = None
    instances: Literal["auto", "sam", "watershed", "peaks"] = "auto"
    prompts: Literal["grid", "map"] = "map"
    rules: Literal["published", "robust"] = "robust"
    threshold: float = 0.5
    level: float = 0.5
    neck: float = NECK
    spacing: float = 0.5
    likeness: float = 12.0
    particles: Literal["dark", "light"] = "dark"
    side: int = 1024
    aspect: Literal["kept", "squeezed"] = "kept"
    denoised: bool = False
    clean: bool = True
    clip: float = 8.0
    learnt_shift: tuple[float, float] = (3.0, 3.0)
    maps: str | None = None
    device: Literal["cpu", "cuda"] = "cpu"
    denoise: DenoiseSettings = field(default_factory=DenoiseSettings)
    masks: MaskSettings = field(default_factory=MaskSettings)

    def __post_init__(self) -> None:
        if self.side < 1:
            raise SettingError(f"side is {self.side}; it must be at least 1 pixel")
        for name in ("clip", "spacing"):
            if getattr(self, name) <= 0:
                raise SettingError(f"{name} is {getattr(self, name)}; it must be above 0")
