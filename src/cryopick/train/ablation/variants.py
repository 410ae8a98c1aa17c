"""Tables of what the parts of a published system are worth: a training for each variant, gone on with where it was stopped."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryopick.files import write_text
from cryopick.io.datasets.cryoppp import DatasetFolder
from cryopick.provenance import record_run
from cryopick.simulate.dataset import DatasetSpec, DatasetWriter
from cryopick.simulate.micrograph import micrograph_name
from cryopick.train.ablation.table import Layout, Row, draw_table, write_table
from cryopick.train.data.splits import DiskSettings
from cryopick.train.recipe import Training
from cryopick.train.recipes.cryosegnet import SimulatedSet

logger = logging.getLogger(__name__)
RUNS, DATA, ROWS = "runs", "data", "rows.json"
OnStep = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True, eq=False)
class Variant:
    """One training of a table.

    Attributes
    ----------
    name : of its folder.
    prepare : makes the training in that folder.
    judge : the rows that it gives to the table, once its folder holds the weights.
    """

    name: str
    prepare: Callable[[Path], Training]
    judge: Callable[[Path], list[Row]]


@dataclass(frozen=True, eq=False)
class Ablation:
    """A table: its variants, and how it is drawn."""

    variants: Sequence[Variant]
    layout: Layout


@dataclass(frozen=True)
class Study:
    """An ablation that `cryopick ablate` offers.

    Attributes
    ----------
    settings : its dataclass of settings; presets are `presets/ablate-NAME-PRESET.yaml`.
    plan : makes the ablation from settings and the data.
    """

    settings: type[Any]
    plan: Callable[[Any, DiskSettings], Ablation]


def run_ablation(
    ablation: Ablation, out: Path, settings: Mapping[str, Any], *, on_variant: Callable[[Variant, Training], OnStep] | None = None
) -> list[Row]:
    """Train what is not trained yet; write ``table.csv``, ``table.md`` and ``table.png`` into `out` after each variant.

    `settings` are all that decides the table, the data included. `on_variant` is told of each training that begins or goes on,
    and gives back what is to be told of its steps. Raises `SettingError` that names what differs where `out` holds a table with
    other settings.
    """
    record_run(out, settings, command="ablate", resumed=(out / RUNS).exists())
    rows: list[Row] = []
    for variant in ablation.variants:
        folder = out / RUNS / variant.name
        done = folder / ROWS
        if not done.exists():
            training = variant.prepare(folder)
            training.run(on_step=None if on_variant is None else on_variant(variant, training))
            write_text(done, json.dumps(variant.judge(folder)))
        rows += json.loads(done.read_text())
        write_table(rows, out)
        draw_table(rows, ablation.layout, out / "table.png")
    return rows


def simulated_data(settings: SimulatedSet, out: Path, *, seed: int) -> DiskSettings:
    """Simulated micrographs with their labels in a folder of `out`, written where they are not there yet."""
    folder = out / DATA
    writer = DatasetWriter(folder, DatasetSpec(seed, settings.size, settings.pixel_size, settings.settings))
    total = settings.micrographs + settings.held_out
    for index in range(total):
        last = DatasetFolder(folder).ground_truth / "cover" / Path(micrograph_name(seed, index)).with_suffix(".png")
        if not last.exists():
            writer(index)
    logger.info("%d simulated micrographs in %s", total, folder)
    return DiskSettings(str(folder), held_out=settings.held_out / total, most_held_out=settings.held_out)
