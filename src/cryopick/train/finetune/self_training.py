"""Weights that teach themselves on micrographs without labels: the adaptive step of CryoSegNet and CryoTransformer.

Pick, take the sure picks for labels and the sure background for background, keep quiet about the rest, train, and again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from cryopick.errors import CryopickError
from cryopick.io.datasets.cryoppp import LabelledMicrograph
from cryopick.io.micrographs.headers import read_shape
from cryopick.io.micrographs.sources import MicrographSource
from cryopick.models.weights import load
from cryopick.pickers.unet import ARCHITECTURE
from cryopick.randomness import generator
from cryopick.simulate.crops import Crops, random_structures, simulate_crops, structure_bank
from cryopick.train.data.crops import Lesson, jittered_diameters
from cryopick.train.data.labelled import EDGE, Skipped
from cryopick.train.finetune.held_out import THRESHOLD, Line, Measured, calibrated, chances, measure, pick_all
from cryopick.train.finetune.pseudo_labels import agreeing, doubtful_places, self_labelled
from cryopick.train.finetune.supervised import Exam, Finetuning, OnStep, Start, keep, prepare, record, tune, tuned_card
from cryopick.train.recipe import WEIGHTS
from cryopick.train.tasks.unet import SegnetTask
from cryopick.types import Picks

EXAM_CROPS, EXAM_STRUCTURES = 32, 16
FORGOTTEN = 0.02
"""Weights whose F1 on simulated crops falls by more than this have unlearnt what particles are."""


@dataclass(frozen=True, eq=False)
class SelfTrained:
    """What a round of self-training came to.

    Attributes
    ----------
    weights : the file with the tuned weights or, where those have forgotten too much, the start's.
    better : whether they are the tuned ones. Without labels nobody can tell that they are better; only that they are no worse on
        simulated crops.
    labels, doubtful : numbers of picks that were taken for labels, and that were kept quiet about.
    picks : above the default threshold before, after, and in both.
    simulated : F1 on simulated crops, before and after.
    measured : against labels that took no part in the training, before and after; None without such.
    """

    weights: Path
    better: bool
    labels: int
    doubtful: int
    picks: tuple[int, int, int]
    simulated: tuple[float, float]
    measured: tuple[Measured, Measured] | None
    skipped: list[Skipped]


def unlabelled(sources: Sequence[MicrographSource], *, diameter: float) -> tuple[list[LabelledMicrograph], list[Skipped]]:
    """Micrographs with no labels but the particles' diameter, in Å (pixels without a pixel size); and unreadable ones."""
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


def self_train(
    micrographs: Sequence[LabelledMicrograph],
    settings: Finetuning,
    out: Path,
    *,
    truth: Mapping[str, Picks] | None = None,
    border: float = EDGE,
    on_step: OnStep | None = None,
) -> SelfTrained:
    """One round: pick with the start, train on the sure picks, pick again.

    Labels of the micrographs are not looked at; those in `truth`, by their names, are for measuring alone. A further round starts
    from the weights of this one. A run that `out` holds is gone on with.
    """
    start = Start(settings.weights)
    out.mkdir(parents=True, exist_ok=True)
    bare, skipped = prepare(micrographs, settings, out, sizes=jittered_diameters(start.recipe(settings).diameter_px))
    readable = [lesson.labelled for lesson in bare]
    first = pick_all(start.path, readable, particles=settings.particles)
    lessons = [_from_picks(lesson, found, settings) for lesson, found in zip(bare, first, strict=True)]
    labels, doubtful = sum(len(one.labelled.truth) for one in lessons), sum(len(one.doubtful) for one in lessons)
    if labels == 0:
        raise CryopickError(f"no pick scores {settings.sure:g} or more, so there is nothing to learn from; lower sure")
    record(out, settings, [lesson.labelled for lesson in lessons], [])
    exam = _exam(start, settings)
    tuned = tune(start, lessons, exam, settings, out, border=EDGE, on_step=on_step)
    simulated = (_f1(start.path, exam, start, settings), _f1(tuned, exam, start, settings))
    better = simulated[1] >= simulated[0] - FORGOTTEN
    scored, line = _rescored(pick_all(tuned, readable, particles=settings.particles), first)
    seen = [f"{one.source.name} (its own picks)" for one in readable]
    metrics = {"f1_simulated_before": round(simulated[0], 4), "f1_simulated_after": round(simulated[1], 4)}
    keep(start, tuned if better else None, tuned_card(start, line, seen=seen, held_out=[], metrics=metrics), out)
    agreement = agreeing(first, scored, threshold=THRESHOLD, border=border)
    measured = None if truth is None else _measured(first, scored, truth, border=border)
    return SelfTrained(out / WEIGHTS, better, labels, doubtful, agreement, simulated, measured, skipped)


def _from_picks(lesson: Lesson, found: Picks, settings: Finetuning) -> Lesson:
    labelled = self_labelled(lesson.labelled, found, sure=settings.sure)
    return replace(lesson, labelled=labelled, doubtful=doubtful_places(found, labelled.truth, doubt=settings.doubt))


def _measured(
    first: Sequence[Picks], scored: Sequence[Picks], truth: Mapping[str, Picks], *, border: float
) -> tuple[Measured, Measured]:
    labels = [truth[picks.micrograph] for picks in first]
    return measure(first, labels, border=border), measure(scored, labels, border=border)


def _rescored(found: Sequence[Picks], first: Sequence[Picks]) -> tuple[list[Picks], Line]:
    """The picks with scores that expect as many particles as the start's did: nobody said otherwise."""
    nothing = [picks.with_points(np.zeros((0, 2))) for picks in first]
    likely = [chances(new, none, start=old) for new, none, old in zip(found, nothing, first, strict=True)]
    return calibrated(found, likely, border=EDGE)


def _exam(start: Start, settings: Finetuning) -> Exam:
    """Simulated crops of proteins that are not trained on."""
    seed, recipe = settings.loop.seed, start.recipe(settings)
    crops: Crops = simulate_crops(
        structure_bank(random_structures(EXAM_STRUCTURES, seed=seed + 1)),
        EXAM_CROPS,
        size=recipe.crop,
        diameter_px=(start.particle_px, start.particle_px),
        settings=recipe.simulation,
        rng=generator(seed, "exam"),
    )
    return Exam(crops)


def _f1(weights: Path, exam: Exam, start: Start, settings: Finetuning) -> float:
    network = load(weights, architecture=ARCHITECTURE)
    task = SegnetTask(network, start.recipe(settings), exam.crops, pictures=exam.pictures)
    return task.validate(network, torch.device("cpu"))["score"]
