"""CryoSegNet's table: how deep a U-Net, with attention gates or without, and what each stage after it adds."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cryopick.detection.detections import Detections, to_picks
from cryopick.errors import SettingError
from cryopick.evaluate.metrics import evaluate_picks
from cryopick.io.datasets.cryoppp import LabelledMicrograph
from cryopick.models.checkpoints import read_state
from cryopick.pickers.cryosegnet import CryoSegNetPicker, CryoSegNetSettings
from cryopick.pickers.diagnostics import Stages
from cryopick.train.ablation.table import Layout, Row
from cryopick.train.ablation.variants import Ablation, Study, Variant
from cryopick.train.data.splits import DiskSettings, find_parts
from cryopick.train.log import LOG, read_table
from cryopick.train.recipe import WEIGHTS
from cryopick.train.recipes.cryosegnet import PublishedTraining, SimulatedSet, prepare_published
from cryopick.types import Micrograph, Picks

STAGES = ("U-Net", "+ instances", "+ post-processing")


@dataclass(frozen=True)
class SegnetAblation:
    """Which trainings are compared, and how what they find is turned into picks.

    Attributes
    ----------
    levels : of the U-Net. `gates` : with attention gates, or without.
    simulated : the data where none are named.
    training : all else of the trainings.
    picker : of the stages after the U-Net; its input is the training's.
    """

    levels: tuple[int, ...] = (4, 5, 6)
    gates: tuple[bool, ...] = (True, False)
    simulated: SimulatedSet = field(default_factory=SimulatedSet)
    training: PublishedTraining = field(default_factory=PublishedTraining)
    picker: CryoSegNetSettings = field(
        default_factory=lambda: CryoSegNetSettings(instances="watershed", prompts="map", rules="robust", threshold=0.5)
    )

    def __post_init__(self) -> None:
        if not (self.levels and self.gates):
            raise SettingError("levels and gates must name at least one each")

    @property
    def seed(self) -> int:
        return self.training.loop.seed


def plan(settings: SegnetAblation, disk: DiskSettings) -> Ablation:
    """A variant for each depth with gates and without; each gives a row for each stage."""
    variants = [_variant(settings, disk, levels, gates) for levels in settings.levels for gates in settings.gates]
    return Ablation(variants, Layout(("levels", "gates"), "stage", ("precision", "recall", "F1")))


def stage_picks(stages: Stages, micrograph: Micrograph, *, level: float) -> tuple[Picks, Picks, Picks]:
    """Picks after each of `STAGES`: centres of the map's connected parts, of all instances, and those that the rules leave."""
    labels, count = ndimage.label(stages.probability > level)
    middles = ndimage.center_of_mass(labels > 0, labels, np.arange(1, count + 1))
    parts = np.array(middles, np.float64).reshape(-1, 2)[:, ::-1]
    instances = stages.instances
    centroids = np.zeros((0, 2)) if instances is None else instances.centroids

    def picks(xy: NDArray[np.float64]) -> Picks:
        return to_picks(Detections(xy, np.ones(len(xy), np.float32)), stages.to_home, micrograph, diameter=None)

    return picks(parts), picks(centroids), stages.picks


def _variant(settings: SegnetAblation, disk: DiskSettings, levels: int, gates: bool) -> Variant:
    training = replace(settings.training, disk=disk, levels=levels, gates=gates)
    name = f"levels{levels}-{'gates' if gates else 'plain'}"
    return Variant(name, partial(prepare_published, training), partial(_judge, training, disk, settings.picker))


def _judge(training: PublishedTraining, disk: DiskSettings, picker: CryoSegNetSettings, folder: Path) -> list[Row]:
    """Precision, recall and F1 of each stage on the micrographs held out, one to one within half a diameter."""
    held_out = find_parts(disk, seed=training.loop.seed).held_out
    shown = training.shown
    settings = replace(
        picker,
        weights=str(folder / WEIGHTS),
        side=shown.side,
        aspect=shown.aspect,
        denoised=shown.denoised,
        chain=shown.chain,
    )
    found = _picks_of_stages(CryoSegNetPicker(settings), held_out, level=settings.level)
    values = sum(tensor.numel() for tensor in read_state(folder / WEIGHTS)[0].values())
    dice = max(read_table(folder / LOG)["dice_score"])
    rows: list[Row] = []
    for stage, picks in zip(STAGES, found, strict=True):
        result = evaluate_picks(picks, [one.truth for one in held_out])
        ratios = {"precision": result.precision, "recall": result.recall, "F1": result.f1}
        about: Row = {
            "levels": str(training.levels),
            "gates": "gates" if training.gates else "none",
            "million parameters": values / 1e6,
            "Dice": dice,
            "stage": stage,
        }
        rows.append(about | {name: float(np.nan_to_num(ratio)) for name, ratio in ratios.items()})
    return rows


def _picks_of_stages(picker: CryoSegNetPicker, held_out: Sequence[LabelledMicrograph], *, level: float) -> list[list[Picks]]:
    found: list[list[Picks]] = [[], [], []]
    for one in held_out:
        micrograph = one.source.read()
        for picks, more in zip(found, stage_picks(picker.stages(micrograph), micrograph, level=level), strict=True):
            picks.append(more)
    return found


STUDY = Study(SegnetAblation, plan)
