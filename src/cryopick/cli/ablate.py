"""`cryopick ablate`: variants of the published systems, trained and compared."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cryopick.cli.arguments import PicksOfData, PixelSize, Settings, Simulate, TruthDiameter, data_or_simulate
from cryopick.cli.console import Progress, say, warn
from cryopick.cli.extras import require

if TYPE_CHECKING:
    from cryopick.train.ablation.variants import Variant
    from cryopick.train.recipe import TrainingRun


def ablate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="System: cryosegnet (levels, gates, stages) or cryotransformer (backbones, denoised or raw images).",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the results; unfinished trainings there are resumed.")],
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA", help="Folder of labelled micrographs, or file of picks that names them.", show_default=False
        ),
    ] = None,
    simulate: Simulate = False,
    words: Settings = None,
    preset: Annotated[
        str, typer.Option(metavar="NAME", help="Preset: small (minutes on two cores) or full (published sizes; needs a GPU).")
    ] = "small",
    picks: PicksOfData = None,
    diameter: TruthDiameter = None,
    pixel_size: PixelSize = None,
) -> None:
    """Train and compare variants of a published system.

    The results are OUT/table.csv, table.md and table.png. Give either DATA or --simulate. Run the same command again to resume.
    """
    data_or_simulate(data, simulate)
    require("train", "cryopick ablate")
    from dataclasses import asdict

    from cryopick.config import load_preset, parse_words, resolve
    from cryopick.errors import FileError
    from cryopick.train.ablation.variants import STUDIES, resolve_study, run_ablation, simulated_data
    from cryopick.train.data.splits import DiskSettings

    model, notice = resolve_study(model)
    if notice is not None:
        warn(notice)
    study = STUDIES.get(model)
    settings = resolve(study.settings, load_preset(f"ablate-{model}", preset), parse_words(words or []))
    if data is None:
        disk = simulated_data(settings.simulated, out, seed=settings.seed)
    elif not Path(data).exists():
        raise FileError(Path(data), "does not exist", "Check the path")
    else:
        disk = DiskSettings(data, None if picks is None else str(picks), diameter, pixel_size)
    ablation = study.plan(settings, disk)
    with ExitStack() as stack:
        recorded = {**asdict(settings), "disk": asdict(disk)}
        run_ablation(ablation, out, recorded, on_variant=lambda variant, training: _shown(stack, variant, training))
    say((out / "table.md").read_text().rstrip("\n"))
    say(f"{out / 'table.csv'}, {out / 'table.png'}")


def _shown(stack: ExitStack, variant: "Variant", training: "TrainingRun") -> Callable[[int, Mapping[str, float]], Any]:
    """Show the progress of a variant's training in place of the previous one."""
    stack.close()
    progress = stack.enter_context(Progress(variant.name))
    progress.start(total=training.steps, done=training.trainer.step)
    return progress.step
