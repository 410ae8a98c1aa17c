"""Training of the compact U-Net on simulated crops or labelled micrographs."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cryopick import __version__
from cryopick.errors import SettingError
from cryopick.models.attention_unet import AttentionUNet
from cryopick.models.weights import Card
from cryopick.pickers.unet import ARCHITECTURE
from cryopick.randomness import generator
from cryopick.simulate.crops import Crops, StructureBank, random_structures, structure_bank
from cryopick.simulate.settings import SimulationSettings
from cryopick.simulate.structure_files import read_structure, structure_paths
from cryopick.train.calibration import fit_platt
from cryopick.train.data.crops import LabelledCrops, MixedBatches, held_out_crops, jittered_diameters
from cryopick.train.data.splits import PREPARED, DiskSettings, load_split, prepare_shared
from cryopick.train.data.targets import MAPS, CropSettings
from cryopick.train.launch import Accelerator, launch
from cryopick.train.loop import BatchSource, LoopSettings, require_at_least_one
from cryopick.train.recipe import TrainingRecipe, TrainingRun, load_initial_weights
from cryopick.train.tasks.unet import VALIDATION_BATCH, SimulatedCrops, UNetTask, evaluate_peaks, simulate_held_out

INITIAL_BIAS = (-3.0, -1.0, -2.0)
"""Initial logits of the three maps: most pixels are not centres, many not particles, few are junk."""
MIN_LOGIT = -5.0
"""Peaks below this logit take no part in the calibration."""
HARD_NEGATIVE_SIMULATION = SimulationSettings(
    empty=0.5,
    dense=0.0,
    coverage=(0.01, 0.15),
    contrast=(0.7, 1.5),
    carbon=0.6,
    contamination=2.0,
    crystalline=0.4,
    gold=0.3,
    filaments=0.3,
    aggregates=2.0,
)
"""Few faint particles, or none, among many other objects."""
HELD_OUT_SIDE = 192
"""Side of the held-out crops [px]."""


@dataclass(frozen=True)
class HardNegatives:
    """Crops with few particles and many similar objects, as a `share` of each batch."""

    share: float = 0.0
    simulation: SimulationSettings = field(default_factory=lambda: HARD_NEGATIVE_SIMULATION)


@dataclass(frozen=True)
class UNetTraining:
    """Settings of the training of the compact U-Net.

    Attributes
    ----------
    width, levels : of the attention-gated U-Net.
    particle_px : particle diameter to which pickers scale micrographs [px].
    structures : number of random proteins in the training crops.
    held_out_structures, held_out_crops : numbers of other random proteins, and of crops of them, for validation.
    structure_files : files or folders of atomic models and maps to simulate too; never used for validation.
    file_share : share of the crops that show one of these.
    negatives : hard negatives in each batch.
    init : file or name of initial weights, of the same width and levels.
    disk : labelled micrographs to train on instead of simulated ones.
    accelerator, devices, nodes : device type, as Fabric names it, number of devices per node, and number of nodes.
    crop : settings of the crops and of the losses.
    loop : settings of the optimisation.
    """

    width: int = 16
    levels: int = 4
    particle_px: float = 14.0
    structures: int = 2000
    held_out_structures: int = 64
    held_out_crops: int = 96
    structure_files: str | tuple[str, ...] = ()
    file_share: float = 0.25
    negatives: HardNegatives = field(default_factory=HardNegatives)
    init: str | None = None
    disk: DiskSettings | None = None
    accelerator: Accelerator = "auto"
    devices: int = 1
    nodes: int = 1
    crop: CropSettings = field(default_factory=CropSettings)
    loop: LoopSettings = field(default_factory=LoopSettings)

    def __post_init__(self) -> None:
        require_at_least_one(self, "structures", "held_out_structures", "held_out_crops", "devices", "nodes")
        if self.particle_px <= 0:
            raise SettingError(f"particle_px must be positive, got {self.particle_px}")
        if not 0 < self.file_share < 1:
            raise SettingError(f"file_share must be in (0, 1), got {self.file_share}")
        if not 0 <= self.negatives.share < 1:
            raise SettingError(f"negatives.share must be in [0, 1), got {self.negatives.share}")
        if self.accelerator == "cuda" and not torch.cuda.is_available():
            raise SettingError("accelerator is cuda, but this machine has no CUDA device; use accelerator=auto")


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Training batches, held-out crops, and the names of their data; `images` as for `UNetTask`."""

    batches: BatchSource
    held_out: Crops
    seen: list[str]
    held_out_names: list[str]
    images: Tensor | None = None


def prepare_unet(settings: UNetTraining, out: Path) -> TrainingRun:
    """Prepare training on simulated crops or labelled micrographs; resumes the run in `out` if there is one."""
    fabric = launch(
        accelerator=settings.accelerator, devices=settings.devices, nodes=settings.nodes, precision=settings.loop.precision
    )
    data = _simulated(settings, fabric.device) if settings.disk is None else _labelled(settings, settings.disk, fabric, out)
    task = UNetTask(_network(settings), settings.crop, data.held_out, images=data.images)

    def describe(model: nn.Module, best: float) -> Card:
        calibration = calibrate(model, task.images, data.held_out, spacing=settings.crop.spacing)
        return _card(settings, data, best, calibration)

    return TrainingRun(task, data.batches, settings.loop, fabric=fabric, out=out, settings=settings, describe=describe)


