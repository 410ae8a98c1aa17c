"""Weights made fit for one user's micrographs, from a handful of them, and never made worse."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cryopick import __version__
from cryopick.errors import FileError, SettingError
from cryopick.files import atomic_path
from cryopick.io.datasets.cryoppp import LabelledMicrograph
from cryopick.models.weights import Card, find, load, read, save
from cryopick.pickers.unet import ARCHITECTURE
from cryopick.provenance import fingerprint, record_run
from cryopick.simulate.crops import Crops, random_structures, structure_bank
from cryopick.train.data.crops import LabelledCrops, Lesson, Mixed, held_out_crops, jittered_diameters, prepare_lessons
from cryopick.train.data.labelled import LabelledSet, Skipped, label_border
from cryopick.train.data.splits import split
from cryopick.train.data.targets import SegnetRecipe
from cryopick.train.finetune.held_out import Line, Measured, calibrated, chances, measure, measure_recall, pick_all
from cryopick.train.finetune.pseudo_labels import doubtful_places
from cryopick.train.launch import Accelerator, launch
from cryopick.train.loop import LAST, Batch, Data, LoopSettings, Trainer
from cryopick.train.recipe import WEIGHTS
from cryopick.train.tasks.unet import SegnetTask, SimulatedCrops
from cryopick.types import Picks

CANDIDATE = "tuned.safetensors"
PICTURES = "pictures"
STRIDE = 16
"""Sides of crops are multiples of this."""
UNCALIBRATED = (1.0, 0.0)
OnStep = Callable[[int, Mapping[str, float]], None]


def _short_loop() -> LoopSettings:
    return LoopSettings(
        steps=150,
        batch=8,
        learning_rate=5e-4,
        warmup=20,
        ema=0.98,
        validate_every=25,
        tensorboard=False,
    )


@dataclass(frozen=True)
class Finetuning:
    """How weights of the fast route are made fit for some micrographs.

    Attributes
    ----------
    weights : what to start from, a name or a file.
    labels : "complete" when all particles are labelled, "partial" when some may not be: then nothing is taught where the start
        sees a chance of `doubt` or more that an unlabelled particle is there.
    sure : least score of the picks that are taken for labels where there are none.
    particles : whether they are darker or lighter than ice.
    held_out : share of the micrographs that are kept aside to measure with, at least one; one that is alone is halved.
    mix : share of each batch that is of the micrographs; the rest is simulated, so that nothing is forgotten. 1 does without.
    jitter : factor by which particles are made smaller or larger at most.
    crop : side of a crop in diameters.
    structures : random proteins to simulate with.
    """

    weights: str = "segnet"
    labels: Literal["complete", "partial"] = "complete"
    doubt: float = 0.6
    sure: float = 0.8
    particles: Literal["dark", "light"] = "dark"
    held_out: float = 0.25
    mix: float = 0.5
    jitter: float = 1.15
    crop: float = 8.0
    structures: int = 100
    accelerator: Accelerator = "cpu"
    loop: LoopSettings = field(default_factory=_short_loop)

    def __post_init__(self) -> None:
        for name in ("doubt", "sure", "held_out", "mix"):
            if not 0 < getattr(self, name) <= (1 if name == "mix" else 0.999):
                raise SettingError(f"{name} must lie between 0 and 1, not be {getattr(self, name)}")
        for name in ("jitter", "crop", "structures"):
            if not getattr(self, name) >= 1:
                raise SettingError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.doubt > self.sure:
            raise SettingError(f"doubt ({self.doubt}) must not be above sure ({self.sure})")
        if self.loop.batch < 2:
            raise SettingError(f"loop.batch must be at least 2, not {self.loop.batch}: one crop of each kind")


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a fine-tuning came to.

    Attributes
    ----------
    weights : the file with the tuned weights or, where those were not better, the start's.
    better : whether they are the tuned ones.
    before, after : on `held_out`, micrographs that were not trained on.
    """

    weights: Path
    better: bool
    before: Measured
    after: Measured
    trained: list[str]
    held_out: list[str]
    skipped: list[Skipped]


