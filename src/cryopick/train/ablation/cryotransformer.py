"""CryoTransformer's table: which backbone, and whether denoised or raw micrographs, by training and validation losses."""

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

from cryopick.errors import SettingError
from cryopick.models.checkpoints import read_state
from cryopick.models.resnet import Depth
from cryopick.train.ablation.table import Layout, Row
from cryopick.train.ablation.variants import Ablation, Study, Variant
from cryopick.train.data.splits import DiskSettings
from cryopick.train.log import LOG, read_table
from cryopick.train.recipe import WEIGHTS
from cryopick.train.recipes.cryosegnet import SimulatedSet
from cryopick.train.recipes.cryotransformer import DetrTraining, prepare_detr

Input = Literal["denoised", "raw"]


@dataclass(frozen=True)
class TransformerAblation:
    """Which trainings are compared.

    Attributes
    ----------
    depths : of the backbone. `inputs` : what it is shown.
    denoised : the micrographs after the denoising chain, labelled as the raw ones are, as `DiskSettings.data`; None runs the
        chain in each training, which takes seconds a micrograph.
    simulated : the data where none are named.
    training : all else.
    """

    depths: tuple[Depth, ...] = (18, 34, 50, 101, 152)
    inputs: tuple[Input, ...] = ("denoised", "raw")
    denoised: str | None = None
    simulated: SimulatedSet = field(default_factory=SimulatedSet)
    training: DetrTraining = field(default_factory=DetrTraining)

    def __post_init__(self) -> None:
        if not (self.depths and self.inputs):
            raise SettingError("depths and inputs must name at least one each")

    @property
    def seed(self) -> int:
        return self.training.loop.seed


def plan(settings: TransformerAblation, disk: DiskSettings) -> Ablation:
    """A variant for each backbone and input."""
    variants = [_variant(settings, disk, depth, shown) for depth in settings.depths for shown in settings.inputs]
    return Ablation(variants, Layout(("backbone",), "input", ("training loss", "validation loss", "F1")))


def _variant(settings: TransformerAblation, disk: DiskSettings, depth: Depth, shown: Input) -> Variant:
    prepared = shown == "denoised" and settings.denoised is not None
    data = replace(disk, data=settings.denoised) if prepared and settings.denoised else disk
    training = replace(settings.training, disk=data, depth=depth, denoised=prepared or shown == "raw")
    return Variant(f"resnet{depth}-{shown}", partial(prepare_detr, training), partial(_judge, depth, shown))


def _judge(depth: Depth, shown: Input, folder: Path) -> list[Row]:
    """The last training loss, the least validation loss and the best F1 of a run."""
    table = read_table(folder / LOG)
    values = sum(tensor.numel() for tensor in read_state(folder / WEIGHTS)[0].values())
    numbers: Row = {
        "million parameters": values / 1e6,
        "training loss": table["loss"][-1],
        "validation loss": min(table["validation_loss"]),
        "F1": max(table["score"]),
    }
    return [{"backbone": f"ResNet-{depth}", "input": shown, **numbers}]


STUDY = Study(TransformerAblation, plan)
