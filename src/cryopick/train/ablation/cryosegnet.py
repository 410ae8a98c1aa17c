"""Ablation of CryoSegNet: the depth of the U-Net, its attention gates, and each stage after it."""

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
from cryopick.pickers.cryosegnet import CryoSegNetPicker, CryoSegNetSettings
from cryopick.pickers.diagnostics import Stages
from cryopick.train.ablation.table import Row, TableLayout
from cryopick.train.ablation.variants import Ablation, AblationStudy, Variant, million_parameters
from cryopick.train.data.splits import DiskSettings, load_split
from cryopick.train.log import LOG, read_table
from cryopick.train.recipe import WEIGHTS
from cryopick.train.recipes.cryosegnet import CryoSegNetTraining, SimulatedSet, prepare_cryosegnet
from cryopick.types import Micrograph, Picks

STAGES = ("U-Net", "+ instances", "+ post-processing")


@dataclass(frozen=True)
class CryoSegNetAblation:
    """Settings of the ablation of CryoSegNet.

    Attributes
    ----------
    levels : depths of the U-Net.
    gates : with attention gates, or without.
    simulated : micrographs to train on if no labelled ones are given.
    training : all other settings of the trainings.
    picker : settings of the stages after the U-Net; the input is prepared as in training.
    """

    levels: tuple[int, ...] = (4, 5, 6)
    gates: tuple[bool, ...] = (True, False)
    simulated: SimulatedSet = field(default_factory=SimulatedSet)
    training: CryoSegNetTraining = field(default_factory=CryoSegNetTraining)
    picker: CryoSegNetSettings = field(
        default_factory=lambda: CryoSegNetSettings(instances="watershed", prompts="map", rules="robust", threshold=0.5)
    )

    def __post_init__(self) -> None:
        if not (self.levels and self.gates):
            raise SettingError("levels and gates must each have at least one value")

    @property
    def seed(self) -> int:
        """Random seed of the data and the trainings."""
        return self.training.loop.seed


def plan(settings: CryoSegNetAblation, disk: DiskSettings) -> Ablation:
    """Plan a variant for each depth with and without gates, with a row for each stage."""
    variants = [_variant(settings, disk, levels, gates) for levels in settings.levels for gates in settings.gates]
    return Ablation(variants, TableLayout(("levels", "gates"), "stage", ("precision", "recall", "F1")))


def stage_picks(stages: Stages, micrograph: Micrograph, *, level: float) -> tuple[Picks, Picks, Picks]:
    """Return picks after each of `STAGES`: centres of the map's connected components, centres of all instances, final picks.

    The map is thresholded at `level`.
    """
    labels, count = ndimage.label(stages.probability > level)
    centres = ndimage.center_of_mass(labels > 0, labels, np.arange(1, count + 1))
    components = np.array(centres, np.float64).reshape(-1, 2)[:, ::-1]
    instances = stages.instances
    centroids = np.zeros((0, 2)) if instances is None else instances.centroids

    def picks(xy: NDArray[np.float64]) -> Picks:
        return to_picks(Detections(xy, np.ones(len(xy), np.float32)), stages.to_home, micrograph, diameter=None)

    return picks(components), picks(centroids), stages.picks


def _variant(settings: CryoSegNetAblation, disk: DiskSettings, levels: int, gates: bool) -> Variant:
    training = replace(settings.training, disk=disk, levels=levels, gates=gates)
    name = f"levels{levels}-{'gates' if gates else 'plain'}"
    return Variant(name, partial(prepare_cryosegnet, training), partial(_evaluate, training, disk, settings.picker))


def _evaluate(training: CryoSegNetTraining, disk: DiskSettings, picker: CryoSegNetSettings, folder: Path) -> list[Row]:
    """Score each stage on the held-out micrographs: precision, recall and F1, one to one within half a diameter."""
    held_out = load_split(disk, seed=training.loop.seed).held_out
    settings = replace(
        picker,
        weights=str(folder / WEIGHTS),
        side=training.side,
        aspect=training.aspect,
        denoised=training.denoised,
        chain=training.picker_settings.chain,
    )
    found = _picks_of_stages(CryoSegNetPicker(settings), held_out, level=settings.level)
    millions = million_parameters(folder)
    dice = max(read_table(folder / LOG)["dice_score"])
    rows: list[Row] = []
    for stage, picks in zip(STAGES, found, strict=True):
        result = evaluate_picks(picks, [one.truth for one in held_out])
        ratios = {"precision": result.precision, "recall": result.recall, "F1": result.f1}
        variant: Row = {
            "levels": str(training.levels),
            "gates": "gates" if training.gates else "none",
            "million parameters": millions,
            "Dice": dice,
            "stage": stage,
        }
        rows.append(variant | {name: float(np.nan_to_num(ratio)) for name, ratio in ratios.items()})
    return rows


def _picks_of_stages(picker: CryoSegNetPicker, held_out: Sequence[LabelledMicrograph], *, level: float) -> list[list[Picks]]:
    """Return the picks of each stage on all held-out micrographs."""
    found: list[list[Picks]] = [[], [], []]
    for one in held_out:
        micrograph = one.source.read()
        for picks, more in zip(found, stage_picks(picker.stages(micrograph), micrograph, level=level), strict=True):
            picks.append(more)
    return found


STUDY = AblationStudy(CryoSegNetAblation, plan)
