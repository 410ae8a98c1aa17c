"""Training of the compact DETR on simulated crops."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import nn

from cryopick import __version__
from cryopick.errors import SettingError
from cryopick.models.anchor_detr import ANCHOR, AnchorDetr
from cryopick.models.weights import Card
from cryopick.pickers.detr import ARCHITECTURE, DetrScale
from cryopick.simulate.crops import random_structures, structure_bank
from cryopick.train.calibration import fit_platt
from cryopick.train.launch import Accelerator, launch
from cryopick.train.loop import LoopSettings, require_at_least_one
from cryopick.train.recipe import TrainingRecipe, TrainingRun
from cryopick.train.tasks.anchor_detr import AnchorDetrCropSettings, AnchorDetrTask, SimulatedBoxes
from cryopick.train.tasks.unet import simulate_held_out


@dataclass(frozen=True)
class AnchorDetrTraining:
    """Settings of the training of the compact DETR.

    Attributes
    ----------
    width, encoder, decoder : width and numbers of layers of the `AnchorDetr`.
    particle_px : particle diameter to which pickers scale micrographs [px].
    margin : margin of a tile [px]; the tile is as large as a crop.
    structures : number of random proteins in the training crops.
    held_out_structures, held_out_crops : numbers of other random proteins, and of crops of them, for validation.
    accelerator, devices : device type, as Fabric names it, and number of devices.
    crop : settings of the crops and of the losses.
    loop : settings of the optimisation.
    """

    width: int = 128
    encoder: int = 2
    decoder: int = 2
    particle_px: float = 12.0
    margin: int = 8
    structures: int = 2000
    held_out_structures: int = 64
    held_out_crops: int = 48
    accelerator: Accelerator = "auto"
    devices: int = 1
    crop: AnchorDetrCropSettings = field(default_factory=AnchorDetrCropSettings)
    loop: LoopSettings = field(default_factory=lambda: LoopSettings(batch=16, learning_rate=1e-3))

    def __post_init__(self) -> None:
        require_at_least_one(self, "structures", "held_out_structures", "held_out_crops", "devices")
        if self.particle_px <= 0:
            raise SettingError(f"particle_px must be positive, got {self.particle_px}")
        if self.crop.size % ANCHOR:
            raise SettingError(f"crop.size must be a multiple of {ANCHOR}, got {self.crop.size}")
        if not 0 <= 2 * self.margin < self.crop.size:
            raise SettingError(f"margin must be in [0, crop.size / 2), got {self.margin} with crop.size {self.crop.size}")

    @property
    def scale(self) -> DetrScale:
        """Size of the network's input and output for the picker, uncalibrated."""
        return DetrScale(self.particle_px, self.crop.size, self.margin)

    @property
    def held_out_side(self) -> int:
        """Side of the held-out crops [px]: two rows and columns of tiles, so that validation covers the joining of tiles."""
        return 2 * (self.crop.size - self.margin)


def prepare_anchor_detr(settings: AnchorDetrTraining, out: Path) -> TrainingRun:
    """Prepare training on simulated crops; resumes the run in `out` if there is one."""
    seed = settings.loop.seed
    fabric = launch(accelerator=settings.accelerator, devices=settings.devices, precision=settings.loop.precision)
    bank = structure_bank(random_structures(settings.structures, seed=seed), device=fabric.device)
    torch.manual_seed(seed)
    model = AnchorDetr(settings.particle_px, width=settings.width, encoder=settings.encoder, decoder=settings.decoder)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    held_out = simulate_held_out(
        structures=settings.held_out_structures,
        crops=settings.held_out_crops,
        size=settings.held_out_side,
        particle_px=settings.particle_px,
        simulation=settings.crop.simulation,
        seed=seed,
        stream="held out",
    )
    task = AnchorDetrTask(model, settings.crop, held_out, settings.scale)
    data = SimulatedBoxes(bank, settings.crop, seed=seed)

    def describe(model: nn.Module, best: float) -> Card:
        logits, right, _ = task.evaluate(model, torch.device("cpu"))
        return _card(settings, best, fit_platt(logits, right))

    return TrainingRun(task, data, settings.loop, fabric=fabric, out=out, settings=settings, describe=describe)


def _card(settings: AnchorDetrTraining, best: float, calibration: tuple[float, float]) -> Card:
    scale = DetrScale(settings.particle_px, settings.crop.size, settings.margin, calibration)
    return Card(
        ARCHITECTURE,
        {name: getattr(settings, name) for name in ("particle_px", "width", "encoder", "decoder")},
        source=f"cryopick {__version__} train detr simulate",
        licence="MIT",
        input=asdict(scale),
        data={"seen": [f"{settings.structures} random proteins, simulated"], "held_out": ["random proteins of another seed"]},
        metrics={"f1_held_out": round(best, 4)},
        notes=f"steps {settings.loop.steps}, batch {settings.loop.batch}; crop {asdict(settings.crop)}",
    )


ANCHOR_DETR = TrainingRecipe(AnchorDetrTraining, prepare_anchor_detr)
