"""`cryopick train`: training of networks."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cryopick.cli.arguments import PicksOfData, PixelSize, Settings, Simulate, TruthDiameter, data_or_simulate
from cryopick.cli.console import Progress, say, warn
from cryopick.cli.extras import require
from cryopick.messages import counted

if TYPE_CHECKING:
    from cryopick.models.weights import Card
    from cryopick.train.recipe import TrainingRecipe, TrainingRun


def train(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Network: unet, detr, cryosegnet or cryotransformer.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the run; an unfinished run there is resumed.")],
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA", help="Folder of labelled micrographs, or file of picks that names them.", show_default=False
        ),
    ] = None,
    simulate: Simulate = False,
    words: Settings = None,
    preset: Annotated[str, typer.Option(metavar="NAME", help="Preset of the settings.")] = "default",
    picks: PicksOfData = None,
    diameter: TruthDiameter = None,
    pixel_size: PixelSize = None,
    devices: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Number of GPUs, or of processes on CPUs, per node.  [default: 1]")
    ] = None,
) -> None:
    """Train a network.

    The weights are written to OUT/weights.safetensors. Give either DATA or --simulate. Run the same command again to resume.
    """
    data_or_simulate(data, simulate)
    require("train", "cryopick train")
    from cryopick.config import load_preset, parse_words, resolve
    from cryopick.train.launch import is_first_process
    from cryopick.train.recipe import RECIPES, resolve_model

    model, preset, notice = resolve_model(model, preset)
    if notice is not None and is_first_process():
        warn(notice)
    recipe = RECIPES.get(model)
    disk = {"picks": None if picks is None else str(picks), "diameter": diameter, "pixel_size": pixel_size}
    given = {"devices": devices, **_source(recipe, model, data, {key: value for key, value in disk.items() if value is not None})}
    named = {key: value for key, value in given.items() if value is not None}
    settings = resolve(recipe.settings, load_preset(f"train-{model}", preset), parse_words(words or []), named)
    training = recipe.prepare(settings, out)
    first = is_first_process()
    if first and training.trainer.step:
        say(f"resuming at step {training.trainer.step:,}")
    start = time.monotonic()
    with Progress("training", quiet=not first) as progress:
        progress.start(total=training.steps, done=training.trainer.step)
        card = training.run(on_step=progress.step)
    if first:
        _print_result(training, card, out, minutes=(time.monotonic() - start) / 60)


def _source(recipe: "TrainingRecipe", model: str, data: str | None, disk: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that name the training data."""
    from dataclasses import fields

    from cryopick.errors import FileError, SettingError

    if data is None:
        if disk:
            options = ", ".join(f"--{key.replace('_', '-')}" for key in disk)
            raise SettingError(f"{options} cannot be used with --simulate; give DATA instead")
        return {}
    if "disk" not in {field.name for field in fields(recipe.settings)}:
        raise SettingError(f"{model} is trained only on simulated micrographs; give --simulate instead of {data}")
    if not Path(data).exists():
        raise FileError(Path(data), "does not exist", "Check the path")
    return {"disk": {"data": data, **disk}}


def _print_result(training: "TrainingRun", card: "Card", out: Path, *, minutes: float) -> None:
    from cryopick.train.recipe import WEIGHTS

    trainer = training.trainer
    if trainer.step < training.steps:
        since = counted(trainer.since_best, "validation")
        say(f"stopped early at step {trainer.step:,}: no improvement in {since}")
    scores = ", ".join(f"{name} {value:.3f}" for name, value in card.metrics.items())
    say(f"{scores} on held-out data, after {minutes:.0f} min: {out / WEIGHTS}")
