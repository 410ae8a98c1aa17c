"""`cryopick train`: weights from simulated or labelled micrographs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from cryopick.train.recipe import TrainingRecipe

SIMULATE = "simulate"


def train(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="What to train: unet, detr, cryosegnet or cryotransformer.", show_default=False)
    ],
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="What to learn from: the word simulate, a folder of labelled micrographs, or a file of picks that names them.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the run; one with an unfinished run is gone on with.")],
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings, such as loop.steps=20000.", show_default=False)
    ] = None,
    preset: Annotated[str, typer.Option(help="Named settings.")] = "default",
    picks: Annotated[Path | None, typer.Option(help="File or folder of picks, where DATA has micrographs alone.")] = None,
    diameter: Annotated[float | None, typer.Option(help="Particle diameter in Å, where the picks do not tell it.")] = None,
    pixel_size: Annotated[float | None, typer.Option(help="Å per pixel; wins over what the files say.")] = None,
    devices: Annotated[int | None, typer.Option(min=1, help="GPUs, or processes on CPUs, on each node.  [default: 1]")] = None,
) -> None:
    """Train a network; the weights are OUT/weights.safetensors.

    Run the same command again to go on where a run was stopped.
    """
    import time

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from cryopick.config import load_preset, parse_words, resolve
    from cryopick.train.launch import is_first_process
    from cryopick.train.recipe import RECIPES, WEIGHTS, resolve_model

    model, preset, notice = resolve_model(model, preset)
    if notice is not None and is_first_process():
        typer.echo(notice, err=True)
    recipe = RECIPES.get(model)
    disk = {"picks": None if picks is None else str(picks), "diameter": diameter, "pixel_size": pixel_size}
    given = {"devices": devices, **_source(recipe, model, data, {key: value for key, value in disk.items() if value is not None})}
    named = {key: value for key, value in given.items() if value is not None}
    settings = resolve(recipe.settings, load_preset(f"train-{model}", preset), parse_words(words or []), named)
    training = recipe.prepare(settings, out)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[loss]}"), TimeRemainingColumn(), TextColumn("left"))
    first = is_first_process()
    if first and training.trainer.step:
        typer.echo(f"going on from step {training.trainer.step}")
    with Progress(*columns, disable=not first) as bar:
        task = bar.add_task("training", total=training.steps, completed=training.trainer.step, loss="")
        start = time.monotonic()
        card = training.run(on_step=lambda step, losses: bar.update(task, completed=step, loss=f"loss {losses['loss']:.3f}"))
    if not first:
        return
    trainer = training.trainer
    if trainer.step < training.steps:
        typer.echo(f"stopped early at step {trainer.step}: {trainer.since_best} validations were no better than the best")
    minutes = (time.monotonic() - start) / 60
    scores = ", ".join(f"{name} {value:.3f}" for name, value in card.metrics.items())
    typer.echo(f"{scores}, on what was kept apart, after {minutes:.0f} min: {out / WEIGHTS}")


def _source(recipe: "TrainingRecipe", model: str, data: str, disk: dict[str, Any]) -> dict[str, Any]:
    """The settings that say what is learnt from."""
    from dataclasses import fields

    from cryopick.errors import FileError, SettingError

    if data == SIMULATE:
        if disk:
            raise SettingError(f"{', '.join(disk)}: of labelled micrographs only; name their folder instead of {SIMULATE}")
        return {}
    if "disk" not in {field.name for field in fields(recipe.settings)}:
        raise SettingError(f"{model} learns from simulated micrographs only; write {SIMULATE} instead of {data}")
    if not Path(data).exists():
        raise FileError(Path(data), "does not exist", f"Check the path, or write {SIMULATE}")
    return {"disk": {"data": data, **disk}}
