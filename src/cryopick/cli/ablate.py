"""`cryopick ablate`: what the parts of the published systems are worth, as a table and a picture."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

    from cryopick.train.ablation.variants import Variant
    from cryopick.train.recipe import TrainingRun

SIMULATE = "simulate"


def ablate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="cryosegnet (levels, gates, stages) or cryotransformer (backbones, denoised or raw)."
        ),
    ],
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="The word simulate, or labelled micrographs as for `cryopick train`.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the table; one that is not finished is gone on with.")],
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings, such as training.loop.steps=500.", show_default=False),
    ] = None,
    preset: Annotated[
        str, typer.Option(help="small (minutes on two cores) or full (the published sizes; needs a GPU).")
    ] = "small",
    picks: Annotated[Path | None, typer.Option(help="File or folder of picks, where DATA has micrographs alone.")] = None,
    diameter: Annotated[float | None, typer.Option(help="Particle diameter in Å, where the picks do not tell it.")] = None,
    pixel_size: Annotated[float | None, typer.Option(help="Å per pixel; wins over what the files say.")] = None,
) -> None:
    """Train the variants of a published system.

    The results are OUT/table.csv, table.md and table.png.

    Run the same command again to go on where a run was stopped.
    """
    from dataclasses import asdict

    from cryopick.config import load_preset, parse_words, resolve
    from cryopick.errors import FileError
    from cryopick.train.ablation.variants import STUDIES, resolve_study, run_ablation, simulated_data
    from cryopick.train.data.splits import DiskSettings

    model, notice = resolve_study(model)
    if notice is not None:
        typer.echo(notice, err=True)
    study = STUDIES.get(model)
    settings = resolve(study.settings, load_preset(f"ablate-{model}", preset), parse_words(words or []))
    if data == SIMULATE:
        disk = simulated_data(settings.simulated, out, seed=settings.seed)
    elif not Path(data).exists():
        raise FileError(Path(data), "does not exist", f"Check the path, or write {SIMULATE}")
    else:
        disk = DiskSettings(data, None if picks is None else str(picks), diameter, pixel_size)
    ablation = study.plan(settings, disk)
    with _progress() as bar:
        recorded = {**asdict(settings), "disk": asdict(disk)}
        run_ablation(ablation, out, recorded, on_variant=lambda variant, training: _shown(bar, variant, training))
    typer.echo((out / "table.md").read_text(), nl=False)
    typer.echo(f"{out / 'table.csv'}, {out / 'table.png'}")


def _progress() -> "Progress":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[loss]}"))
    return Progress(*columns, TimeRemainingColumn())


def _shown(bar: "Progress", variant: "Variant", training: "TrainingRun") -> Callable[[int, Mapping[str, float]], Any]:
    """A line of the progress bar for a training; gives back what brings it forward."""
    task = bar.add_task(variant.name, total=training.steps, completed=training.trainer.step, loss="")
    return lambda step, losses: bar.update(task, completed=step, loss=f"loss {losses['loss']:.3f}")
