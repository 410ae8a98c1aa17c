"""The training loop of all models: Lightning Fabric, moving average of the weights, warm-up, checkpoints that resume exactly.

Batches and dropout depend only on the step (see `BatchSource`), so a resumed run gives the same result as an uninterrupted one.

Several processes, one per device, share each batch and average their gradients. Weights, optimiser state and moving average are
therefore equal in all of them, and only the first one validates and writes.
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
from cryopick.train.log import TrainingLog

logger = logging.getLogger(__name__)
Batch = Mapping[str, Tensor]
OnStep = Callable[[int, Mapping[str, float]], None]
"""Called with the step and its losses, on the first process only."""
Parameters = tuple[Tensor, ...] | list[Tensor]
LAST, BEST = "last.ckpt", "best.pt"


@dataclass(frozen=True)
class LoopSettings:
    """Optimisation settings, the same for every model.

    Attributes
    ----------
    steps : optimiser steps.
    batch : images per step, over all devices.
    learning_rate : of parameter groups without a rate of their own.
    weight_decay : of AdamW.
    warmup : steps over which the learning rate rises linearly.
    schedule : after the warm-up: a cosine down to zero, a drop to a tenth at `drop_at`, or constant.
    drop_at : share of the steps after which the schedule ``drop`` applies.
    ema : decay of the moving average of the weights, which is validated and saved. It increases gradually, so that the initial
        weights fade quickly. None saves the weights themselves.
    clip : largest norm of the gradient; None does not clip.
    precision : Fabric's name of the number format.
    validate_every : steps between validations.
    patience : validations without a better score after which the run stops; None never stops early.
    tensorboard : whether to write events for TensorBoard.
    seed : random seed of the initial weights, the batches and dropout.
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
        require_at_least_one(self, "steps", "batch", "validate_every")


def require_at_least_one(settings: Any, *names: str) -> None:
    """Raise `SettingError` for the first of the named settings that is below 1; those that are None pass."""
    for name in names:
        value = getattr(settings, name)
        if value is not None and not value >= 1:
            raise SettingError(f"{name} must be at least 1, got {value}")


class BatchSource(Protocol):
    """A source of training batches, each determined by its step."""

    def batches(self, first: int, last: int, *, count: int, rank: int, world: int) -> Iterator[Batch]:
        """Yield the batches of steps first … last − 1: of each, the share of process `rank` out of `world`.

        A step has `count` images over all processes. Shares do not overlap and have equal size, as `count` is a multiple of
        `world`.
        """
        ...


class TrainingTask(Protocol):
    """A model with its losses and its validation."""

    model: nn.Module

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return parameter groups for the optimiser; a group may have its own `lr`."""
        ...

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Compute the parts of the loss by name, and their weighted sum as `loss`; scalars."""
        ...

    def validate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        """Compute metrics to log; `score` is the one to maximise. Called on the first process only."""
        ...


def learning_rate_factor(step: int, settings: LoopSettings) -> float:
    """Return the factor of the learning rates at a step: warm-up, then the schedule."""
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    if settings.schedule == "cosine":
        done = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    if settings.schedule == "drop":
        return 0.1 if step >= settings.drop_at * settings.steps else 1.0
    return 1.0


