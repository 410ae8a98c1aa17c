"""The training loop, once for every model: Lightning Fabric, EMA, warm-up, checkpoints that resume exactly.

A batch, and dropout, depend on the step alone (see `Data`), so a run that was killed goes on as if nothing had happened.

Several processes, one for each device, share each batch; their gradients are averaged, so that their weights, the optimiser's
state and the average are the same on all of them and only the first one validates and writes.
"""

import logging
import math
import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from cryopick.errors import FileError, SettingError
from cryopick.files import atomic_path
from cryopick.randomness import generator
from cryopick.train.log import Logbook

logger = logging.getLogger(__name__)
Batch = Mapping[str, Tensor]
Parameters = tuple[Tensor, ...] | list[Tensor]
LAST, BEST = "last.ckpt", "best.pt"


@dataclass(frozen=True)
class LoopSettings:
    """How a model is trained; what it learns is its task's business.

    Attributes
    ----------
    steps : optimiser steps.
    batch : pictures a step, over all devices.
    learning_rate : of the parameter groups that name none of their own.
    schedule : after the warm-up: down to nothing along a cosine, a tenth from `drop_at` of the steps on, or constant.
    ema : decay of the running average of the weights, which is what is validated and kept, reached step by step so that the
        first weights are soon forgotten; None trains without.
    clip : largest norm of the gradient; None does not clip.
    precision : as Fabric names it.
    patience : validations without a better score after which the run stops; None never stops early.
    tensorboard : whether events are written for TensorBoard.
    """

    steps: int = 20_000
    batch: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    warmup: int = 300
    schedule: Literal["cosine", "drop", "constant"] = "cosine"
    drop_at: float = 2 / 3
    ema: float | None = 0.999
    clip: float | None = 1.0
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    validate_every: int = 1000
    patience: int | None = None
    tensorboard: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "validate_every"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} must be at least 1, not {getattr(self, name)}")


class Data(Protocol):
    """Where batches come from."""

    def batches(self, first: int, last: int, *, count: int, rank: int, world: int) -> Iterator[Batch]:
        """The share of process `rank` of `world` in the batches of steps first … last − 1; `count` pictures a step in all.

        Shares do not overlap and are of one size: `count` is a multiple of `world`.
        """
        ...


class Task(Protocol):
    """What a model learns."""

    model: nn.Module

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups for the optimiser; a group may carry its own `lr`."""
        ...

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Named parts, and their weighted sum as `loss`."""
        ...

    def validate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        """Numbers to log, the one to maximise as `score`. Called on the first process only."""
        ...


def rate_factor(step: int, settings: LoopSettings) -> float:
    """What the learning rates are multiplied by at a step."""
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    if settings.schedule == "cosine":
        done = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    if settings.schedule == "drop":
        return 0.1 if step >= settings.drop_at * settings.steps else 1.0
    return 1.0