class Start:
    """The weights that a fine-tuning begins with. Raises `FileError` for such as do not scale micrographs by the particle."""

    def __init__(self, name: str | Path) -> None:
        self.path = find(name, architecture=ARCHITECTURE)
        self.card = read(self.path)[1]
        if "particle_px" not in self.card.input:
            remedy = "Give weights that cryopick train made, or segnet for the package's own"
            raise FileError(self.path, "holds weights that see whole micrographs, not particles of one size", remedy)
        self.particle_px = float(self.card.input["particle_px"])

    def recipe(self, settings: Finetuning) -> SegnetRecipe:
        """Crops and maps as these weights were taught with."""
        size = self.particle_px
        side = STRIDE * max(1, round(settings.crop * size / STRIDE))
        centre = float(self.card.input.get("centre", SegnetRecipe.centre))
        return SegnetRecipe(crop=side, diameter_px=(size / settings.jitter, size * settings.jitter), centre=centre)


@dataclass(frozen=True, eq=False)
class Exam:
    """What is validated on while weights are tuned: crops, and their pictures unless they are simulated."""

    crops: Crops
    pictures: Tensor | None = None


class TunedTask(SegnetTask):
    """As `SegnetTask`, with the start's normalisation: statistics of a few crops would be worse than those of its training."""

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return super().losses(model, batch)


def finetune_segnet(data: LabelledSet, settings: Finetuning, out: Path, *, on_step: OnStep | None = None) -> Outcome:
    """Train on some of the micrographs, measure on the others, and write the better weights to ``OUT/weights.safetensors``.

    The held-out micrographs make no choice but the last, between start and tuned weights: it is the last step that is measured.
    A run that `out` holds is gone on with; other settings or micrographs than its own are an error.
    """
    start = Start(settings.weights)
    learnt, aside = split(data.micrographs, share=settings.held_out, seed=settings.loop.seed)
    border = label_border(data.micrographs)
    record(out, settings, learnt, aside)
    recipe = start.recipe(settings)
    lessons, skipped = prepare(learnt, settings, out, sizes=jittered_diameters(recipe.diameter_px))
    if settings.labels == "partial":
        lessons = _with_doubt(start, lessons, settings)
    others, unreadable = prepare(aside, settings, out, sizes=[start.particle_px])
    held_out = held_out_crops(others, size=recipe.crop, border=border)
    exam = Exam(held_out, held_out.pixels[:, None])
    tuned = tune(start, lessons, exam, settings, out, border=border, on_step=on_step)
    taught, kept = ([lesson.labelled for lesson in some] for some in (lessons, others))
    before, after, line = _compare(start, tuned, taught, kept, border=border, settings=settings)
    better = after.score > before.score
    trained, watched = ([one.source.name for one in some] for some in (taught, kept))
    card = tuned_card(start, line, seen=trained, held_out=watched, metrics=_metrics(before, after))
    keep(start, tuned if better else None, card, out)
    return Outcome(out / WEIGHTS, better, before, after, trained, watched, [*data.skipped, *skipped, *unreadable])


def tune(
    start: Start,
    lessons: Sequence[Lesson],
    exam: Exam,
    settings: Finetuning,
    out: Path,
    *,
    border: float,
    on_step: OnStep | None = None,
) -> Path:
    """Train the start's network and write the average of the last steps, uncalibrated, to a file in `out`."""
    fabric = launch(accelerator=settings.accelerator, devices=1, precision=settings.loop.precision)
    recipe, seed = start.recipe(settings), settings.loop.seed
    batches: Data = LabelledCrops(lessons, recipe, seed=seed, border=border, device=fabric.device)
    if settings.mix < 1:
        bank = structure_bank(random_structures(settings.structures, seed=seed), device=fabric.device)
        batches = Mixed(batches, SimulatedCrops(bank, recipe, seed=seed), share=settings.mix)
    network = load(start.path, architecture=ARCHITECTURE).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    task = TunedTask(network, recipe, exam.crops, pictures=exam.pictures)
    trainer = Trainer(task, batches, settings.loop, fabric=fabric, out=out)
    trainer.run(on_step=on_step)
    tuned = task.model if trainer.average is None else trainer.average.module
    card = replace(start.card, input={**start.card.input, "calibration": list(UNCALIBRATED)})
    with atomic_path(out / CANDIDATE) as path:
        save(path, tuned.state_dict(), card, half=True)
    return out / CANDIDATE


def prepare(
    micrographs: Sequence[LabelledMicrograph],
    settings: Finetuning,
    out: Path,
    *,
    sizes: Sequence[float],
) -> tuple[list[Lesson], list[Skipped]]:
    """See `prepare_lessons`; the pictures are kept in `out`."""
    return prepare_lessons(micrographs, diameters_px=sizes, folder=out / PICTURES, particles=settings.particles)