class Trainer:
    """One training run: the state that a checkpoint holds, and the steps that advance it.

    `fabric` is a launched `lightning.fabric.Fabric`. The run writes ``last.ckpt``, ``best.pt`` (the state dict of the best
    weights) and the files of `TrainingLog` to `out`, and resumes from a ``last.ckpt`` that is already there.

    Raises
    ------
    SettingError
        If the batch cannot be shared evenly by the processes.
    FileError
        If ``last.ckpt`` is damaged or belongs to a run with other settings.
    """

    def __init__(self, task: TrainingTask, data: BatchSource, settings: LoopSettings, *, fabric: Any, out: Path) -> None:
        self.task, self.data, self.settings, self.fabric, self.out = task, data, settings, fabric, out
        if settings.batch % fabric.world_size:
            raise SettingError(
                f"loop.batch must be a multiple of the {fabric.world_size} processes that share it, got {settings.batch}"
            )
        if fabric.world_size > 1 and fabric.device.type == "cuda":  # not available on CPUs
            task.model = nn.SyncBatchNorm.convert_sync_batchnorm(task.model)  # type: ignore[no-untyped-call]
        optimizer = torch.optim.AdamW(task.parameter_groups(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
        self.model, self.optimizer = fabric.setup(task.model, optimizer)
        self.schedule = LambdaLR(self.optimizer, lambda step: learning_rate_factor(step, settings))
        self.average: AveragedModel | None = None
        if settings.ema is not None:
            self.average = AveragedModel(task.model, multi_avg_fn=_moving_average(settings.ema))
        self.step, self.best, self.since_best = 0, -math.inf, 0
        if (out / LAST).exists():
            self._load()

    def out_of_patience(self) -> bool:
        """Return whether the last `patience` validations brought no better score, so that the run stops early."""
        return self.settings.patience is not None and self.since_best >= self.settings.patience

    def run(self, *, on_step: OnStep | None = None) -> float:
        """Train to the last step, or until patience runs out, and return the best validation score."""
        settings, fabric = self.settings, self.fabric
        if self.out_of_patience() or self.step >= settings.steps:
            return self.best
        log = TrainingLog(self.out, step=self.step, tensorboard=settings.tensorboard) if fabric.is_global_zero else None
        batches = self.data.batches(
            self.step, settings.steps, count=settings.batch, rank=fabric.global_rank, world=fabric.world_size
        )
        totals: dict[str, float] = {}
        counted = 0
        for batch in batches:
            losses = self._advance(fabric.to_device(batch))
            totals = {name: totals.get(name, 0.0) + value for name, value in losses.items()}
            counted += 1
            if log is not None:
                log.log_step(self.step, losses)
                if on_step is not None:
                    on_step(self.step, losses)
            if self.step % settings.validate_every == 0 or self.step == settings.steps:
                self._validate({name: total / counted for name, total in totals.items()}, log)
                totals, counted = {}, 0
                if self.out_of_patience():
                    logger.info("stopped at step %d: no better score in %d validations", self.step, self.since_best)
                    break
        if log is not None:
            log.close()
        return self.best

    def _advance(self, batch: Batch) -> dict[str, float]:
        """Take one step and return the losses, averaged over all processes."""
        # Seeded by the step, so that a resumed run draws the same numbers; and by the process, so that dropout differs.
        torch.manual_seed(int(generator(self.settings.seed, "step", self.step, self.fabric.global_rank).integers(2**62)))
        self.model.train()
        with self.fabric.autocast():
            losses = self.task.losses(self.model, batch)
        means = self._process_means(losses)
        if not math.isfinite(means["loss"]):
            rate = self.settings.learning_rate
            raise SettingError(
                f"the loss is {means['loss']} at step {self.step}; lower loop.learning_rate ({rate}) or set loop.clip"
            )
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

    def _process_means(self, losses: Mapping[str, Tensor]) -> dict[str, float]:
        values = torch.stack([value.detach().float() for value in losses.values()])
        return dict(zip(losses, self.fabric.all_reduce(values, reduce_op="mean").tolist(), strict=True))

    def _validate(self, losses: Mapping[str, float], log: TrainingLog | None) -> None:
        """Validate, and write the log and both checkpoints; the other processes wait for the score of the first."""
        scores = {"score": 0.0}
        if self.fabric.is_global_zero:
            model = self._validated_model()
            model.eval()
            with torch.inference_mode():
                scores = self.task.validate(model, self.fabric.device)
        score = float(self.fabric.broadcast(scores["score"]))
        better = score > self.best
        self.best = max(score, self.best)
        self.since_best = 0 if better else self.since_best + 1
        if log is not None:
            if better:
                _save_atomically(self.out / BEST, self._validated_model().state_dict())
            log.log_validation(self.step, float(self.schedule.get_last_lr()[0]), losses, scores)
        self._save()

    def _validated_model(self) -> nn.Module:
        """Return the model to validate and save: the moving average if there is one, with the model's running statistics."""
        if self.average is None:
            return self.task.model
        averaged: nn.Module = self.average.module
        own = dict(self.task.model.named_buffers())
        for name, buffer in averaged.named_buffers():
            buffer.copy_(own[name])
        return averaged

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
            _save_atomically(self.out / LAST, state)
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
                path, "is damaged or belongs to a run with other settings", "Use the same settings, or another output folder"
            ) from error
        self.step, self.best, self.since_best = state["step"], state["best"], state["since_best"]
        logger.info("resuming from step %d", self.step)


def _moving_average(decay: float) -> Callable[[Parameters, Parameters, Tensor | int], None]:
    """Return the update of an exponential moving average; after n updates its decay is at most (1 + n) / (10 + n)."""

    @torch.no_grad()
    def update(averages: Parameters, values: Parameters, count: Tensor | int) -> None:
        now = min(decay, (1 + int(count)) / (10 + int(count)))
        torch._foreach_lerp_(averages, values, 1 - now)

    return update


def decay_groups(model: nn.Module) -> list[dict[str, Any]]:
    """Return parameter groups with weight decay for kernels and matrices, and none for biases and normalisation."""
    kernels = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    return [{"params": kernels}, {"params": others, "weight_decay": 0.0}]


def process_share(count: int, *, rank: int, world: int) -> int:
    """Return the number of a step's `count` images for process `rank` out of `world`."""
    return count // world + (rank < count % world)


def _save_atomically(path: Path, state: Any) -> None:
    """Save so that an interruption leaves either the old checkpoint or the new one."""
    with atomic_path(path) as temporary:
        torch.save(state, temporary)
