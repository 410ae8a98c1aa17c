"""Whole trainings, from settings to a file of weights with its card."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from cryopick import __version__
from cryopick.errors import SettingError
from cryopick.io.atomic import atomic_path
from cryopick.models.attention_unet import AttentionUNet
from cryopick.models.weights import Card, save
from cryopick.randomness import generator
from cryopick.simulate.crops import Crops, random_structures, simulate_crops, structure_bank
from cryopick.train.calibration import fit_line
from cryopick.train.loop import BEST, LoopSettings, Trainer
from cryopick.train.segnet import MAPS, SegnetRecipe, SegnetTask, SimulatedCrops, judged_peaks

WEIGHTS = "weights.safetensors"
RARE = (-3.0, -1.0, -2.0)
"""First logits of the three maps: most pixels are no centre, many no particle, few junk."""
FAINTEST = -5.0
"""Logit below which peaks are not calibrated."""


@dataclass(frozen=True)
class SegnetTraining:
    """How the fast route's network is trained on simulation.

    Attributes
    ----------
    width, levels : of the attention-gated U-Net.
    particle_px : the diameter in pixels that pickers scale particles to.
    structures : number of random proteins to learn from. `held_out_structures`, `held_out_crops` : others, to validate on.
    accelerator, devices : what to train on, as Fabric names it, and how many of them.
    """

    width: int = 16
    levels: int = 4
    particle_px: float = 12.0
    structures: int = 2000
    held_out_structures: int = 64
    held_out_crops: int = 96
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = 1
    recipe: SegnetRecipe = field(default_factory=SegnetRecipe)
    loop: LoopSettings = field(default_factory=LoopSettings)

    def __post_init__(self) -> None:
        for name in ("structures", "held_out_structures", "held_out_crops", "devices"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.particle_px <= 0:
            raise SettingError(f"particle_px must be above 0, not {self.particle_px}")
        if self.accelerator == "cuda" and not torch.cuda.is_available():
            raise SettingError("accelerator is cuda, but this machine has no CUDA; write accelerator=auto")


def train_segnet(
    settings: SegnetTraining, out: Path, *, on_step: Callable[[int, Mapping[str, float]], None] | None = None
) -> Card:
    """Train on simulated crops and write ``weights.safetensors``; gives back its card. A run that `out` holds is gone on with."""
    from lightning.fabric import Fabric

    seed = settings.loop.seed
    fabric = Fabric(accelerator=settings.accelerator, devices=settings.devices, precision=settings.loop.precision)
    fabric.launch()
    out.mkdir(parents=True, exist_ok=True)
    bank = structure_bank(random_structures(settings.structures, seed=seed), device=fabric.device)
    held_out = _held_out(settings)
    torch.manual_seed(seed)
    model = AttentionUNet(settings.width, settings.levels, len(MAPS)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.no_grad():
        model.output.bias.copy_(torch.tensor(RARE))
    task = SegnetTask(model, settings.recipe, held_out)
    data = SimulatedCrops(bank, settings.recipe, seed=seed)
    best = Trainer(task, data, settings.loop, fabric=fabric, out=out).run(on_step=on_step)
    model.load_state_dict(torch.load(out / BEST, map_location="cpu", weights_only=True))
    card = _card(settings, best, calibrate(model.cpu().eval(), task.pictures, held_out, spacing=settings.recipe.spacing))
    if fabric.is_global_zero:
        with atomic_path(out / WEIGHTS) as path:
            card = save(path, model.state_dict(), card, half=True)
    return card


def calibrate(model: torch.nn.Module, pictures: torch.Tensor, crops: Crops, *, spacing: float) -> tuple[float, float]:
    """Slope and offset of a centre's logit, see `fit_line`."""
    with torch.inference_mode():
        logits = torch.cat([model(part)[:, 0].float() for part in torch.split(pictures, 8)]).numpy()
    heights, right = judged_peaks(logits, crops, spacing=spacing, threshold=FAINTEST)
    return fit_line(heights, right)


def _held_out(settings: SegnetTraining) -> Crops:
    """Crops of structures that are not trained on, at the size that pickers scale to, on the CPU."""
    bank = structure_bank(random_structures(settings.held_out_structures, seed=settings.loop.seed + 1))
    size = settings.particle_px
    rng = generator(settings.loop.seed, "held out")
    return simulate_crops(
        bank, settings.held_out_crops, size=192, diameter_px=(size, size), settings=settings.recipe.simulation, rng=rng
    )


def _card(settings: SegnetTraining, best: float, calibration: tuple[float, float]) -> Card:
    inputs: dict[str, Any] = {"particle_px": settings.particle_px, "calibration": list(calibration)}
    return Card(
        "attention-unet",
        {"width": settings.width, "levels": settings.levels, "maps": len(MAPS)},
        source=f"cryopick {__version__} train segnet simulate",
        licence="MIT",
        input=inputs,
        data={"seen": [f"{settings.structures} random proteins, simulated"], "held_out": ["random proteins of another seed"]},
        metrics={"f1_held_out": round(best, 4)},
        notes=f"steps {settings.loop.steps}, batch {settings.loop.batch}; recipe {asdict(settings.recipe)}",
    )
