"""`cryopick train`: weights from simulated micrographs."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from cryopick.models.weights import Card


def train(
    model: Annotated[
        Literal["segnet", "transformer"], typer.Argument(metavar="MODEL", help="What to train: segnet or transformer.")
    ],
    data: Annotated[Literal["simulate"], typer.Argument(metavar="DATA", help="What to learn from: simulate.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; one with an unfinished run is gone on with.")],
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings, such as loop.steps=20000.", show_default=False)
    ] = None,
    preset: Annotated[str, typer.Option(help="Named settings.")] = "default",
) -> None:
    """Train a network on simulated micrographs; the weights are OUT/weights.safetensors."""
    import time

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from cryopick.config import load_preset, parse_words, resolve
    from cryopick.train.recipes import WEIGHTS, SegnetTraining, train_segnet
    from cryopick.train.transformer_recipe import TransformerTraining, train_transformer

    recipes: dict[str, tuple[type[Any], Callable[..., Card]]] = {
        "segnet": (SegnetTraining, train_segnet),
        "transformer": (TransformerTraining, train_transformer),
    }
    kind, run = recipes[model]
    settings = resolve(kind, load_preset(f"train-{model}", preset), parse_words(words or []))
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[loss]}"), TimeRemainingColumn(), TextColumn("left"))
    with Progress(*columns) as bar:
        task = bar.add_task("training", total=settings.loop.steps, loss="")
        start = time.monotonic()
        card = run(
            settings, out, on_step=lambda step, losses: bar.update(task, completed=step, loss=f"loss {losses['loss']:.3f}")
        )
    minutes = (time.monotonic() - start) / 60
    typer.echo(f"F1 {card.metrics['f1_held_out']:.3f} on simulated crops held out, after {minutes:.0f} min: {out / WEIGHTS}")
