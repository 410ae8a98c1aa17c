"""The fast route's network, from settings to a training that is ready to run."""

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
from cryopick.simulate.crops import Crops, StructureBank, random_structures, simulate_crops, structure_bank
from cryopick.simulate.settings import SimulationSettings
from cryopick.simulate.structure_files import read_structure, structure_paths
from cryopick.train.calibration import fit_line
from cryopick.train.data.crops import LabelledCrops, Mixed, held_out_crops, jittered_diameters
from cryopick.train.data.splits import DiskSettings, find_parts, shared_lessons
from cryopick.train.data.targets import MAPS, SegnetRecipe
from cryopick.train.launch import Accelerator, launch
from cryopick.train.loop import Data, LoopSettings
from cryopick.train.recipe import Recipe, Training, start_from
from cryopick.train.tasks.unet import SegnetTask, SimulatedCrops, judged_peaks

RARE = (-3.0, -1.0, -2.0)
"""First logits of the three maps: most pixels are no centre, many no particle, few junk."""
FAINTEST = -5.0
"""Logit below which peaks are not calibrated."""
HARD = SimulationSettings(
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
"""Few faint particles, or none, among much that is none."""
HELD_OUT_SIDE = 192
PICTURES = "pictures"


@dataclass(frozen=True)
class Negatives:
    """Crops with little to find and much to mistake for it, as a share of each batch."""

    share: float = 0.0
    simulation: SimulationSettings = field(default_factory=lambda: HARD)


@dataclass(frozen=True)
class SegnetTraining:
    """How the fast route's network is trained.

    Attributes
    ----------
    width, levels : of the attention-gated U-Net.
    particle_px : the diameter in pixels that pickers scale particles to.
    structures : number of random proteins to learn from. `held_out_structures`, `held_out_crops` : others, to validate on.
    structure_files : files and folders of atomic models and maps to learn from too; `file_share` : share of the crops that
        show one of them. They are never validated on.
    negatives : hard crops beside the recipe's own.
    init : file or name of weights to start from, of the same width and levels.
    disk : labelled micrographs to learn from instead of simulated ones.
    accelerator, devices, nodes : what to train on, as Fabric names it, how many on each node, and how many nodes.
    """

    width: int = 16
    levels: int = 4
    particle_px: float = 14.0
    structures: int = 2000
    held_out_structures: int = 64
    held_out_crops: int = 96
    structure_files: str | tuple[str, ...] = ()
    file_share: float = 0.25
    negatives: Negatives = field(default_factory=Negatives)
    init: str | None = None
    disk: DiskSettings | None = None
    accelerator: Accelerator = "auto"
    devices: int = 1
    nodes: int = 1
    recipe: SegnetRecipe = field(default_factory=SegnetRecipe)
    loop: LoopSettings = field(default_factory=LoopSettings)

    def __post_init__(self) -> None:
        for name in ("structures", "held_out_structures", "held_out_crops", "devices", "nodes"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.particle_px <= 0:
            raise SettingError(f"particle_px must be above 0, not {self.particle_px}")
        if not 0 < self.file_share < 1:
            raise SettingError(f"file_share must lie between 0 and 1, not be {self.file_share}")
        if not 0 <= self.negatives.share < 1:
            raise SettingError(f"negatives.share must be at least 0 and below 1, not {self.negatives.share}")
        if self.accelerator == "cuda" and not torch.cuda.is_available():
            raise SettingError("accelerator is cuda, but this machine has no CUDA; write accelerator=auto")


@dataclass(frozen=True, eq=False)
class Material:
    """What is learnt from and what is validated on, and their names; `pictures` as for `SegnetTask`."""

    data: Data
    held_out: Crops
    seen: list[str]
    kept_apart: list[str]
    pictures: Tensor | None = None


def prepare_segnet(settings: SegnetTraining, out: Path) -> Training:
    """A training on simulated crops or on those of labelled micrographs; a run that `out` holds is gone on with."""
    fabric = launch(
        accelerator=settings.accelerator, devices=settings.devices, nodes=settings.nodes, precision=settings.loop.precision
    )
    material = _simulated(settings, fabric.device) if settings.disk is None else _on_disk(settings, settings.disk, fabric, out)
    task = SegnetTask(_network(settings), settings.recipe, material.held_out, pictures=material.pictures)

    def describe(model: nn.Module, best: float) -> Card:
        calibration = calibrate(model, task.pictures, material.held_out, spacing=settings.recipe.spacing)
        return _card(settings, material, best, calibration)

    return Training(task, material.data, settings.loop, fabric=fabric, out=out, settings=settings, describe=describe)


def calibrate(model: nn.Module, pictures: Tensor, crops: Crops, *, spacing: float) -> tuple[float, float]:
    """Slope and offset of a centre's logit, see `fit_line`."""
    with torch.inference_mode():
        logits = torch.cat([model(part)[:, 0].float() for part in torch.split(pictures, 8)]).numpy()
    heights, right = judged_peaks(logits, crops, spacing=spacing, threshold=FAINTEST)
    return fit_line(heights, right)


def _network(settings: SegnetTraining) -> nn.Module:
    torch.manual_seed(settings.loop.seed)
    model = AttentionUNet(settings.width, settings.levels, len(MAPS))
    if settings.init is None:
        model.output.bias = nn.Parameter(torch.tensor(RARE))
    else:
        start_from(model, settings.init, architecture=ARCHITECTURE)
    channels_last: nn.Module = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return channels_last


def _simulated(settings: SegnetTraining, device: torch.device) -> Material:
    """Random proteins of another seed are validated on, at the size that pickers scale to."""
    bank, seen = structures_of(settings, device)
    held_out = simulate_crops(
        structure_bank(random_structures(settings.held_out_structures, seed=settings.loop.seed + 1)),
        settings.held_out_crops,
        size=HELD_OUT_SIDE,
        diameter_px=(settings.particle_px, settings.particle_px),
        settings=settings.recipe.simulation,
        rng=generator(settings.loop.seed, "held out"),
    )
    return Material(_simulated_crops(settings, bank), held_out, seen, ["random proteins of another seed"])


def _simulated_crops(settings: SegnetTraining, bank: StructureBank) -> Data:
    seed, negatives = settings.loop.seed, settings.negatives
    crops = SimulatedCrops(bank, settings.recipe, seed=seed)
    if negatives.share == 0:
        return crops
    hard = replace(settings.recipe, simulation=negatives.simulation)
    other_seed = int(generator(seed, "negatives").integers(2**31))
    return Mixed(SimulatedCrops(bank, hard, seed=other_seed), crops, share=negatives.share)


def structures_of(settings: SegnetTraining, device: torch.device) -> tuple[StructureBank, list[str]]:
    """Structures to learn from, those of files as often as their share asks for, and what they are."""
    structures = random_structures(settings.structures, seed=settings.loop.seed)
    names = [f"{settings.structures} random proteins, simulated"]
    given = settings.structure_files
    folders = (given,) if isinstance(given, str) else given
    files = [read_structure(path) for folder in folders for path in structure_paths(folder)]
    if files:
        wanted = settings.file_share / (1 - settings.file_share) * len(structures)
        structures += files * max(1, round(wanted / len(files)))
        names += [structure.name for structure in files]
    return structure_bank(structures, device=device), names


def _on_disk(settings: SegnetTraining, disk: DiskSettings, fabric: Any, out: Path) -> Material:
    """Whole micrographs are validated on, cut into crops."""
    seed, recipe = settings.loop.seed, settings.recipe
    parts = find_parts(disk, seed=seed)
    sizes = jittered_diameters(recipe.diameter_px)
    lessons = shared_lessons(parts.learnt, sizes, fabric=fabric, folder=out / PICTURES, settings=disk)
    others = shared_lessons(parts.held_out, [settings.particle_px], fabric=fabric, folder=out / PICTURES, settings=disk)
    held_out = held_out_crops(others, size=HELD_OUT_SIDE, border=parts.border)
    data: Data = LabelledCrops(lessons, recipe, seed=seed, border=parts.border, device=fabric.device)
    seen = [lesson.labelled.source.name for lesson in lessons]
    if disk.simulated > 0:
        bank, names = structures_of(settings, fabric.device)
        data = Mixed(data, _simulated_crops(settings, bank), share=1 - disk.simulated)
        seen += names
    return Material(data, held_out, seen, [other.labelled.source.name for other in others], held_out.pixels[:, None])


def _card(settings: SegnetTraining, material: Material, best: float, calibration: tuple[float, float]) -> Card:
    return Card(
        ARCHITECTURE,
        {"width": settings.width, "levels": settings.levels, "maps": len(MAPS)},
        source=f"cryopick {__version__} train segnet {'simulate' if settings.disk is None else settings.disk.data}",
        licence="MIT" if settings.disk is None else "",
        input={
            "particle_px": settings.particle_px,
            "learnt_px": list(settings.recipe.diameter_px),
            "centre": settings.recipe.centre,
            "calibration": [round(value, 4) for value in calibration],
        },
        data={"seen": material.seen, "held_out": material.kept_apart},
        metrics={"f1_held_out": round(best, 4)},
        notes=f"steps {settings.loop.steps}, batch {settings.loop.batch}; recipe {asdict(settings.recipe)}",
    )


SEGNET = Recipe(SegnetTraining, prepare_segnet)
