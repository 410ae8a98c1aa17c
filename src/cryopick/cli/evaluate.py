"""`cryopick evaluate`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cryopick.cli.arguments import Threshold

if TYPE_CHECKING:
    from rich.table import Table

    from cryopick.evaluate.counts import Counts
    from cryopick.evaluate.metrics import Evaluation
    from cryopick.evaluate.pixelwise import PixelEvaluation, PixelScores
    from cryopick.io.micrographs.sources import MicrographSource
    from cryopick.types import Picks

PIPED_WIDTH = 120


def evaluate(
    found: Annotated[
        Path,
        typer.Argument(metavar="FOUND", help="Picks to judge: a file or folder of any format, or what `cryopick pick` wrote."),
    ],
    truth: Annotated[Path, typer.Argument(metavar="TRUTH", help="True particles: a file or folder of any format.")],
    diameter: Annotated[
        float | None, typer.Option(help="Of particles: Å, or pixels without a pixel size. Else the truth's.")
    ] = None,
    tolerance: Annotated[float, typer.Option(help="A pick is right when nearer than this many diameters.")] = 0.5,
    border: Annotated[float, typer.Option(help="Pixels along the edges where nothing counts (labels often stop short).")] = 0.0,
    threshold: Threshold = None,
    pixel_size: Annotated[float | None, typer.Option(help="Å per pixel; wins over what the files say.")] = None,
    micrographs: Annotated[
        list[str] | None, typer.Option(help="Micrographs, a folder or a pattern of them: their names, shapes and pixel sizes.")
    ] = None,
    format_found: Annotated[str | None, typer.Option(help="Format of FOUND, when it cannot be told from the content.")] = None,
    format_truth: Annotated[str | None, typer.Option(help="Format of TRUTH.")] = None,
    protocol: Annotated[
        Literal["matching", "paper"], typer.Option(help="One-to-one matching, or the papers' pixel-wise masks.")
    ] = "matching",
    plot: Annotated[Path | None, typer.Option(help="Draw precision, recall and F1 against the threshold into this PNG.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Say how good picks are, next to a truth.

    Precision, recall and F1 are over all micrographs that have one.
    """
    from cryopick.errors import SettingError
    from cryopick.evaluate import evaluate_picks, evaluate_pixels
    from cryopick.io.micrographs.sources import find_micrographs
    from cryopick.runs.results import read_picks_or_run

    if plot and protocol == "paper":
        raise SettingError("--plot draws the curves of one-to-one matching; leave out --protocol paper")
    sources = find_micrographs(micrographs, pixel_size=pixel_size) if micrographs else None
    picks = read_picks_or_run(found, format=format_found, micrographs=sources, pixel_size=pixel_size)
    particles = _read_truth(truth, picks, format=format_truth, micrographs=sources, pixel_size=pixel_size)
    if protocol == "paper":
        _show_pixels(evaluate_pixels(picks, particles, diameter=diameter, border=border, threshold=threshold), json)
    else:
        _show_matching(
            evaluate_picks(picks, particles, diameter=diameter, tolerance=tolerance, border=border, threshold=threshold),
            json,
            plot,
        )


def _read_truth(
    path: Path,
    picks: "list[Picks]",
    *,
    format: str | None,
    micrographs: "list[MicrographSource] | None",
    pixel_size: float | None,
) -> "list[Picks]":
    """The truth; where no micrographs are named, and all of it lies on those of the picks, these tell what it lacks of them."""
    from cryopick.runs.results import PickedMicrograph, read_picks_or_run

    if micrographs is None:
        others: set[str] = set()
        picked = [PickedMicrograph.of(each) for each in picks]
        found = read_picks_or_run(path, format=format, micrographs=picked, unknown=others, pixel_size=pixel_size)
        if not others:
            return found
    return read_picks_or_run(path, format=format, micrographs=micrographs, pixel_size=pixel_size)


