"""The published transformer's whole training, from settings to a training that is ready to run."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import nn

from cryopick import __version__
from cryopick.errors import SettingError
from cryopick.io.datasets.cryoppp import LabelledMicrograph
from cryopick.models.checkpoints import read_state
from cryopick.models.detr import Detr
from cryopick.models.resnet import Depth
from cryopick.models.weights import Card, fit
from cryopick.pickers.cryotransformer import ARCHITECTURE, InputSize
from cryopick.preprocess.published import PublishedChain
from cryopick.train.data.detr_augment import DetrAugmentation
from cryopick.train.data.detr_pages import example_files
from cryopick.train.data.labelled import find_labelled
from cryopick.train.data.splits import DiskSettings, find_parts, tell_skipped
from cryopick.train.launch import Accelerator, launch
from cryopick.train.loop import LoopSettings
from cryopick.train.losses import DetrLoss
from cryopick.train.recipe import Recipe, Training
from cryopick.train.tasks.cryotransformer import DetrPictures, DetrTask

CLASSIFIER = "fc."
"""What published ImageNet weights hold besides the features."""
PICTURES = "pictures"


@dataclass(frozen=True)
class DetrTraining:
    """How a `Detr` is trained on whole micrographs; the defaults are the published network and rates.

    Attributes
    ----------
    disk : the micrographs. A folder that `cryopick dataset coco` wrote is parted as its files say.
    denoised : they have been through the denoising chain already. `chain` : else, how they go through it.
    backbone : file of ImageNet weights of the ResNet, under torchvision's names; None starts from random ones.
    backbone_rate : learning rate of the ResNet.
    loss : its weights; `label` 1 repeats the released annotations, from which no class can be learnt.
    accelerator, devices, nodes : what to train on, as Fabric names it, how many on each node, and how many nodes.
    """

    disk: DiskSettings | None = None
    denoised: bool = False
    chain: PublishedChain = field(default_factory=PublishedChain)
    depth: Depth = 152
    backbone_width: int = 64
    queries: int = 600
    width: int = 256
    heads: int = 8
    feedforward: int = 2048
    layers: int = 6
    dropout: float = 0.1
    backbone: str | None = None
    backbone_rate: float = 1e-5
    size: InputSize = field(default_factory=InputSize)
    augmentation: DetrAugmentation = field(default_factory=DetrAugmentation)
    loss: DetrLoss = field(default_factory=DetrLoss)
    accelerator: Accelerator = "auto"
    devices: int = 1
    nodes: int = 1
    loop: LoopSettings = field(default_factory=LoopSettings)

    def __post_init__(self) -> None:
        for name in ("backbone_width", "queries", "heads", "feedforward", "layers", "devices", "nodes"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.width < 1 or self.width % 4 or self.width % self.heads:
            raise SettingError(f"width is {self.width}; it must be a multiple of 4 and of heads ({self.heads})")

    @property
    def network(self) -> dict[str, int | float]:
        """What `Detr` is built with."""
        names = ("depth", "backbone_width", "queries", "width", "heads", "feedforward", "layers", "dropout")
        return {name: getattr(self, name) for name in names}


def prepare_detr(settings: DetrTraining, out: Path) -> Training:
    """The training of the settings in a folder; one that it holds is gone on with.

    Raises `SettingError` where the settings name no micrographs, `CryopickError` where none can be read.
    """
    if settings.disk is None:
        raise SettingError("the published transformer learns from labelled micrographs; name their folder instead of simulate")
    seed = settings.loop.seed
    fabric = launch(
        accelerator=settings.accelerator,
        devices=settings.devices,
        nodes=settings.nodes,
        precision=settings.loop.precision,
    )
    learnt, held_out = _parts(settings.disk, seed=seed)
    shown = partial(
        example_files,
        chain=settings.chain,
        denoised=settings.denoised,
        size=settings.size,
        folder=out / PICTURES,
        fabric=fabric,
    )
    taught, judged = shown(learnt), shown(held_out)
    data = DetrPictures(taught, settings.augmentation, seed=seed)
    task = DetrTask(
        build(settings),
        judged,
        loss=settings.loss,
        backbone_rate=settings.backbone_rate,
        batch=settings.loop.batch,
    )
    source = Path(settings.disk.data).name
    about = {"seen": [f"{len(taught)} micrographs of {source}"], "held_out": [f"{len(judged)} micrographs of {source}"]}
    describe = partial(_card, settings, about)
    return Training(task, data, settings.loop, fabric=fabric, out=out, settings=settings, describe=describe)


def _card(settings: DetrTraining, data: dict[str, list[str]], _: nn.Module, best: float) -> Card:
    return Card(
        ARCHITECTURE,
        settings.network,
        source=f"cryopick {__version__} train transformer",
        input=asdict(settings.size),
        data=data,
        metrics={"f1_held_out": round(best, 4)},
        notes=f"steps {settings.loop.steps}, batch {settings.loop.batch}; augmentation {asdict(settings.augmentation)}",
    )


def build(settings: DetrTraining) -> Detr:
    """The network before training: random numbers of the loop's seed, and the backbone's weights where there are some.

    Raises `FileError` for a file that does not hold them.
    """
    torch.manual_seed(settings.loop.seed)
    model = Detr(
        settings.depth,
        backbone_width=settings.backbone_width,
        queries=settings.queries,
        width=settings.width,
        heads=settings.heads,
        feedforward=settings.feedforward,
        layers=settings.layers,
        dropout=settings.dropout,
    )
    if settings.backbone is not None:
        path = Path(settings.backbone).expanduser()
        state = {
            key: values
            for key, values in read_state(path)[0].items()
            if not key.startswith(CLASSIFIER) and not key.endswith("num_batches_tracked")
        }
        fit(model.get_submodule("backbone.0.body"), state, path)
    return model


def _parts(disk: DiskSettings, *, seed: int) -> tuple[Sequence[LabelledMicrograph], Sequence[LabelledMicrograph]]:
    """Micrographs to learn from, and others: as COCO files part them where there are such, else at random."""
    files = [Path(disk.data) / name for name in ("train.json", "val.json")]
    if not all(path.is_file() for path in files):
        parts = find_parts(disk, seed=seed)
        return parts.learnt, parts.held_out
    learnt, held_out = (find_labelled(path, diameter=disk.diameter, pixel_size=disk.pixel_size) for path in files)
    tell_skipped((*learnt.skipped, *held_out.skipped))
    return learnt.micrographs, held_out.micrographs


TRANSFORMER_PAPER = Recipe(DetrTraining, prepare_detr)
