"""CryoSegNet as published (Gyawali et al. 2024): the U-Net on whole denoised micrographs, taught to fill the particles' discs."""

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
from cryopick.train.data.denoised_pages import Page, Pages, as_batch, from_disk, prepare_pages, read_page, simulated
from cryopick.train.data.splits import DiskSettings, find_parts
from cryopick.train.launch import Accelerator, launch
from cryopick.train.loop import Batch, LoopSettings
from cryopick.train.losses import dice_loss, segmentation_loss
from cryopick.train.recipe import Recipe, Training, start_from

PICTURES = "pictures"


@dataclass(frozen=True)
class SimulatedSet:
    """Simulated micrographs to learn from, and others to validate on, of `size`² pixels of `pixel_size` Å."""

    micrographs: int = 200
    held_out: int = 20
    size: int = 4096
    pixel_size: float = 1.2
    settings: SimulationSettings = field(default_factory=SimulationSettings)

    def __post_init__(self) -> None:
        for name in ("micrographs", "held_out", "size"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} must be at least 1, not {getattr(self, name)}")


@dataclass(frozen=True)
class PublishedTraining:
    """How the published network is trained; the defaults are the published ones, steps and the augmentation (none) included.

    Attributes
    ----------
    width, levels, gates : of the attention-gated U-Net; without gates a plain one.
    side, aspect, denoised, denoise : how micrographs become pictures, as for `CryoSegNetSettings`.
    epochs : times that each micrograph is seen; replaces `loop.steps`, and validates after each. None keeps the steps.
    keep : the best weights are those of the best F1 of picks, one to one within half a diameter, or of the least Dice loss, as
        published.
    init : file or name of weights to start from, of the same width and levels.
    disk : labelled micrographs; without them those of `simulated`.
    accelerator, devices, nodes : what to train on, as Fabric names it, how many on each node, and how many nodes.
    """

    width: int = 64
    levels: int = 5
    gates: bool = True
    side: int = 1024
    aspect: Literal["kept", "squeezed"] = "kept"
    denoised: bool = False
    denoise: DenoiseSettings = field(default_factory=DenoiseSettings)
    epochs: int | None = 200
    keep: Literal["f1", "dice"] = "dice"
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
        for name in ("devices", "nodes", "side", "epochs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingError(f"{name} must be at least 1, not {value}")
        if self.disk is not None and (self.disk.simulated > 0 or self.disk.particles != "dark"):
            raise SettingError(
                "the published network learns from dark particles and from no mixture; use preset default for others"
            )

    @property
    def shown(self) -> CryoSegNetSettings:
        """How the picker makes the network's input."""
        return CryoSegNetSettings(
            side=self.side, aspect=self.aspect, denoised=self.denoised, chain=PublishedChain(denoise=self.denoise)
        )


class PublishedTask:
    """The network, and pages held out to validate on; see `PublishedTraining.keep` for the score."""

    def __init__(self, model: nn.Module, held_out: Sequence[Path], *, keep: Literal["f1", "dice"]) -> None:
        self.model, self.held_out, self.keep = model, held_out, keep

    def parameter_groups(self) -> list[dict[str, Any]]:
        return [{"params": list(self.model.parameters())}]

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        logits, masks = model(_grey(batch["pictures"])), batch["masks"].float()
        return {"loss": segmentation_loss(logits.float(), masks), "dice_loss": dice_loss(logits.detach(), masks)}

    @torch.inference_mode()
    def validate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        """`dice_score`, 1 − the mean Dice loss; `f1` of picks by watershed as pickers make them; one of them is the `score`."""
        losses, counts = [], Counts(0, 0, 0)
        for path in self.held_out:
            page = read_page(path)
            batch = as_batch([page])
            logits = model(_grey(batch["pictures"].to(device))).float().cpu()
            losses.append(float(dice_loss(logits, batch["masks"])))
            counts += _counts(logits[0, 0].sigmoid(), page)
        dice_score = 1 - sum(losses) / len(losses)
        f1 = counts.f1 if counts.found + counts.truth else 0.0
        return {"score": f1 if self.keep == "f1" else dice_score, "dice_score": dice_score, "f1": f1}


def prepare_published(settings: PublishedTraining, out: Path) -> Training:
    """A training on whole micrographs, which are first denoised into files; a run that `out` holds is gone on with."""
    fabric = launch(
        accelerator=settings.accelerator, devices=settings.devices, nodes=settings.nodes, precision=settings.loop.precision
    )
    seed = settings.loop.seed
    if settings.disk is None:
        made = settings.simulated
        make = partial(simulated, settings=made.settings, size=made.size, pixel_size=made.pixel_size)
        learnt, held_out = make(made.micrographs, seed=seed), make(made.held_out, seed=seed + 1)
    else:
        parts = find_parts(settings.disk, seed=seed)
        learnt, held_out = from_disk(parts.learnt), from_disk(parts.held_out)
    pages = prepare_pages(learnt, settings.shown, folder=out / PICTURES, fabric=fabric)
    others = prepare_pages(held_out, settings.shown, folder=out / PICTURES, fabric=fabric)
    task = PublishedTask(_network(settings), [path for _, path in others], keep=settings.keep)
    data = Pages([path for _, path in pages], seed=seed)

    origin = "simulate" if settings.disk is None else settings.disk.data

    def describe(_: nn.Module, best: float) -> Card:
        return Card(
            ARCHITECTURE,
            {"width": settings.width, "levels": settings.levels, "maps": 1, **({} if settings.gates else {"gates": False})},
            source=f"cryopick {__version__} train segnet {origin} --preset paper",
            licence="MIT" if settings.disk is None else "",
            input={"side": settings.side, "aspect": settings.aspect},
            data={"seen": [name for name, _ in pages], "held_out": [name for name, _ in others]},
            metrics={f"{settings.keep}_held_out": round(best, 4)},
            notes=f"epochs {settings.epochs}, batch {settings.loop.batch}; preset paper",
        )

    loop = _of_epochs(settings, len(pages))
    return Training(task, data, loop, fabric=fabric, out=out, settings=settings, describe=describe)


def _of_epochs(settings: PublishedTraining, count: int) -> LoopSettings:
    if settings.epochs is None:
        return settings.loop
    steps = -(-count // settings.loop.batch)
    return replace(settings.loop, steps=settings.epochs * steps, validate_every=steps)


def _network(settings: PublishedTraining) -> nn.Module:
    torch.manual_seed(settings.loop.seed)
    model = AttentionUNet(settings.width, settings.levels, gates=settings.gates)
    if settings.init is not None:
        start_from(model, settings.init, architecture=ARCHITECTURE)
    channels_last: nn.Module = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return channels_last


def _grey(pictures: Tensor) -> Tensor:
    return pictures.float() / 255


def _counts(probability: Tensor, page: Page) -> Counts:
    """Picks by watershed against the particles, in the page's pixels."""
    parts = watershed(probability.numpy())
    shape_hw = (probability.shape[0], probability.shape[1])
    found = robust_rules(parts, shape_hw=shape_hw, scale_xy=(1.0, 1.0), diameter_px=page.diameter_px)
    match = match_points(found.xy, page.xy, radius_px=page.diameter_px / 2)
    return Counts(len(match.pairs), len(match.extra), len(match.missed))


PUBLISHED = Recipe(PublishedTraining, prepare_published)
