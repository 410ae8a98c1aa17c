"""`cryopick finetune`: weights made fit for a user's own micrographs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from cryopick.train.data.labelled import Skipped
    from cryopick.train.finetune.held_out import HeldOutScores
    from cryopick.train.finetune.self_training import SelfTrainingResult
    from cryopick.train.finetune.supervised import FinetuneSettings, OnStep

NAMED = 10


def finetune(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA [TRUTH] [KEY=VALUE]...",
            help="Micrographs (a folder, a pattern, a STAR, a data set with its labels, or a file of picks that names them), "
            "their picks in any format, and settings such as loop.steps=300.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the run; one with an unfinished run is gone on with.")],
    weights: Annotated[str, typer.Option(help="File or name of the weights to start from.")] = "segnet",
    diameter: Annotated[
        float | None, typer.Option(help="Particle diameter in Å (pixels without a pixel size); the picks' own by default.")
    ] = None,
    pixel_size: Annotated[float | None, typer.Option(help="Å per pixel; wins over what the files say.")] = None,
    format_truth: Annotated[
        str | None, typer.Option("--format", help="Format of the picks, when their content does not tell.")
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial/--complete", help="Whether particles may be missing among the picks, or none is.")
    ] = False,
    pseudo_labels: Annotated[
        bool, typer.Option("--pseudo-labels", help="Learn from the weights' own sure picks; TRUTH only measures.")
    ] = False,
    rounds: Annotated[int, typer.Option(min=1, help="With --pseudo-labels: how often to pick and learn.")] = 1,
) -> None:
    """Fit the picker to your particles, picked by hand on a few.

    The weights are OUT/weights.safetensors: `cryopick pick … --picker segnet --weights OUT/weights.safetensors`. Where they would
    be no better than before, they are those that were started from. Run the same command again to go on where it was stopped.
    """
    from cryopick.config import parse_words, resolve
    from cryopick.train.finetune.supervised import FinetuneSettings

    data, truth, words = _sorted_out(inputs)
    named = {"weights": weights, "labels": "partial" if partial else "complete"}
    settings = resolve(FinetuneSettings, named, parse_words(words))
    about = {"diameter": diameter, "pixel_size": pixel_size, "format": format_truth}
    if pseudo_labels:
        _teach_itself(data, truth, settings, out, rounds, about)
    else:
        _learn(data, truth, settings, out, about)


def _sorted_out(inputs: list[str]) -> tuple[str, str | None, list[str]]:
    """DATA, TRUTH and the settings; a word with "=" that is no file is a setting."""
    from cryopick.errors import SettingError

    words = [each for each in inputs if "=" in each and not Path(each).exists()]
    paths = [each for each in inputs if each not in words]
    if not 1 <= len(paths) <= 2:
        raise SettingError(f"give DATA, and TRUTH where it has no picks of its own, not {len(paths)} paths: {' '.join(paths)}")
    return paths[0], paths[1] if len(paths) == 2 else None, words


def _learn(data: str, truth: str | None, settings: "FinetuneSettings", out: Path, about: dict[str, Any]) -> None:
    from cryopick.train.data.labelled import find_labelled
    from cryopick.train.finetune.supervised import finetune_unet

    found = find_labelled(data, truth, **about)
    particles = sum(len(one.truth) for one in found.micrographs)
    typer.echo(f"{_count(particles, 'particle')} on {_count(len(found.micrographs), 'micrograph')}")
    with _bar(settings.loop.steps) as on_step:
        outcome = finetune_unet(found, settings, out, on_step=on_step)
    _tell_skipped(outcome.skipped)
    typer.echo(f"learnt from {_listed(outcome.trained)}; measured on {_listed(outcome.held_out)}")
    if settings.labels == "partial":
        typer.echo(
            "particles may be missing among the labels: their recall, with as many picks as before and on average with fewer"
        )
    _tell_measured(outcome.before, outcome.after)
    if outcome.better:
        typer.echo(f"tuned weights: {outcome.weights}")
    else:
        typer.echo(f"not better than the weights to start from, which are kept: {outcome.weights}")


def _teach_itself(
    data: str, truth: str | None, settings: "FinetuneSettings", out: Path, rounds: int, about: dict[str, Any]
) -> None:
    from dataclasses import replace

    from cryopick.errors import SettingError
    from cryopick.io.micrographs.sources import find_micrographs
    from cryopick.train.data.labelled import DEFAULT_BORDER, find_labelled, label_border
    from cryopick.train.finetune.self_training import self_train, unlabelled

    if truth is None:
        if about["diameter"] is None:
            raise SettingError("--pseudo-labels needs --diameter; `cryopick pick` tells its estimate when it is given none")
        micrographs, skipped = unlabelled(find_micrographs(data, pixel_size=about["pixel_size"]), diameter=about["diameter"])
        known, border = None, DEFAULT_BORDER
    else:
        found = find_labelled(data, truth, **about)
        micrographs, skipped = list(found.micrographs), list(found.skipped)
        known, border = {one.source.name: one.truth for one in micrographs}, label_border(micrographs)
    _tell_skipped(skipped)
    for number in range(1, rounds + 1):
        folder = out if rounds == 1 else out / f"round{number}"
        with _bar(settings.loop.steps) as on_step:
            outcome = self_train(micrographs, settings, folder, truth=known, border=border, on_step=on_step)
        _tell_round(outcome, number)
        settings = replace(settings, weights=str(outcome.weights))
        if not outcome.better:
            break
    if rounds > 1:
        from cryopick.files import write_bytes

        write_bytes(out / outcome.weights.name, outcome.weights.read_bytes())
    typer.echo(f"weights: {out / outcome.weights.name}")


def _tell_round(outcome: "SelfTrainingResult", number: int) -> None:
    _tell_skipped(outcome.skipped)
    before, after, both = outcome.picks
    typer.echo(
        f"round {number}: learnt from {_count(outcome.labels, 'sure pick')}, {outcome.uncertain} doubtful ones left alone; "
        f"{before} picks before, {after} after, {both} of them in both"
    )
    typer.echo(f"F1 on simulated crops {outcome.simulated[0]:.3f} before, {outcome.simulated[1]:.3f} after")
    if outcome.measured is not None:
        _tell_measured(*outcome.measured)
    else:
        typer.echo("without labels nobody can tell which picks are better: look at some of them")
    if not outcome.better:
        typer.echo("too much was forgotten: the weights to start from are kept")


def _tell_measured(before: "HeldOutScores", after: "HeldOutScores") -> None:
    for when, one in (("before", before), ("after", after)):
        rest = f", on average {one.mean_recall:.3f}" if one.f1 is None else f", precision {one.precision:.3f}, F1 {one.f1:.3f}"
        typer.echo(f"{when:>6}: {one.picks} picks, recall {one.recall:.3f}{rest}")


def _tell_skipped(skipped: "list[Skipped]") -> None:
    for one in skipped[:NAMED]:
        typer.echo(f"left out: {one}", err=True)
    if len(skipped) > NAMED:
        typer.echo(f"left out: {len(skipped) - NAMED} more", err=True)


@contextmanager
def _bar(steps: int) -> "Iterator[OnStep]":
    """A progress bar over the steps; gives what a training calls after each."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[loss]}"), TimeRemainingColumn(), TextColumn("left"))
    with Progress(*columns) as progress:
        task = progress.add_task("training", total=steps, loss="")
        yield lambda step, losses: progress.update(task, completed=step, loss=f"loss {losses['loss']:.3f}")


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
