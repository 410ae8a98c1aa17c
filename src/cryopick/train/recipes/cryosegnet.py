"""Training of CryoSegNet as published (Gyawali et al. 2024): the U-Net on whole denoised micrographs, with discs as masks."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from cryopick import __version__
from cryopick.detection.box_rules import robust_rules
from cryopick.detection.components import watershed
from cryopick.errors import SettingError
from cryopick.evaluate.counts import Counts
from cryopick.evaluate.matching import match_points
from cryopick.models.attention_unet import AttentionUNet
from cryopick.models.weights import Card
from cryopick.pickers.cryosegnet import ARCHITECTURE, CryoSegNetSettings
from cryopick.preprocess.denoise import DenoiseSettings
from cryopick.preprocess.published import PublishedChain
from cryopick.simulate.settings import SimulationSettings
from cryopick.train.data.cryosegnet_examples import (
    MaskBatches,
    MaskExample,
    collate,
    examples_from_disk,
    prepare_examples,
    read_example,
    simulated_examples,
)
from cryopick.train.data.splits import PREPARED, DiskSettings, load_split
from cryopick.train.launch import Accelerator, launch
from cryopick.train.loop import Batch, LoopSettings, require_at_least_one
from cryopick.train.losses import dice_loss, segmentation_loss
from cryopick.train.recipe import TrainingRecipe, TrainingRun, load_initial_weights


@dataclass(frozen=True)
class SimulatedSet:
    """Simulated training and held-out micrographs of `size` × `size` pixels of `pixel_size` Å."""

    micrographs: int = 200
    held_out: int = 20
    size: int = 4096
    pixel_size: float = 1.2
    settings: SimulationSettings = field(default_factory=SimulationSettings)

    def __post_init__(self) -> None:
        require_at_least_one(self, "micrographs", "held_out", "size")


@dataclass(frozen=True)
class CryoSegNetTraining:
    """Settings of the training of CryoSegNet; the defaults are the published ones.

    Attributes
    ----------
    width, levels, gates : of the U-Net, with attention gates or without.
    side, aspect, denoised, denoise : preparation of micrographs, as in the settings of the picker.
    epochs : number of times that each micrograph is used, with validation after each. None uses `loop.steps`.
    select_by : the best weights are those with the least Dice loss, as published, or with the best F1 of picks, one to one within
        half a diameter.
    init : file or name of initial weights, of the same width and levels.
    disk : labelled micrographs to train on.
    simulated : micrographs to train on if there are no labelled ones.
    accelerator, devices, nodes : device type, as Fabric names it, number of devices per node, and number of nodes.
    loop : settings of the optimisation.
    """

    width: int = 64
    levels: int = 5
    gates: bool = True
    side: int = 1024
    aspect: Literal["kept", "squeezed"] = "kept"
    denoised: bool = False
    denoise: DenoiseSettings = field(default_factory=DenoiseSettings)
    epochs: int | None = 200
    select_by: Literal["f1", "dice"] = "dice"
    init: str | None = None
    disk: DiskSettings | None = None
    simulated: SimulatedSet = field(default_factory=SimulatedSet)
    accelerator: Accelerator = "auto"
    devices: int = 1
    nodes: int = 1
    loop: LoopSettings = field(
        default_factory=lambda: LoopSettings(
            batch=6, learning_rate=1e-4, weight_decay=0.0, warmup=0, schedule="constant", ema=None, clip=None
        )
    )

    def __post_init__(self) -> None:
        require_at_least_one(self, "devices", "nodes", "side", "epochs")
        if self.disk is not None and (self.disk.simulated > 0 or self.disk.particles != "dark"):
            raise SettingError("cryosegnet needs disk.particles=dark and disk.simulated=0; use unet for other data")

    @property
    def picker_settings(self) -> CryoSegNetSettings:
        """Settings of the picker that prepare micrographs in the same way."""
        return CryoSegNetSettings(
            side=self.side, aspect=self.aspect, denoised=self.denoised, chain=PublishedChain(denoise=self.denoise)
        )


class CryoSegNetTask:
    """The U-Net, and files of held-out examples; see `CryoSegNetTraining.select_by` for the score."""

    def __init__(self, model: nn.Module, held_out: Sequence[Path], *, select_by: Literal["f1", "dice"]) -> None:
        self.model, self.held_out, self.select_by = model, held_out, select_by

    def parameter_groups(self) -> list[dict[str, Any]]:
        """See `TrainingTask.parameter_groups`."""
        return [{"params": list(self.model.parameters())}]

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """See `TrainingTask.losses`; `dice_loss` alone is returned too."""
        logits, masks = model(_grey(batch["images"])), batch["masks"].float()
        return {"loss": segmentation_loss(logits.float(), masks), "dice_loss": dice_loss(logits.detach(), masks)}

    @torch.inference_mode()
    def validate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        """See `TrainingTask.validate`: `dice_score`, 1 − the mean Dice loss, and `f1` of picks made by watershed.

        One of them is the `score`.
        """
        losses, counts = [], Counts(0, 0, 0)
        for path in self.held_out:
            example = read_example(path)
            batch = collate([example])
            logits = model(_grey(batch["images"].to(device))).float().cpu()
            losses.append(float(dice_loss(logits, batch["masks"])))
            counts += _counts(logits[0, 0].sigmoid(), example)
        dice_score = 1 - sum(losses) / len(losses)
        f1 = counts.f1 if counts.found + counts.truth else 0.0
        return {"score": f1 if self.select_by == "f1" else dice_score, "dice_score": dice_score, "f1": f1}


def prepare_cryosegnet(settings: CryoSegNetTraining, out: Path) -> TrainingRun:
    """Prepare training on whole micrographs, which are denoised into files; resumes the run in `out` if there is one."""
    fabric = launch(
        accelerator=settings.accelerator, devices=settings.devices, nodes=settings.nodes, precision=settings.loop.precision
    )
    seed = settings.loop.seed
    if settings.disk is None:
        made = settings.simulated
        make = partial(simulated_examples, settings=made.settings, size=made.size, pixel_size=made.pixel_size)
        training, held_out = make(made.micrographs, seed=seed), make(made.held_out, seed=seed + 1)
    else:
        split = load_split(settings.disk, seed=seed)
        training, held_out = examples_from_disk(split.training), examples_from_disk(split.held_out)
    prepare = partial(prepare_examples, settings=settings.picker_settings, folder=out / PREPARED, fabric=fabric)
    seen, unseen = prepare(training), prepare(held_out)
    task = CryoSegNetTask(_network(settings), [path for _, path in unseen], select_by=settings.select_by)
    data = MaskBatches([path for _, path in seen], seed=seed)
    names = {"seen": [name for name, _ in seen], "held_out": [name for name, _ in unseen]}
    loop = _with_epochs(settings, len(seen))
    describe = partial(_card, settings, names)
    return TrainingRun(task, data, loop, fabric=fabric, out=out, settings=settings, describe=describe)


def _card(settings: CryoSegNetTraining, names: dict[str, list[str]], _: nn.Module, best: float) -> Card:
    return Card(
        ARCHITECTURE,
        {"width": settings.width, "levels": settings.levels, "maps": 1, **({} if settings.gates else {"gates": False})},
        source=f"cryopick {__version__} train cryosegnet {'simulate' if settings.disk is None else settings.disk.data}",
        licence="MIT" if settings.disk is None else "",
        input={"side": settings.side, "aspect": settings.aspect},
        data=names,
        metrics={f"{settings.select_by}_held_out": round(best, 4)},
        notes=f"epochs {settings.epochs}, batch {settings.loop.batch}",
    )


def _with_epochs(settings: CryoSegNetTraining, count: int) -> LoopSettings:
    """Return the settings of the loop, with the steps of the epochs of `count` examples."""
    if settings.epochs is None:
        return settings.loop
    steps = -(-count // settings.loop.batch)
    return replace(settings.loop, steps=settings.epochs * steps, validate_every=steps)


def _network(settings: CryoSegNetTraining) -> nn.Module:
    torch.manual_seed(settings.loop.seed)
    model = AttentionUNet(settings.width, settings.levels, gates=settings.gates)
    if settings.init is not None:
        load_initial_weights(model, settings.init, architecture=ARCHITECTURE)
    channels_last: nn.Module = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return channels_last


def _grey(images: Tensor) -> Tensor:
    return images.float() / 255


def _counts(probability: Tensor, example: MaskExample) -> Counts:
    """Count picks made by watershed, against the particles of an example."""
    parts = watershed(probability.numpy())
    shape_hw = (probability.shape[0], probability.shape[1])
    found = robust_rules(parts, shape_hw=shape_hw, scale_xy=(1.0, 1.0), diameter_px=example.diameter_px)
    match = match_points(found.xy, example.xy, radius_px=example.diameter_px / 2)
    return Counts(len(match.pairs), len(match.extra), len(match.missed))


CRYOSEGNET = TrainingRecipe(CryoSegNetTraining, prepare_cryosegnet)
