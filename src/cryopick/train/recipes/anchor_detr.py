"""The compact transformer's whole training, from settings to a file of weights with its card."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import nn

from cryopick import __version__
from cryopick.errors import SettingError
from cryopick.models.anchor_detr import ANCHOR, AnchorDetr
from cryopick.models.weights import Card
from cryopick.pickers.detr import ARCHITECTURE, DetrScale
from cryopick.randomness import generator
from cryopick.simulate.crops import Crops, random_structures, simulate_crops, structure_bank
from cryopick.train.calibration import fit_line
from cryopick.train.launch import Accelerator, launch
from cryopick.train.loop import LoopSettings
from cryopick.train.recipe import Recipe, Training
from cryopick.train.tasks.anchor_detr import SimulatedBoxes, TransformerRecipe, TransformerTask


@dataclass(frozen=True)
class TransformerTraining:
    """How the compact transformer is trained on simulation.

    Attributes
    ----------
    width, encoder, decoder : of the `AnchorDetr`.
    particle_px : the diameter in pixels that pickers scale particles to.
    margin : of a tile, in pixels; its side is the recipe's crop.
    structures : number of random proteins to learn from. `held_out_structures`, `held_out_crops` : others, to validate on.
    accelerator, devices : what to train on, as Fabric names it, and how many of them.
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
    recipe: TransformerRecipe = field(default_factory=TransformerRecipe)
    loop: LoopSettings = field(default_factory=lambda: LoopSettings(batch=16, learning_rate=1e-3))

    def __post_init__(self) -> None:
        for name in ("structures", "held_out_structures", "held_out_crops", "devices"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.particle_px <= 0:
            raise SettingError(f"particle_px must be above 0, not {self.particle_px}")
        if self.recipe.crop % ANCHOR or not 0 <= 2 * self.margin < self.recipe.crop:
            raise SettingError(
                f"recipe.crop is {self.recipe.crop} and margin {self.margin}; "
                f"a crop must be a multiple of {ANCHOR} and wider than two margins"
            )

    @property
    def trained(self) -> DetrScale:
        """What pickers are told about the input."""
        return DetrScale(self.particle_px, self.recipe.crop, self.margin)

    @property
    def held_out_side(self) -> int:
        """Two tiles in a row and a column, so that validation sees how they are joined."""
        return 2 * (self.recipe.crop - self.margin)


def prepare_transformer(settings: TransformerTraining, out: Path) -> Training:
    """A training on simulated crops; a run that `out` holds is gone on with."""
    seed = settings.loop.seed
    fabric = launch(accelerator=settings.accelerator, devices=settings.devices, precision=settings.loop.precision)
    bank = structure_bank(random_structures(settings.structures, seed=seed), device=fabric.device)
    torch.manual_seed(seed)
    model = AnchorDetr(settings.particle_px, width=settings.width, encoder=settings.encoder, decoder=settings.decoder)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    task = TransformerTask(model, settings.recipe, _held_out(settings), settings.trained)
    data = SimulatedBoxes(bank, settings.recipe, seed=seed)

    def describe(model: nn.Module, best: float) -> Card:
        logits, right, _ = task.judge(model, torch.device("cpu"))
        return _card(settings, best, fit_line(logits, right))

    return Training(task, data, settings.loop, fabric=fabric, out=out, settings=settings, describe=describe)


def _held_out(settings: TransformerTraining) -> Crops:
    """Crops of structures that are not trained on, at the size that pickers scale to, on the CPU."""
    bank = structure_bank(random_structures(settings.held_out_structures, seed=settings.loop.seed + 1))
    size = settings.particle_px
    return simulate_crops(
        bank,
        settings.held_out_crops,
        size=settings.held_out_side,
        diameter_px=(size, size),
        settings=settings.recipe.simulation,
        rng=generator(settings.loop.seed, "held out"),
    )


def _card(settings: TransformerTraining, best: float, calibration: tuple[float, float]) -> Card:
    trained = DetrScale(settings.particle_px, settings.recipe.crop, settings.margin, calibration)
    return Card(
        ARCHITECTURE,
        {name: getattr(settings, name) for name in ("particle_px", "width", "encoder", "decoder")},
        source=f"cryopick {__version__} train transformer simulate",
        licence="MIT",
        input=asdict(trained),
        data={"seen": [f"{settings.structures} random proteins, simulated"], "held_out": ["random proteins of another seed"]},
        metrics={"f1_held_out": round(best, 4)},
        notes=f"steps {settings.loop.steps}, batch {settings.loop.batch}; recipe {asdict(settings.recipe)}",
    )


TRANSFORMER = Recipe(TransformerTraining, prepare_transformer)
