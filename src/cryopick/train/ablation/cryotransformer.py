"""Ablation of CryoTransformer: the backbone, and denoised or raw micrographs."""

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

from cryopick.errors import SettingError
from cryopick.models.resnet import Depth
from cryopick.train.ablation.table import Row, TableLayout
from cryopick.train.ablation.variants import Ablation, AblationStudy, Variant, million_parameters
from cryopick.train.data.splits import DiskSettings
from cryopick.train.log import LOG, read_table
from cryopick.train.recipes.cryosegnet import SimulatedSet
from cryopick.train.recipes.cryotransformer import CryoTransformerTraining, prepare_cryotransformer

Input = Literal["denoised", "raw"]


@dataclass(frozen=True)
class CryoTransformerAblation:
    """Settings of the ablation of CryoTransformer.

    Attributes
    ----------
    depths : depths of the ResNet.
    inputs : denoised micrographs, raw ones, or both.
    denoised : folder of the denoised micrographs, labelled like the raw ones; None runs the denoising chain in each training,
        which takes seconds per micrograph.
    simulated : micrographs to train on if no labelled ones are given.
    training : all other settings of the trainings.
    """

    depths: tuple[Depth, ...] = (18, 34, 50, 101, 152)
    inputs: tuple[Input, ...] = ("denoised", "raw")
    denoised: str | None = None
    simulated: SimulatedSet = field(default_factory=SimulatedSet)
    training: CryoTransformerTraining = field(default_factory=CryoTransformerTraining)

    def __post_init__(self) -> None:
        if not (self.depths and self.inputs):
            raise SettingError("depths and inputs must each have at least one value")

    @property
    def seed(self) -> int:
        """Random seed of the data and the trainings."""
        return self.training.loop.seed


def plan(settings: CryoTransformerAblation, disk: DiskSettings) -> Ablation:
    """Plan a variant for each backbone and input."""
    variants = [_variant(settings, disk, depth, kind) for depth in settings.depths for kind in settings.inputs]
    return Ablation(variants, TableLayout(("backbone",), "input", ("training loss", "validation loss", "F1")))


def _variant(settings: CryoTransformerAblation, disk: DiskSettings, depth: Depth, kind: Input) -> Variant:
    prepared = kind == "denoised" and settings.denoised is not None
    data = replace(disk, data=settings.denoised) if prepared and settings.denoised else disk
    training = replace(settings.training, disk=data, depth=depth, denoised=prepared or kind == "raw")
    return Variant(f"resnet{depth}-{kind}", partial(prepare_cryotransformer, training), partial(_evaluate, depth, kind))


def _evaluate(depth: Depth, kind: Input, folder: Path) -> list[Row]:
    """Return the last training loss, the lowest validation loss and the best F1 of a run."""
    table = read_table(folder / LOG)
    numbers: Row = {
        "million parameters": million_parameters(folder),
        "training loss": table["loss"][-1],
        "validation loss": min(table["validation_loss"]),
        "F1": max(table["score"]),
    }
    return [{"backbone": f"ResNet-{depth}", "input": kind, **numbers}]


STUDY = AblationStudy(CryoTransformerAblation, plan)
