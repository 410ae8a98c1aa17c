"""Self-training on micrographs without labels: the adaptive step of CryoSegNet and CryoTransformer.

Each round picks, then trains with confident picks as labels, uncertain picks ignored, and the rest as background.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from cryopick.errors import CryopickError
from cryopick.files import folders_released
from cryopick.io.datasets.cryoppp import LabelledMicrograph
from cryopick.io.micrographs.headers import read_shape
from cryopick.io.micrographs.sources import MicrographSource
from cryopick.models.weights import load
from cryopick.pickers.unet import ARCHITECTURE
from cryopick.train.data.crops import PreparedMicrograph, jittered_diameters
from cryopick.train.data.labelled import DEFAULT_BORDER, Skipped
from cryopick.train.finetune.held_out import (
    THRESHOLD,
    Calibration,
    HeldOutScores,
    cross_calibrate,
    label_probabilities,
    measure,
    pick_micrographs,
)
from cryopick.train.finetune.pseudo_labels import count_agreement, pseudo_labelled, uncertain_picks
from cryopick.train.finetune.supervised import (
    FinetuneSettings,
    InitialWeights,
    ValidationCrops,
    finetune_weights,
    finetuned_card,
    prepare,
    record,
    write_weights,
)
from cryopick.train.loop import OnStep
from cryopick.train.recipe import WEIGHTS
from cryopick.train.tasks.unet import UNetTask, simulate_held_out
from cryopick.types import Picks

VALIDATION_CROPS, VALIDATION_STRUCTURES = 32, 16
"""Numbers of simulated crops, and of random proteins in them, on which the weights are validated."""
MAX_F1_DROP = 0.02
"""Largest accepted loss of F1 on simulated crops; weights that lose more are discarded."""


@dataclass(frozen=True, eq=False)
class SelfTrainingResult:
    """Result of one round of self-training.

    Attributes
    ----------
    weights : file of the fine-tuned weights or, if these are discarded, of the initial ones.
    better : whether the fine-tuned weights are kept. Without labels, this only means that they are no worse on simulated crops.
    labels, uncertain : numbers of picks used as labels, and of picks that were ignored.
    picks : numbers of picks above the default threshold before, after, and in both.
    simulated : F1 on simulated crops, before and after.
    measured : scores against labels that took no part in training, before and after; None without such labels.
    skipped : micrographs that could not be used.
    """

    weights: Path
    better: bool
    labels: int
    uncertain: int
    picks: tuple[int, int, int]
    simulated: tuple[float, float]
    measured: tuple[HeldOutScores, HeldOutScores] | None
    skipped: list[Skipped]


def unlabelled(sources: Sequence[MicrographSource], *, diameter: float) -> tuple[list[LabelledMicrograph], list[Skipped]]:
    """Return micrographs with a particle diameter in Å (pixels without a pixel size) and no labels, and the unreadable ones."""
    found, skipped = [], []
    for source in sources:
        try:
            shape_hw, header_size = read_shape(source.path)
        except (CryopickError, OSError) as error:
            skipped.append(Skipped(source.name, str(error)))
            continue
        size = source.pixel_size or header_size
        nothing = Picks(source.name, diameter=diameter, shape_hw=shape_hw, pixel_size=size)
        found.append(LabelledMicrograph(source, nothing, Picks(source.name)))
    if not found:
        raise CryopickError(f"no micrograph can be read. {'; '.join(map(str, skipped[:3]))}")
    return found, skipped


@folders_released()
def self_train(
    micrographs: Sequence[LabelledMicrograph],
    settings: FinetuneSettings,
    out: Path,
    *,
    truth: Mapping[str, Picks] | None = None,
    border: float = DEFAULT_BORDER,
    on_step: OnStep | None = None,
) -> SelfTrainingResult:
    """Run one round: pick with the initial weights, train on the confident picks, pick again.

    Labels of the micrographs are not used; `truth`, by the names of micrographs, is only used for scores, in which a `border`
    in diameters does not count. A further round starts from the weights of this one. A run in `out` is resumed. Raises
    `CryopickError` if no pick is confident enough.
    """
    start = InitialWeights(settings.weights)
    out.mkdir(parents=True, exist_ok=True)
    bare, skipped = prepare(micrographs, settings, out, sizes=jittered_diameters(start.crop_settings(settings).diameter_px))
    readable = [each.labelled for each in bare]
    first = pick_micrographs(start.path, readable, particles=settings.particles)
    prepared = [_with_pseudo_labels(each, found, settings) for each, found in zip(bare, first, strict=True)]
    labels, uncertain = sum(len(one.labelled.truth) for one in prepared), sum(len(one.uncertain) for one in prepared)
    if labels == 0:
        raise CryopickError(
            f"no pick scores {settings.label_threshold:g} or more, so there is nothing to train on; lower label_threshold"
        )
    record(out, settings, [each.labelled for each in prepared], [])
    validation = _validation_crops(start, settings)
    tuned = finetune_weights(start, prepared, validation, settings, out, border=DEFAULT_BORDER, on_step=on_step)
    simulated = (_f1(start.path, validation, start, settings), _f1(tuned, validation, start, settings))
    better = simulated[1] >= simulated[0] - MAX_F1_DROP
    scored, calibration = _rescored(pick_micrographs(tuned, readable, particles=settings.particles), first)
    seen = [f"{one.source.name} (its own picks)" for one in readable]
    metrics = {"f1_simulated_before": round(simulated[0], 4), "f1_simulated_after": round(simulated[1], 4)}
    card = finetuned_card(start, calibration, seen=seen, held_out=[], metrics=metrics)
    write_weights(start, tuned if better else None, card, out)
    agreement = count_agreement(first, scored, threshold=THRESHOLD, border=border)
    measured = None if truth is None else _measured(first, scored, truth, border=border)
    return SelfTrainingResult(out / WEIGHTS, better, labels, uncertain, agreement, simulated, measured, skipped)


def _with_pseudo_labels(prepared: PreparedMicrograph, found: Picks, settings: FinetuneSettings) -> PreparedMicrograph:
    labelled = pseudo_labelled(prepared.labelled, found, threshold=settings.label_threshold)
    return replace(
        prepared,
        labelled=labelled,
        uncertain=uncertain_picks(found, labelled.truth, threshold=settings.ignore_threshold),
    )


def _measured(
    first: Sequence[Picks], scored: Sequence[Picks], truth: Mapping[str, Picks], *, border: float
) -> tuple[HeldOutScores, HeldOutScores]:
    labels = [truth[picks.micrograph] for picks in first]
    return measure(first, labels, border=border), measure(scored, labels, border=border)


def _rescored(found: Sequence[Picks], first: Sequence[Picks]) -> tuple[list[Picks], Calibration]:
    """Calibrate picks to the scores of the initial weights, so that the expected number of particles stays the same."""
    nothing = [picks.with_points(np.zeros((0, 2))) for picks in first]
    likely = [label_probabilities(new, none, start=old) for new, none, old in zip(found, nothing, first, strict=True)]
    return cross_calibrate(found, likely, border=DEFAULT_BORDER)


def _validation_crops(start: InitialWeights, settings: FinetuneSettings) -> ValidationCrops:
    """Simulate crops of proteins that are not used in training."""
    crop = start.crop_settings(settings)
    crops = simulate_held_out(
        structures=VALIDATION_STRUCTURES,
        crops=VALIDATION_CROPS,
        size=crop.size,
        particle_px=start.particle_px,
        simulation=crop.simulation,
        seed=settings.loop.seed,
        stream="exam",
    )
    return ValidationCrops(crops)


def _f1(weights: Path, validation: ValidationCrops, start: InitialWeights, settings: FinetuneSettings) -> float:
    network = load(weights, architecture=ARCHITECTURE)
    task = UNetTask(network, start.crop_settings(settings), validation.crops, images=validation.images)
    return task.validate(network, torch.device("cpu"))["score"]
