"""Training runs, from a task and its data to a file of weights with its card, and the models that can be trained."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cryopick.errors import CryopickError, SettingError
from cryopick.files import LockedError, atomic_path, hold_folder, release_folder, remove_leftovers
from cryopick.models.weights import Card, find, fit, read, save
from cryopick.provenance import record_run
from cryopick.registry import Registry
from cryopick.train.loop import BEST, LAST, BatchSource, LoopSettings, OnStep, Trainer, TrainingTask

WEIGHTS = "weights.safetensors"
COMPUTE_SETTINGS = ("accelerator", "devices", "nodes")
"""Settings that may change when a run is resumed, if the number of processes stays the same."""


class TrainingRun:
    """A training run that can be started, or resumed from the last checkpoint in `out`.

    Parameters
    ----------
    fabric : launched Fabric, see `launch`.
    settings : dataclass of all settings that determine the weights; recorded in ``run.yaml``.
    describe : makes the card from the network with the best weights (on the CPU, in evaluation mode) and the best score.

    Raises
    ------
    SettingError
        If `out` holds a run with other settings; the message names them.
    FileError
        If the run in `out` is damaged.
    """

    def __init__(
        self,
        task: TrainingTask,
        data: BatchSource,
        loop: LoopSettings,
        *,
        fabric: Any,
        out: Path,
        settings: Any,
        describe: Callable[[nn.Module, float], Card],
    ) -> None:
        self.out, self._describe, self._fabric = out, describe, fabric
        kept = {key: value for key, value in asdict(settings).items() if key not in COMPUTE_SETTINGS}
        kept |= {"loop": asdict(loop), "processes": fabric.world_size}
        hold_for_training(out, fabric)
        try:
            record_run(out, kept, resumed=(out / LAST).exists(), first=fabric.is_global_zero)
            self.trainer = Trainer(task, data, loop, fabric=fabric, out=out)
        except BaseException:
            release_folder(out)
            raise

    @property
    def steps(self) -> int:
        """Total number of optimiser steps."""
        return self.trainer.settings.steps

    def run(self, *, on_step: OnStep | None = None) -> Card:
        """Train, write the best weights to `WEIGHTS` in `out`, and return their card."""
        try:
            return self._run(on_step)
        finally:
            release_folder(self.out)

    def _run(self, on_step: OnStep | None) -> Card:
        best = self.trainer.run(on_step=on_step)
        model = self.trainer.task.model
        if not (self.out / BEST).exists():
            raise CryopickError(f"{self.out}: no validation gave a score, so there are no weights to save")
        model.load_state_dict(torch.load(self.out / BEST, map_location="cpu", weights_only=True))
        card = self._describe(model.cpu().eval(), best)
        if self._fabric.is_global_zero:
            with atomic_path(self.out / WEIGHTS) as path:
                card = save(path, model.state_dict(), card, half=True)
        return card


def hold_for_training(out: Path, fabric: Any | None = None) -> None:
    """Lock the folder of a training, for the first of its processes and so for all, until `release_folder`.

    Raises `SettingError` on all of them when another training uses it.
    """
    problem = ""
    if fabric is None or fabric.is_global_zero:
        try:
            hold_folder(out)
            remove_leftovers(out, owned=True)
        except LockedError:
            problem = f"{out} is in use by another training. Wait until it ends, or give another --out"
    if fabric is not None and fabric.world_size > 1:
        problem = fabric.broadcast(problem)
    if problem:
        raise SettingError(problem)


def load_initial_weights(model: nn.Module, weights: str, *, architecture: str) -> None:
    """Load weights, given by file or name, into a network.

    Raises `FileError` if they do not exist or are of another width or depth.
    """
    path = find(weights, architecture=architecture)
    fit(model, read(path)[0], path)


@dataclass(frozen=True)
class TrainingRecipe:
    """A model for `cryopick train`.

    Attributes
    ----------
    settings : dataclass of its settings, with a `loop`; presets are named ``train-MODEL``.
    prepare : makes the training run from settings and an output folder.
    """

    settings: type[Any]
    prepare: Callable[[Any, Path], TrainingRun]


RECIPES: Registry[TrainingRecipe] = Registry(
    "model to train",
    {
        "unet": "cryopick.train.recipes.unet:UNET",
        "detr": "cryopick.train.recipes.anchor_detr:ANCHOR_DETR",
        "cryosegnet": "cryopick.train.recipes.cryosegnet:CRYOSEGNET",
        "cryotransformer": "cryopick.train.recipes.cryotransformer:CRYOTRANSFORMER",
    },
)
"""Training recipes by the name of the model."""
COMPACT_MODELS = ("unet", "detr")
"""Models that can be trained on crops that are simulated during training."""

FORMER_MODELS = {
    ("segnet", "paper"): "cryosegnet",
    ("transformer", "paper"): "cryotransformer",
    ("segnet", None): "unet",
    ("transformer", None): "detr",
}
"""Current names of models by former names and presets, which are accepted for one version."""


def resolve_model(name: str, preset: str) -> tuple[str, str, str | None]:
    """Return the current model and preset for the model that the user named, and a notice if that name is deprecated.

    `segnet` and `transformer` are the compact networks `unet` and `detr` or, with the preset `paper`, the published ones,
    `cryosegnet` and `cryotransformer`. Other names are returned unchanged, even unknown ones.
    """
    if (name, preset) in FORMER_MODELS:
        model, preset, former = FORMER_MODELS[name, preset], "default", f"{name} --preset {preset}"
    elif (name, None) in FORMER_MODELS:
        model, former = FORMER_MODELS[name, None], name
    else:
        return name, preset, None
    return model, preset, f"`cryopick train {former}` is deprecated; write `cryopick train {model}`"
