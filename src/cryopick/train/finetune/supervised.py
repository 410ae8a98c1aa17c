"""Supervised fine-tuning of the compact U-Net on a few labelled micrographs; weights that do not improve are discarded."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cryopick import __version__
from cryopick.errors import FileError, SettingError
from cryopick.files import atomic_path, folders_released
from cryopick.io.datasets.cryoppp import LabelledMicrograph
from cryopick.messages import counted
from cryopick.models.weights import Card, find, load, read, save
from cryopick.pickers.unet import ARCHITECTURE
from cryopick.provenance import fingerprint, record_run
from cryopick.simulate.crops import Crops, random_structures, structure_bank
from cryopick.train.data.crops import (
    LabelledCrops,
    MixedBatches,
    PreparedMicrograph,
    held_out_crops,
    jittered_diameters,
    prepare_micrographs,
)
from cryopick.train.data.labelled import LabelledSet, Skipped, label_border
from cryopick.train.data.splits import PREPARED, split_micrographs
from cryopick.train.data.targets import CropSettings
from cryopick.train.finetune.held_out import (
    Calibration,
    HeldOutScores,
    cross_calibrate,
    label_probabilities,
    measure,
    measure_recall,
    pick_micrographs,
)
from cryopick.train.finetune.pseudo_labels import uncertain_picks
from cryopick.train.launch import Accelerator, launch
from cryopick.train.loop import LAST, Batch, BatchSource, LoopSettings, OnStep, Trainer, require_at_least_one
from cryopick.train.recipe import WEIGHTS, hold_for_training
from cryopick.train.tasks.unet import SimulatedCrops, UNetTask
from cryopick.types import Picks

CANDIDATE = "tuned.safetensors"
"""File of the fine-tuned weights, uncalibrated, even if they are not better."""
STRIDE = 16
"""Sides of crops are multiples of this."""
UNCALIBRATED = (1.0, 0.0)


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
class FinetuneSettings:
    """Settings of the fine-tuning of the compact U-Net.

    Attributes
    ----------
    weights : file or name of the initial weights.
    labels : "complete" if all particles are labelled, "partial" if some may not be; then the surroundings of unlabelled picks of
        the initial weights that score `ignore_threshold` or more are ignored.
    ignore_threshold : lowest score of a pick that may be an unlabelled particle.
    label_threshold : lowest score of a pick that becomes a pseudo-label.
    particles : whether particles are darker or lighter than ice.
    held_out : share of the micrographs that are held out, at least one; a single micrograph is halved.
    mix : share of labelled micrographs in each batch; the rest is simulated, which preserves the abilities of the initial
        weights. 1 uses no simulation.
    jitter : largest factor by which particles are scaled up or down.
    crop : side of a crop, in diameters.
    structures : number of random proteins to simulate.
    accelerator : device type, as Fabric names it.
    loop : settings of the optimisation.
    """

    weights: str = "unet"
    labels: Literal["complete", "partial"] = "complete"
    ignore_threshold: float = 0.6
    label_threshold: float = 0.8
    particles: Literal["dark", "light"] = "dark"
    held_out: float = 0.25
    mix: float = 0.5
    jitter: float = 1.15
    crop: float = 8.0
    structures: int = 100
    accelerator: Accelerator = "cpu"
    loop: LoopSettings = field(default_factory=_short_loop)

    def __post_init__(self) -> None:
        for name in ("ignore_threshold", "label_threshold", "held_out"):
            if not 0 < getattr(self, name) <= 0.999:
                raise SettingError(f"{name} must be in (0, 0.999], got {getattr(self, name)}")
        if not 0 < self.mix <= 1:
            raise SettingError(f"mix must be in (0, 1], got {self.mix}")
        require_at_least_one(self, "jitter", "crop", "structures")
        if self.ignore_threshold > self.label_threshold:
            raise SettingError(
                f"ignore_threshold must not exceed label_threshold ({self.label_threshold}), got {self.ignore_threshold}"
            )
        if self.loop.batch < 2:
            raise SettingError(f"loop.batch must be at least 2, one crop of each source, got {self.loop.batch}")


@dataclass(frozen=True, eq=False)
class FinetuneResult:
    """Result of a fine-tuning.

    Attributes
    ----------
    weights : file of the fine-tuned weights or, if they are not better, of the initial ones.
    better : whether the fine-tuned weights are better.
    before, after : scores on the held-out micrographs.
    trained, held_out : names of the micrographs.
    skipped : micrographs that could not be used.

    Examples
    --------
    >>> result = finetune("micrographs", "picks.star", out="tuned", diameter=180)  # doctest: +SKIP
    >>> result.better, result.before.f1, result.after.f1  # doctest: +SKIP
    (True, 0.81, 0.93)
    """

    weights: Path
    better: bool
    before: HeldOutScores
    after: HeldOutScores
    trained: list[str]
    held_out: list[str]
    skipped: list[Skipped]


class InitialWeights:
    """The weights that a fine-tuning starts from, by name or file.

    Raises `FileError` if their network has no fixed particle size, like CryoSegNet's.
    """

    def __init__(self, name: str | Path) -> None:
        self.path = find(name, architecture=ARCHITECTURE)
        self.card = read(self.path)[1]
        if "particle_px" not in self.card.input:
            remedy = "Give weights written by cryopick train, or omit --weights for those of the package"
            raise FileError(self.path, "holds weights for whole micrographs, not for a fixed particle size", remedy)
        self.particle_px = float(self.card.input["particle_px"])

    def crop_settings(self, settings: FinetuneSettings) -> CropSettings:
        """Return settings of crops and maps that match those with which these weights were trained."""
        size = self.particle_px
        side = STRIDE * max(1, round(settings.crop * size / STRIDE))
        centre_radius = float(self.card.input.get("centre", CropSettings.centre_radius))
        return CropSettings(size=side, diameter_px=(size / settings.jitter, size * settings.jitter), centre_radius=centre_radius)


@dataclass(frozen=True, eq=False)
class ValidationCrops:
    """Crops for validation during fine-tuning, and as input of the network unless they are simulated."""

    crops: Crops
    images: Tensor | None = None


class FinetuneTask(UNetTask):
    """A `UNetTask` with frozen batch normalisation, since statistics of few crops are worse than those of the training."""

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """See `UNetTask.losses`."""
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return super().losses(model, batch)


@folders_released()
def finetune_unet(data: LabelledSet, settings: FinetuneSettings, out: Path, *, on_step: OnStep | None = None) -> FinetuneResult:
    """Fine-tune on some micrographs, score on the held-out ones, and write the better weights to ``OUT/weights.safetensors``.

    The held-out micrographs are only used to choose between initial and fine-tuned weights, which are those of the last step. A
    run in `out` is resumed; raises `SettingError` if it has other settings or labels.
    """
    start = InitialWeights(settings.weights)
    training, aside = split_micrographs(data.micrographs, share=settings.held_out, seed=settings.loop.seed)
    border = label_border(data.micrographs)
    record(out, settings, training, aside)
    crop = start.crop_settings(settings)
    prepared, skipped = prepare(training, settings, out, sizes=jittered_diameters(crop.diameter_px))
    if settings.labels == "partial":
        prepared = _with_uncertain(start, prepared, settings)
    others, unreadable = prepare(aside, settings, out, sizes=[start.particle_px])
    crops = held_out_crops(others, size=crop.size, border=border)
    validation = ValidationCrops(crops, crops.pixels[:, None])
    tuned = finetune_weights(start, prepared, validation, settings, out, border=border, on_step=on_step)
    trained, held_out = ([each.labelled for each in some] for some in (prepared, others))
    before, after, calibration = _compare(start, tuned, trained, held_out, border=border, settings=settings)
    better = after.score > before.score
    seen, unseen = ([one.source.name for one in some] for some in (trained, held_out))
    card = finetuned_card(start, calibration, seen=seen, held_out=unseen, metrics=_metrics(before, after))
    write_weights(start, tuned if better else None, card, out)
    return FinetuneResult(out / WEIGHTS, better, before, after, seen, unseen, [*data.skipped, *skipped, *unreadable])


def finetune_weights(
    start: InitialWeights,
    micrographs: Sequence[PreparedMicrograph],
    validation: ValidationCrops,
    settings: FinetuneSettings,
    out: Path,
    *,
    border: float,
    on_step: OnStep | None = None,
) -> Path:
    """Train the network from its initial weights; return the file in `out` of the moving average, uncalibrated."""
    fabric = launch(accelerator=settings.accelerator, devices=1, precision=settings.loop.precision)
    crop, seed = start.crop_settings(settings), settings.loop.seed
    batches: BatchSource = LabelledCrops(micrographs, crop, seed=seed, border=border, device=fabric.device)
    if settings.mix < 1:
        bank = structure_bank(random_structures(settings.structures, seed=seed), device=fabric.device)
        batches = MixedBatches(batches, SimulatedCrops(bank, crop, seed=seed), share=settings.mix)
    network = load(start.path, architecture=ARCHITECTURE).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    task = FinetuneTask(network, crop, validation.crops, images=validation.images)
    trainer = Trainer(task, batches, settings.loop, fabric=fabric, out=out)
    trainer.run(on_step=on_step)
    tuned = task.model if trainer.average is None else trainer.average.module
    card = replace(start.card, input={**start.card.input, "calibration": list(UNCALIBRATED)})
    with atomic_path(out / CANDIDATE) as path:
        save(path, tuned.state_dict(), card, half=True)
    return out / CANDIDATE


def prepare(
    micrographs: Sequence[LabelledMicrograph],
    settings: FinetuneSettings,
    out: Path,
    *,
    sizes: Sequence[float],
) -> tuple[list[PreparedMicrograph], list[Skipped]]:
    """Prepare micrographs in the folder of the run, see `prepare_micrographs`; `sizes` are diameters in pixels."""
    return prepare_micrographs(micrographs, diameters_px=sizes, folder=out / PREPARED, particles=settings.particles)


def record(
    out: Path, settings: FinetuneSettings, training: Sequence[LabelledMicrograph], held_out: Sequence[LabelledMicrograph]
) -> None:
    """Write ``run.yaml``: the settings, and the number of particles of each micrograph.

    Raises `SettingError`, which names the differences, if a run in `out` has other settings.
    """
    hold_for_training(out)
    parts = {"training_particles": training, "held_out_particles": held_out}
    counts = {name: {one.source.name: len(one.truth) for one in some} for name, some in parts.items()}
    plain = {key: value for key, value in asdict(settings).items() if key != "accelerator"}
    labelled = [*training, *held_out]
    sizes = sorted({round(one.truth.diameter_px, 2) for one in labelled if one.truth.diameter_px})
    labels = {"label_fingerprint": fingerprint([_labels(one) for one in labelled])[:12], "diameter_px": sizes}
    record_run(out, plain | counts | labels, command="finetune", resumed=(out / LAST).exists())


def _labels(one: LabelledMicrograph) -> tuple[object, ...]:
    """Return all labels of a micrograph, rounded to a hundredth of a pixel."""
    places = [picks.xy.round(2).tolist() for picks in (one.truth, one.false_positives)]
    return (one.source.name, *places, list(one.areas))


def write_weights(start: InitialWeights, tuned: Path | None, card: Card, out: Path) -> None:
    """Write the weights of the result: the fine-tuned ones with their card or, if `tuned` is None, the initial ones."""
    with atomic_path(out / WEIGHTS) as path:
        if tuned is None:
            path.write_bytes(start.path.read_bytes())
        else:
            save(path, read(tuned)[0], card)


def finetuned_card(
    start: InitialWeights, calibration: Calibration, *, seen: list[str], held_out: list[str], metrics: dict[str, float]
) -> Card:
    """Make the card of the fine-tuned weights from that of the initial ones."""
    old = start.card
    return replace(
        old,
        source=f"cryopick {__version__} finetune, from {start.path.name} ({old.tensors_sha256[:12]}: {old.source})",
        input={**old.input, "calibration": [round(value, 4) for value in calibration]},
        data={"seen": [*old.data.get("seen", []), *seen], "held_out": held_out},
        metrics=metrics,
        notes=f"fine-tuned on {counted(len(seen), 'micrograph')}. {old.notes}",
    )


def _compare(
    start: InitialWeights,
    tuned: Path,
    trained: Sequence[LabelledMicrograph],
    held_out: Sequence[LabelledMicrograph],
    *,
    border: float,
    settings: FinetuneSettings,
) -> tuple[HeldOutScores, HeldOutScores, Calibration]:
    """Score initial and fine-tuned weights on the held-out micrographs, and calibrate the latter on all of them."""
    partial = settings.labels == "partial"

    def found(weights: Path, some: Sequence[LabelledMicrograph]) -> list[Picks]:
        return pick_micrographs(weights, some, particles=settings.particles)

    def probabilities(some: Sequence[LabelledMicrograph], new: Sequence[Picks]) -> list[NDArray[np.float64]]:
        olds = found(start.path, some) if partial else [None] * len(some)
        return [label_probabilities(each, one.truth, start=first) for each, one, first in zip(new, some, olds, strict=True)]

    old, new, again = found(start.path, held_out), found(tuned, held_out), found(tuned, trained)
    training = list(zip(again, probabilities(trained, again), strict=True))
    scored, calibration = cross_calibrate(new, probabilities(held_out, new), border=border, training=training)
    truth = [one.truth for one in held_out]
    before = measure(old, truth, border=border)
    if not partial:
        return before, measure(scored, truth, border=border), calibration
    at_equal_count = [measure_recall(each, truth, border=border, picks=before.picks) for each in (old, new)]
    return at_equal_count[0], at_equal_count[1], calibration


def _with_uncertain(
    start: InitialWeights, micrographs: Sequence[PreparedMicrograph], settings: FinetuneSettings
) -> list[PreparedMicrograph]:
    """Add the picks of the initial weights that may be unlabelled particles to the micrographs."""
    found = pick_micrographs(start.path, [each.labelled for each in micrographs], particles=settings.particles)
    return [
        replace(each, uncertain=uncertain_picks(picks, each.labelled.truth, threshold=settings.ignore_threshold))
        for each, picks in zip(micrographs, found, strict=True)
    ]


def _metrics(before: HeldOutScores, after: HeldOutScores) -> dict[str, float]:
    values = {
        f"{name}_{when}": getattr(one, name)
        for when, one in (("before", before), ("after", after))
        for name in ("precision", "recall", "f1", "mean_recall")
    }
    return {name: round(value, 4) for name, value in values.items() if value is not None and math.isfinite(value)}
