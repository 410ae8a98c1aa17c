"""Ablations of a published system: train every variant, resuming where an earlier run stopped, and tabulate the results."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryopick.files import folders_released, write_text
from cryopick.io.datasets.cryoppp import DatasetFolder
from cryopick.models.checkpoints import read_state
from cryopick.provenance import record_run
from cryopick.registry import Registry
from cryopick.simulate.dataset import DatasetSpec, DatasetWriter
from cryopick.simulate.micrograph import micrograph_name
from cryopick.train.ablation.table import Row, TableLayout, draw_table, write_table
from cryopick.train.data.splits import DiskSettings
from cryopick.train.loop import OnStep
from cryopick.train.recipe import WEIGHTS, TrainingRun, hold_for_training
from cryopick.train.recipes.cryosegnet import SimulatedSet

logger = logging.getLogger(__name__)
RUNS, DATA, ROWS = "runs", "data", "rows.json"


@dataclass(frozen=True, eq=False)
class Variant:
    """One training of an ablation.

    Attributes
    ----------
    name : name of its folder.
    prepare : makes the training run in its folder.
    evaluate : makes its rows of the table from the folder of the trained weights.
    """

    name: str
    prepare: Callable[[Path], TrainingRun]
    evaluate: Callable[[Path], list[Row]]


@dataclass(frozen=True, eq=False)
class Ablation:
    """The variants of an ablation, and the layout of its chart."""

    variants: Sequence[Variant]
    layout: TableLayout


@dataclass(frozen=True)
class AblationStudy:
    """An ablation for `cryopick ablate`.

    Attributes
    ----------
    settings : dataclass of its settings; presets are named ``ablate-MODEL``.
    plan : makes the ablation from settings and labelled micrographs.
    """

    settings: type[Any]
    plan: Callable[[Any, DiskSettings], Ablation]


STUDIES: Registry[AblationStudy] = Registry(
    "model with an ablation",
    {
        "cryosegnet": "cryopick.train.ablation.cryosegnet:STUDY",
        "cryotransformer": "cryopick.train.ablation.cryotransformer:STUDY",
    },
)
"""Ablations by the name of the model."""
FORMER_STUDIES = {"segnet": "cryosegnet", "transformer": "cryotransformer"}
"""Current names of models by former names, which are accepted for one version."""


def resolve_study(name: str) -> tuple[str, str | None]:
    """Return the current name of an ablation's model, and a notice if `name` is deprecated; unknown names stay unchanged."""
    if name not in FORMER_STUDIES:
        return name, None
    model = FORMER_STUDIES[name]
    return model, f"`cryopick ablate {name}` is deprecated; write `cryopick ablate {model}`"


@folders_released()
def run_ablation(
    ablation: Ablation,
    out: Path,
    settings: Mapping[str, Any],
    *,
    on_variant: Callable[[Variant, TrainingRun], OnStep] | None = None,
) -> list[Row]:
    """Train the unfinished variants, and return the rows of all.

    The table is written to ``table.csv``, ``table.md`` and ``table.png`` in `out` after each variant. `settings` are all settings
    that determine it, including the data. `on_variant` is called when a training starts or resumes, and returns the
    function to call after each of its steps. Raises `SettingError`, which names them, if `out` holds a table with other settings.
    """
    hold_for_training(out)
    record_run(out, settings, command="ablate", resumed=(out / RUNS).exists())
    rows: list[Row] = []
    for variant in ablation.variants:
        folder = out / RUNS / variant.name
        rows_file = folder / ROWS
        if not rows_file.exists():
            training = variant.prepare(folder)
            training.run(on_step=None if on_variant is None else on_variant(variant, training))
            write_text(rows_file, json.dumps(variant.evaluate(folder)))
        rows += json.loads(rows_file.read_text())
        write_table(rows, out)
        draw_table(rows, ablation.layout, out / "table.png")
    return rows


def million_parameters(folder: Path) -> float:
    """Return the number of values in the weights of a run, in millions."""
    return sum(tensor.numel() for tensor in read_state(folder / WEIGHTS)[0].values()) / 1e6


def simulated_data(settings: SimulatedSet, out: Path, *, seed: int) -> DiskSettings:
    """Simulate labelled micrographs in a folder of `out`, except those that exist, and return the settings to train on them."""
    folder = out / DATA
    writer = DatasetWriter(folder, DatasetSpec(seed, settings.size, settings.pixel_size, settings.settings))
    total = settings.micrographs + settings.held_out
    for index in range(total):
        last = DatasetFolder(folder).ground_truth / "cover" / Path(micrograph_name(seed, index)).with_suffix(".png")
        if not last.exists():
            writer(index)
    logger.info("%d simulated micrographs in %s", total, folder)
    return DiskSettings(str(folder), held_out=settings.held_out / total, max_held_out=settings.held_out)
