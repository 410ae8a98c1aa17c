"""`cryopick finetune`: training on a user's own micrographs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cryopick.cli.arguments import Diameter, Downsample, PixelSize, ReadFormat, Settings
from cryopick.cli.console import Progress, say, warn_skipped
from cryopick.cli.extras import require
from cryopick.messages import counted, listed

if TYPE_CHECKING:
    from cryopick.train.finetune.held_out import HeldOutScores
    from cryopick.train.finetune.self_training import SelfTrainingResult
    from cryopick.train.finetune.supervised import FinetuneSettings


def finetune(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="Micrographs (folder, pattern, STAR file), labelled data set, or file of picks that names its micrographs.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the run; an unfinished run there is resumed.")],
    truth: Annotated[
        str | None,
        typer.Argument(metavar="TRUTH", help="File or folder of the picks, if DATA holds micrographs only.", show_default=False),
    ] = None,
    weights: Annotated[str, typer.Option(metavar="NAME", help="Initial weights: a file or a name.")] = "unet",
    words: Settings = None,
    diameter: Diameter = None,
    pixel_size: PixelSize = None,
    from_format: ReadFormat = None,
    downsample: Downsample = 1.0,
    partial: Annotated[
        bool, typer.Option("--partial/--complete", help="Whether particles may be missing from the picks.")
    ] = False,
    pseudo_labels: Annotated[
        bool, typer.Option("--pseudo-labels", help="Train on confident picks of the initial weights; TRUTH is only for scoring.")
    ] = False,
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="Number of rounds of --pseudo-labels.")] = 1,
) -> None:
    """Fine-tune the picker on your own micrographs.

    A few micrographs with picks are enough. The weights are written to OUT/weights.safetensors, for `cryopick pick --weights`; if
    fine-tuning gives no improvement, these are the initial weights. Run the same command again to resume.
    """
    require("train", "cryopick finetune")
    from cryopick.config import parse_words, resolve
    from cryopick.train.finetune.supervised import FinetuneSettings

    named = {"weights": weights, "labels": "partial" if partial else "complete"}
    settings = resolve(FinetuneSettings, named, parse_words(words or []))
    about = {"diameter": diameter, "pixel_size": pixel_size, "format": from_format, "downsample": downsample}
    if pseudo_labels:
        _self_train(data, truth, settings, out, rounds, about)
    else:
        _train(data, truth, settings, out, about)


def _train(data: str, truth: str | None, settings: "FinetuneSettings", out: Path, about: dict[str, Any]) -> None:
    from cryopick.train.data.labelled import find_labelled
    from cryopick.train.finetune.supervised import finetune_unet

    found = find_labelled(data, truth, **about)
    particles = sum(len(one.truth) for one in found.micrographs)
    say(f"{counted(particles, 'particle')} on {counted(len(found.micrographs), 'micrograph')}")
    with Progress("training", settings.loop.steps) as progress:
        outcome = finetune_unet(found, settings, out, on_step=progress.step)
    warn_skipped(outcome.skipped)
    say(f"trained on {listed(outcome.trained)}; scored on {listed(outcome.held_out)}")
    if settings.labels == "partial":
        say("labels may be incomplete: scored by recall, for as many picks as before and averaged over fewer")
    _print_scores(outcome.before, outcome.after)
    if outcome.better:
        say(f"fine-tuned weights: {outcome.weights}")
    else:
        say(f"no improvement, so the initial weights were kept: {outcome.weights}")


def _self_train(
    data: str, truth: str | None, settings: "FinetuneSettings", out: Path, rounds: int, about: dict[str, Any]
) -> None:
    from dataclasses import replace

    from cryopick.errors import SettingError
    from cryopick.io.micrographs.sources import find_micrographs
    from cryopick.train.data.labelled import DEFAULT_BORDER, find_labelled, label_border
    from cryopick.train.finetune.self_training import self_train, unlabelled

    if truth is None:
        if about["diameter"] is None:
            raise SettingError("--pseudo-labels needs --diameter; `cryopick pick` without --diameter prints an estimate")
        micrographs, skipped = unlabelled(find_micrographs(data, pixel_size=about["pixel_size"]), diameter=about["diameter"])
        known, border = None, DEFAULT_BORDER
    else:
        found = find_labelled(data, truth, **about)
        micrographs, skipped = list(found.micrographs), list(found.skipped)
        known, border = {one.source.name: one.truth for one in micrographs}, label_border(micrographs)
    warn_skipped(skipped)
    for number in range(1, rounds + 1):
        folder = out if rounds == 1 else out / f"round{number}"
        with Progress("training", settings.loop.steps) as progress:
            outcome = self_train(micrographs, settings, folder, truth=known, border=border, on_step=progress.step)
        _print_round(outcome, number)
        settings = replace(settings, weights=str(outcome.weights))
        if not outcome.better:
            break
    if rounds > 1:
        from cryopick.files import write_bytes

        write_bytes(out / outcome.weights.name, outcome.weights.read_bytes())
    say(f"weights: {out / outcome.weights.name}")


def _print_round(outcome: "SelfTrainingResult", number: int) -> None:
    warn_skipped(outcome.skipped)
    before, after, both = outcome.picks
    say(
        f"round {number}: trained on {counted(outcome.labels, 'confident pick')}, "
        f"ignored {counted(outcome.uncertain, 'uncertain one')}; "
        f"{counted(before, 'pick')} before, {after:,} after, {both:,} in both"
    )
    say(f"F1 on simulated crops {outcome.simulated[0]:.3f} before, {outcome.simulated[1]:.3f} after")
    if outcome.measured is not None:
        _print_scores(*outcome.measured)
    else:
        say("without labels the picks cannot be scored; inspect some of them")
    if not outcome.better:
        say("F1 on simulated crops fell too much, so the initial weights were kept")


def _print_scores(before: "HeldOutScores", after: "HeldOutScores") -> None:
    for when, one in (("before", before), ("after", after)):
        rest = f", mean {one.mean_recall:.3f}" if one.f1 is None else f", precision {one.precision:.3f}, F1 {one.f1:.3f}"
        say(f"{when:>6}: {counted(one.picks, 'pick')}, recall {one.recall:.3f}{rest}")