class Trainer:
    """One run: the state that a checkpoint holds, and the steps that advance it.

    `fabric` is a launched `lightning.fabric.Fabric`; `out` gets `last.ckpt`, `best.pt` (the bare state dict of the best weights)
    and what a `Logbook` writes. A `last.ckpt` that is there already is continued from.
    """

    def __init__(self, task: Task, data: Data, settings: LoopSettings, *, fabric: Any, out: Path) -> None:
        self.task, self.data, self.settings, self.fabric, self.out = task, data, settings, fabric, out
        if settings.batch % fabric.world_size:
            raise SettingError(
                f"batch is {settings.batch}; it must be a multiple of the {fabric.world_size} processes that share it"
            )
        if fabric.world_size > 1 and fabric.device.type == "cuda":  # statistics of the whole batch; there are none for CPUs
            task.model = nn.SyncBatchNorm.convert_sync_batchnorm(task.model)  # type: ignore[no-untyped-call]
        optimizer = torch.optim.AdamW(task.parameter_groups(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
        self.model, self.optimizer = fabric.setup(task.model, optimizer)
        self.schedule = LambdaLR(self.optimizer, lambda step: rate_factor(step, settings))
        self.average: AveragedModel | None = None
        if settings.ema is not None:
            self.average = AveragedModel(task.model, multi_avg_fn=_moving_average(settings.ema))
        self.step, self.best, self.since_best = 0, -math.inf, 0
        if (out / LAST).exists():
            self._load()

    def out_of_patience(self) -> bool:
        """Whether the last validations were no better, so that the run has stopped early or is about to."""
        return self.settings.patience is not None and self.since_best >= self.settings.patience

    def run(self, *, on_step: Callable[[int, Mapping[str, float]], None] | None = None) -> float:
        """Train to the last step, or until patience is out; returns the best validation score.

        `on_step` is called on the first process only.
        """
        settings, fabric = self.settings, self.fabric
        if self.out_of_patience() or self.step >= settings.steps:
            return self.best
        logbook = Logbook(self.out, step=self.step, tensorboard=settings.tensorboard) if fabric.is_global_zero else None
        batches = self.data.batches(
            self.step, settings.steps, count=settings.batch, rank=fabric.global_rank, world=fabric.world_size
        )
        totals: dict[str, float] = {}
        counted = 0
        for batch in batches:
            losses = self._advance(fabric.to_device(batch))
            totals = {name: totals.get(name, 0.0) + value for name, value in losses.items()}
            counted += 1
            if logbook is not None:
                logbook.note_step(self.step, losses)
                if on_step is not None:
                    on_step(self.step, losses)
            if self.step % settings.validate_every == 0 or self.step == settings.steps:
                self._validate({name: total / counted for name, total in totals.items()}, logbook)
                totals, counted = {}, 0
                if self.out_of_patience():
                    logger.info("no better score for %d validations: stopped at step %d", self.since_best, self.step)
                    break
        if logbook is not None:
            logbook.close()
        return self.best

    def _advance(self, batch: Batch) -> dict[str, float]:
        """One step; gives back the losses' means over all processes."""
        # Of the step alone, so that a resumed run draws the same; of the process, so that no two drop the same.
        torch.manual_seed(int(generator(self.settings.seed, "step", self.step, self.fabric.global_rank).integers(2**62)))
        self.model.train()
        with self.fabric.autocast():
            losses = self.task.losses(self.model, batch)
        means = self._over_processes(losses)
        if not math.isfinite(means["loss"]):
            rate = self.settings.learning_rate
            raise SettingError(f"the loss is {means['loss']} at step {self.step}; lower learning_rate ({rate}) or set clip")
        self.optimizer.zero_grad()
        self.fabric.backward(losses["loss"])
        if self.settings.clip is not None:
            self.fabric.clip_gradients(self.model, self.optimizer, max_norm=self.settings.clip)
        self.optimizer.step()
        self.schedule.step()
        if self.average is not None:
            self.average.update_parameters(self.task.model)
        self.step += 1
        return means

    def _over_processes(self, losses: Mapping[str, Tensor]) -> dict[str, float]:
        values = torch.stack([value.detach().float() for value in losses.values()])
        return dict(zip(losses, self.fabric.all_reduce(values, reduce_op="mean").tolist(), strict=True))

    def _validate(self, losses: Mapping[str, float], logbook: Logbook | None) -> None:
        """Validate and write the log and both checkpoints; processes other than the first wait for its score."""
        scores = {"score": 0.0}
        if self.fabric.is_global_zero:
            kept = self._kept()
            kept.eval()
            with torch.inference_mode():
                scores = self.task.validate(kept, self.fabric.device)
        score = float(self.fabric.broadcast(scores["score"]))
        better = score > self.best
        self.best = max(score, self.best)
        self.since_best = 0 if better else self.since_best + 1
        if logbook is not None:
            if better:
                _replace(self.out / BEST, self._kept().state_dict())
            logbook.note_validation(self.step, float(self.schedule.get_last_lr()[0]), losses, scores)
        self._save()

    def _kept(self) -> nn.Module:
        """The weights that are worth keeping: the average where there is one, with the model's own running statistics."""
        if self.average is None:
            return self.task.model
        kept: nn.Module = self.average.module
        own = dict(self.task.model.named_buffers())
        for name, buffer in kept.named_buffers():
            buffer.copy_(own[name])
        return kept

    def _state(self) -> dict[str, Any]:
        return {
            "model": self.task.model.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "step": self.step,
            "best": self.best,
            "since_best": self.since_best,
        }

    def _save(self) -> None:
        state = self._state()
        if self.fabric.is_global_zero:
            _replace(self.out / LAST, state)
        self.fabric.barrier()

    def _load(self) -> None:
        path = self.out / LAST
        try:
            state = torch.load(path, map_location=self.fabric.device, weights_only=True)
            self.task.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.schedule.load_state_dict(state["schedule"])
            if self.average is not None:
                self.average.load_state_dict(state["average"])
        except (RuntimeError, ValueError, TypeError, LookupError, EOFError, pickle.UnpicklingError) as error:
            raise FileError(
                path, "is damaged, or of a run with other settings", "Give another folder, or those settings again"
            ) from error
        self.step, self.best, self.since_best = state["step"], state["best"], state["since_best"]
        logger.info("continuing from step %d", self.step)


def _moving_average(decay: float) -> Callable[[Parameters, Parameters, Tensor | int], None]:
    """The update of an exponential average whose decay grows as (1 + n) / (10 + n) with the number of updates."""

    @torch.no_grad()
    def update(averages: Parameters, values: Parameters, count: Tensor | int) -> None:
        now = min(decay, (1 + int(count)) / (10 + int(count)))
        torch._foreach_lerp_(averages, values, 1 - now)

    return update


def _replace(path: Path, state: Any) -> None:
    """Save so that a kill leaves the old checkpoint or the new one."""
    with atomic_path(path) as temporary:
        torch.save(state, temporary)