def calibrate(model: nn.Module, images: Tensor, crops: Crops, *, spacing: float) -> tuple[float, float]:
    """Fit slope and offset of the logits of centres, see `fit_platt`, on crops as input of the network (b, 1, h, w)."""
    with torch.inference_mode():
        logits = torch.cat([model(part)[:, 0].float() for part in torch.split(images, VALIDATION_BATCH)]).numpy()
    heights, right = evaluate_peaks(logits, crops, spacing=spacing, threshold=MIN_LOGIT)
    return fit_platt(heights, right)


def _network(settings: UNetTraining) -> nn.Module:
    torch.manual_seed(settings.loop.seed)
    model = AttentionUNet(settings.width, settings.levels, len(MAPS))
    if settings.init is None:
        model.output.bias = nn.Parameter(torch.tensor(INITIAL_BIAS))
    else:
        load_initial_weights(model, settings.init, architecture=ARCHITECTURE)
    channels_last: nn.Module = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return channels_last


def _simulated(settings: UNetTraining, device: torch.device) -> TrainingData:
    """Make simulated crops; held-out ones show random proteins of another seed, at the size to which pickers scale."""
    bank, seen = training_structures(settings, device)
    held_out = simulate_held_out(
        structures=settings.held_out_structures,
        crops=settings.held_out_crops,
        size=HELD_OUT_SIDE,
        particle_px=settings.particle_px,
        simulation=settings.crop.simulation,
        seed=settings.loop.seed,
        stream="held out",
    )
    return TrainingData(_simulated_crops(settings, bank), held_out, seen, ["random proteins of another seed"])


def _simulated_crops(settings: UNetTraining, bank: StructureBank) -> BatchSource:
    seed, negatives = settings.loop.seed, settings.negatives
    crops = SimulatedCrops(bank, settings.crop, seed=seed)
    if negatives.share == 0:
        return crops
    hard = replace(settings.crop, simulation=negatives.simulation)
    other_seed = int(generator(seed, "negatives").integers(2**31))
    return MixedBatches(SimulatedCrops(bank, hard, seed=other_seed), crops, share=negatives.share)


def training_structures(settings: UNetTraining, device: torch.device) -> tuple[StructureBank, list[str]]:
    """Return structures to train on, with those of files repeated to make up their share, and descriptions of them."""
    structures = random_structures(settings.structures, seed=settings.loop.seed)
    names = [f"{settings.structures} random proteins, simulated"]
    given = settings.structure_files
    folders = (given,) if isinstance(given, str) else given
    files = [read_structure(path) for folder in folders for path in structure_paths(folder)]
    if files:
        repeated = settings.file_share / (1 - settings.file_share) * len(structures)
        structures += files * max(1, round(repeated / len(files)))
        names += [structure.name for structure in files]
    return structure_bank(structures, device=device), names


def _labelled(settings: UNetTraining, disk: DiskSettings, fabric: Any, out: Path) -> TrainingData:
    """Make crops of labelled micrographs; held-out ones tile whole micrographs."""
    seed, crop, folder = settings.loop.seed, settings.crop, out / PREPARED
    split = load_split(disk, seed=seed)
    sizes = jittered_diameters(crop.diameter_px)
    training = prepare_shared(split.training, sizes, fabric=fabric, folder=folder, settings=disk)
    held_out = prepare_shared(split.held_out, [settings.particle_px], fabric=fabric, folder=folder, settings=disk)
    crops = held_out_crops(held_out, size=HELD_OUT_SIDE, border=split.border)
    batches: BatchSource = LabelledCrops(training, crop, seed=seed, border=split.border, device=fabric.device)
    seen = [each.labelled.source.name for each in training]
    if disk.simulated > 0:
        bank, names = training_structures(settings, fabric.device)
        batches = MixedBatches(batches, _simulated_crops(settings, bank), share=1 - disk.simulated)
        seen += names
    return TrainingData(batches, crops, seen, [each.labelled.source.name for each in held_out], crops.pixels[:, None])


def _card(settings: UNetTraining, data: TrainingData, best: float, calibration: tuple[float, float]) -> Card:
    return Card(
        ARCHITECTURE,
        {"width": settings.width, "levels": settings.levels, "maps": len(MAPS)},
        source=f"cryopick {__version__} train unet {'simulate' if settings.disk is None else settings.disk.data}",
        licence="MIT" if settings.disk is None else "",
        input={
            "particle_px": settings.particle_px,
            "trained_px": list(settings.crop.diameter_px),
            "centre": settings.crop.centre_radius,
            "calibration": [round(value, 4) for value in calibration],
        },
        data={"seen": data.seen, "held_out": data.held_out_names},
        metrics={"f1_held_out": round(best, 4)},
        notes=f"steps {settings.loop.steps}, batch {settings.loop.batch}; crop {asdict(settings.crop)}",
    )


UNET = TrainingRecipe(UNetTraining, prepare_unet)