def _show_matching(evaluation: "Evaluation", json: bool, plot: Path | None) -> None:
    from cryopick.evaluate.summary import matching_summary
    from cryopick.io.names import stem

    _note_left_out(evaluation.without_truth)
    _note_all_missed([one.name for one in evaluation.per_micrograph if len(one.truth) and not len(one.found)])
    if plot is not None:
        from cryopick.evaluate.plot import plot_evaluation

        plot_evaluation(evaluation, plot)
    if json:
        _print_json(matching_summary(evaluation))
        return
    title = f"Pairs nearer than {evaluation.tolerance:g} diameters, one to one"
    table = _table(title, ["true", "found", "right", "duplicates", "precision", "recall", "F1"])
    for one in evaluation.per_micrograph:
        table.add_row(stem(one.name), *_counts(one.counts, len(one.match.duplicates)))
    table.add_section()
    means = (evaluation.mean_precision, evaluation.mean_recall, evaluation.mean_f1)
    table.add_row("mean over micrographs", "", "", "", "", *map(_ratio, means))
    table.add_row("all together", *_counts(evaluation.counts, evaluation.duplicates), style="bold")
    _print(table, *_localisation(evaluation), *_scores(evaluation))


def _show_pixels(evaluation: "PixelEvaluation", json: bool) -> None:
    from cryopick.evaluate.pixelwise import scores_of
    from cryopick.evaluate.summary import pixel_summary
    from cryopick.io.names import stem

    _note_left_out(evaluation.without_truth)
    if json:
        _print_json(pixel_summary(evaluation))
        return
    table = _table("The papers' protocol: pixels of filled circles", ["precision", "recall", "F1", "Dice", "accuracy"])
    for name, counts in evaluation.per_micrograph:
        table.add_row(stem(name), *_ratios(scores_of(counts)))
    table.add_section()
    table.add_row("mean over micrographs", *_ratios(evaluation.mean), style="bold")
    table.add_row("maximum (what the released program prints)", *_ratios(evaluation.maximum))
    _print(table)


def _localisation(evaluation: "Evaluation") -> list[str]:
    import numpy as np

    lengths = [(evaluation.errors_px, "px"), (evaluation.errors_angstrom, "Å")]
    known = [(length, unit) for length, unit in lengths if length is not None and len(length)]
    if not known:
        return []
    medians = ", ".join(f"{np.median(length):.1f} {unit}" for length, unit in known)
    means = ", ".join(f"{np.mean(length):.1f} {unit}" for length, unit in known)
    return [f"Localisation error of pairs: median {medians}; mean {means}"]


def _scores(evaluation: "Evaluation") -> list[str]:
    curve, reliability = evaluation.curve, evaluation.reliability
    if curve is None:
        return []
    best = curve.best
    lines = [
        f"Average precision: {curve.average_precision:.3f}",
        f"Best threshold: {curve.thresholds[best]:.4g} (F1 {curve.f1[best]:.3f}, precision {curve.precision[best]:.3f}, "
        f"recall {curve.recall[best]:.3f})",
    ]
    return lines if reliability is None else [*lines, f"Expected calibration error of scores: {reliability.expected_error:.3f}"]


def _counts(counts: "Counts", duplicates: int) -> list[str]:
    numbers = [counts.truth, counts.found, counts.true_positive, duplicates]
    return [*map(str, numbers), *map(_ratio, (counts.precision, counts.recall, counts.f1))]


def _ratios(scores: "PixelScores") -> list[str]:
    return [_ratio(value) for value in (scores.precision, scores.recall, scores.f1, scores.dice, scores.accuracy)]


def _ratio(value: float) -> str:
    return "–" if value != value else f"{value:.3f}"


def _table(title: str, columns: Sequence[str]) -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("micrograph", overflow="fold")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _print(table: "Table", *lines: str) -> None:
    import sys

    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    console.print(table)
    for line in lines:
        console.print(line, highlight=False)


def _print_json(summary: dict[str, Any]) -> None:
    from json import dumps

    typer.echo(dumps(summary, indent=2, allow_nan=False))


def _note_left_out(names: Sequence[str]) -> None:
    if names:
        typer.echo(f"cryopick: no truth for the picks on {_listed(names)}: they are left out", err=True)


def _note_all_missed(names: Sequence[str]) -> None:
    if names:
        typer.echo(f"cryopick: no picks on {_listed(names)}: all particles there are missed", err=True)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
