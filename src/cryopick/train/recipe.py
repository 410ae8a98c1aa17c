"""From a task and its data to a file of weights with its card: what every recipe does in the end."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cryopick.errors import CryopickError
from cryopick.files import atomic_path
from cryopick.models.weights import Card, find, fit, read, save
from cryopick.provenance import record_run
from cryopick.registry import Registry
from cryopick.train.loop import BEST, LAST, Data, LoopSettings, Task, Trainer

WEIGHTS = "weights.safetensors"
HERE = ("accelerator", "devices", "nodes")
"""Settings of where a run computes; it may be gone on with elsewhere, by as many processes."""


class Training:
    """A training that is ready to run, or to go on where the run in `out` was stopped.

    Parameters
    ----------
    fabric : launched, see `launch`.
    settings : a dataclass of all that decides the weights; kept in ``run.yaml``.
    describe : makes the card, from the best weights' network, on the CPU in evaluation mode, and the best score.

    Raises `SettingError` that names what differs from the settings of the run in `out`, `FileError` when that is damaged.
    """

    def __init__(
        self,
        task: Task,
        data: Data,
        loop: LoopSettings,
        *,
        fabric: Any,
        out: Path,
        settings: Any,
        describe: Callable[[nn.Module, float], Card],
    ) -> None:
        self.out, self._describe, self._fabric = out, describe, fabric
        kept = {key: value for key, value in asdict(settings).items() if key not in HERE}
        kept |= {"loop": asdict(loop), "processes": fabric.world_size}
        record_run(out, kept, resumed=(out / LAST).exists(), first=fabric.is_global_zero)
        self.trainer = Trainer(task, data, loop, fabric=fabric, out=out)

    @property
    def steps(self) -> int:
        return self.trainer.settings.steps

    def run(self, *, on_step: Callable[[int, Mapping[str, float]], None] | None = None) -> Card:
        """Train, and write the best weights to `WEIGHTS` in `out`; gives back their card."""
        best = self.trainer.run(on_step=on_step)
        model = self.trainer.task.model
        if not (self.out / BEST).exists():
            raise CryopickError(f"{self.out}: no validation gave a score, so there are no weights to keep")
        model.load_state_dict(torch.load(self.out / BEST, map_location="cpu", weights_only=True))
        card = self._describe(model.cpu().eval(), best)
        if self._fabric.is_global_zero:
            with atomic_path(self.out / WEIGHTS) as path:
                card = save(path, model.state_dict(), card, half=True)
        return card


def start_from(model: nn.Module, weights: str, *, architecture: str) -> None:
    """Copy weights, by their file or name, into a network. Raises `FileError` where they are not of its width and depth."""
    path = find(weights, architecture=architecture)
    fit(model, read(path)[0], path)


@dataclass(frozen=True)
class Recipe:
    """A training that `cryopick train` offers.

    Attributes
    ----------
    settings : its dataclass of settings, with a `loop`; presets are `presets/train-NAME-PRESET.yaml`.
    prepare : makes the training from settings and a folder for the run.
    """

    settings: type[Any]
    prepare: Callable[[Any, Path], Training]


RECIPES: Registry[Recipe] = Registry(
    "training",
    {
        "segnet": "cryopick.train.recipes.unet:SEGNET",
        "segnet-paper": "cryopick.train.recipes.cryosegnet:PUBLISHED",
        "transformer": "cryopick.train.recipes.anchor_detr:TRANSFORMER",
        "transformer-paper": "cryopick.train.recipes.cryotransformer:TRANSFORMER_PAPER",
    },
)