def record(out: Path, settings: Finetuning, learnt: Sequence[LabelledMicrograph], aside: Sequence[LabelledMicrograph]) -> None:
    """Write ``run.yaml``: the settings, and how many particles each micrograph has.

    Raises `SettingError` that names the differences from a run in `out` that is to be resumed.
    """
    out.mkdir(parents=True, exist_ok=True)
    parts = {"training_particles": learnt, "held_out_particles": aside}
    counts = {name: {one.source.name: len(one.truth) for one in some} for name, some in parts.items()}
    plain = {key: value for key, value in asdict(settings).items() if key != "accelerator"}
    labelled = [*learnt, *aside]
    sizes = sorted({round(one.truth.diameter_px, 2) for one in labelled if one.truth.diameter_px})
    labels = {"label_fingerprint": fingerprint([_labels(one) for one in labelled])[:12], "diameter_px": sizes}
    record_run(out, plain | counts | labels, command="finetune", resumed=(out / LAST).exists())


def _labels(one: LabelledMicrograph) -> tuple[object, ...]:
    """All labels of a micrograph, to a hundredth of a pixel."""
    places = [picks.xy.round(2).tolist() for picks in (one.truth, one.false_positives)]
    return (one.source.name, *places, list(one.areas))


def keep(start: Start, tuned: Path | None, card: Card, out: Path) -> None:
    """Write the weights that are used from now on: the tuned ones with their card, or the start's as they are."""
    with atomic_path(out / WEIGHTS) as path:
        if tuned is None:
            path.write_bytes(start.path.read_bytes())
        else:
            save(path, read(tuned)[0], card)


def tuned_card(start: Start, line: Line, *, seen: list[str], held_out: list[str], metrics: dict[str, float]) -> Card:
    """The start's card with what has changed."""
    old = start.card
    return replace(
        old,
        source=f"cryopick {__version__} finetune, from {start.path.name} ({old.tensors_sha256[:12]}: {old.source})",
        input={**old.input, "calibration": [round(value, 4) for value in line]},
        data={"seen": [*old.data.get("seen", []), *seen], "held_out": held_out},
        metrics=metrics,
        notes=f"fine-tuned on {len(seen)} micrographs. {old.notes}",
    )


def _compare(
    start: Start,
    tuned: Path,
    taught: Sequence[LabelledMicrograph],
    aside: Sequence[LabelledMicrograph],
    *,
    border: float,
    settings: Finetuning,
) -> tuple[Measured, Measured, Line]:
    """What both find on micrographs kept aside, and the calibration of the tuned weights, in which all of them have a say."""
    partial = settings.labels == "partial"

    def found(weights: Path, some: Sequence[LabelledMicrograph]) -> list[Picks]:
        return pick_all(weights, some, particles=settings.particles)

    def judged(some: Sequence[LabelledMicrograph], new: Sequence[Picks]) -> list[NDArray[np.float64]]:
        olds = found(start.path, some) if partial else [None] * len(some)
        return [chances(each, one.truth, start=first) for each, one, first in zip(new, some, olds, strict=True)]

    old, new, again = found(start.path, aside), found(tuned, aside), found(tuned, taught)
    learnt = list(zip(again, judged(taught, again), strict=True))
    scored, line = calibrated(new, judged(aside, new), border=border, learnt=learnt)
    truth = [one.truth for one in aside]
    before = measure(old, truth, border=border)
    if not partial:
        return before, measure(scored, truth, border=border), line
    at_equal_count = [measure_recall(each, truth, border=border, picks=before.picks) for each in (old, new)]
    return at_equal_count[0], at_equal_count[1], line


def _with_doubt(start: Start, lessons: Sequence[Lesson], settings: Finetuning) -> list[Lesson]:
    """The lessons with the places where the start sees a chance of a particle that nobody labelled."""
    found = pick_all(start.path, [lesson.labelled for lesson in lessons], particles=settings.particles)
    return [
        replace(lesson, doubtful=doubtful_places(picks, lesson.labelled.truth, doubt=settings.doubt))
        for lesson, picks in zip(lessons, found, strict=True)
    ]


def _metrics(before: Measured, after: Measured) -> dict[str, float]:
    values = {
        f"{name}_{when}": getattr(one, name)
        for when, one in (("before", before), ("after", after))
        for name in ("precision", "recall", "f1", "mean_recall")
    }
    return {name: round(value, 4) for name, value in values.items() if value is not None and math.isfinite(value)}
