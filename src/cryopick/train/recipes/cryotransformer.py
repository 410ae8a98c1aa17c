"""Training of CryoTransformer as published (Dhakal et al. 2024) on whole labelled micrographs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import nn

from cryopick import __version__
from cryopick.errors import SettingError
from cryopick.io.datasets.cryoppp import LabelledMicrograph
from cryopick.messages import counted
from cryopick.models.checkpoints import read_state
from cryopick.models.detr import Detr
from cryopick.models.resnet import Depth
from cryopick.models.weights import Card, fit
from cryopick.pickers.cryotransformer import ARCHITECTURE, InputSize
from cryopick.preprocess.published import PublishedChain
from cryopick.train.data.cryotransformer_examples import prepare_examples
from cryopick.train.data.detr_augment import DetrAugmentation
from cryopick.train.data.labelled import find_labelled
from cryopick.train.data.splits import PREPARED, DiskSettings, load_split, log_skipped
from cryopick.train.launch import Accelerator, launch
from cryopick.train.loop import LoopSettings, require_at_least_one
from cryopick.train.losses import DetrLoss
from cryopick.train.recipe import TrainingRecipe, TrainingRun
from cryopick.train.tasks.cryotransformer import AugmentedExamples, CryoTransformerTask

CLASSIFIER = "fc."
"""Prefix of the weights of ImageNet's classifier, which are not used."""


@dataclass(frozen=True)
class CryoTransformerTraining:
    """Settings of the training of CryoTransformer; the defaults are the published network and learning rates.

    Attributes
    ----------
    disk : labelled micrographs. A folder written by `cryopick dataset coco` is split according to its files.
    denoised : whether the micrographs have been through the denoising chain.
    chain : settings of the chain, if not.
    depth, backbone_width : of the ResNet.
    queries, width, heads, feedforward, layers, dropout : of the transformer.
    backbone : file of ImageNet weights of the ResNet, with torchvision's names; None starts from random ones.
    backbone_rate : learning rate of the ResNet.
    size : of the input.
    augmentation : of the training images.
    loss : weights of the loss; `label` 1 repeats the released annotations, with which the classifier cannot be trained.
    accelerator, devices, nodes : device type, as Fabric names it, number of devices per node, and number of nodes.
    loop : settings of the optimisation.
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
        require_at_least_one(self, "backbone_width", "queries", "heads", "feedforward", "layers", "devices", "nodes")
        if self.width < 1 or self.width % 4 or self.width % self.heads:
            raise SettingError(f"width must be a multiple of 4 and of heads ({self.heads}), got {self.width}")

    @property
    def network(self) -> dict[str, int | float]:
        """Arguments of `Detr`."""
        names = ("depth", "backbone_width", "queries", "width", "heads", "feedforward", "layers", "dropout")
        return {name: getattr(self, name) for name in names}


def prepare_cryotransformer(settings: CryoTransformerTraining, out: Path) -> TrainingRun:
    """Prepare training on whole micrographs; resumes the run in `out` if there is one.

    Raises `SettingError` if no micrographs are given, and `CryopickError` if none can be read.
    """
    if settings.disk is None:
        raise SettingError("cryotransformer is trained only on labelled micrographs; give their folder instead of --simulate")
    seed = settings.loop.seed
    fabric = launch(
        accelerator=settings.accelerator,
        devices=settings.devices,
        nodes=settings.nodes,
        precision=settings.loop.precision,
    )
    training, held_out = _split(settings.disk, seed=seed)
    prepare = partial(
        prepare_examples,
        chain=settings.chain,
        denoised=settings.denoised,
        size=settings.size,
        folder=out / PREPARED,
        fabric=fabric,
    )
    seen, unseen = prepare(training), prepare(held_out)
    data = AugmentedExamples(seen, settings.augmentation, seed=seed)
    task = CryoTransformerTask(
        build_network(settings),
        unseen,
        loss=settings.loss,
        backbone_rate=settings.backbone_rate,
        batch=settings.loop.batch,
    )
    source = Path(settings.disk.data).name
    sets = {"seen": seen, "held_out": unseen}
    names = {name: [f"{counted(len(some), 'micrograph')} of {source}"] for name, some in sets.items()}
    describe = partial(_card, settings, names)
    return TrainingRun(task, data, settings.loop, fabric=fabric, out=out, settings=settings, describe=describe)


def _card(settings: CryoTransformerTraining, data: dict[str, list[str]], _: nn.Module, best: float) -> Card:
    return Card(
        ARCHITECTURE,
        settings.network,
        source=f"cryopick {__version__} train cryotransformer",
        input=asdict(settings.size),
        data=data,
        metrics={"f1_held_out": round(best, 4)},
        notes=f"steps {settings.loop.steps}, batch {settings.loop.batch}; augmentation {asdict(settings.augmentation)}",
    )


def build_network(settings: CryoTransformerTraining) -> Detr:
    """Make the network before training: random weights of the seed, and those of the `backbone` if it is given.

    Raises `FileError` for another file.
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


def _split(disk: DiskSettings, *, seed: int) -> tuple[Sequence[LabelledMicrograph], Sequence[LabelledMicrograph]]:
    """Split micrographs into training and held-out ones, according to COCO files if there are any, else at random."""
    files = [Path(disk.data) / name for name in ("train.json", "val.json")]
    if not all(path.is_file() for path in files):
        split = load_split(disk, seed=seed)
        return split.training, split.held_out
    training, held_out = (find_labelled(path, diameter=disk.diameter, pixel_size=disk.pixel_size) for path in files)
    log_skipped((*training.skipped, *held_out.skipped))
    return training.micrographs, held_out.micrographs


CRYOTRANSFORMER = TrainingRecipe(CryoTransformerTraining, prepare_cryotransformer)
