"""`cryopick evaluate`: scores of picks against ground truth."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cryopick.cli.arguments import PixelSize, Threshold, finite
from cryopick.cli.console import print_table, say, table, warn
from cryopick.messages import listed

if TYPE_CHECKING:
    from cryopick.evaluate.counts import Counts
    from cryopick.evaluate.metrics import Evaluation
    from cryopick.evaluate.pixelwise import PixelEvaluation, PixelScores
    from cryopick.io.micrographs.sources import MicrographSource
    from cryopick.types import Picks

PIXEL_SCORES = ("precision", "recall", "F1", "Dice", "accuracy")


def evaluate(
    found: Annotated[
        Path,
        typer.Argument(metavar="PICKS", help="Picks to score: a file or folder in any format, or the folder of a run."),
    ],
    truth: Annotated[Path, typer.Argument(metavar="TRUTH", help="Ground truth: a file or folder in any format.")],
    diameter: Annotated[
        float | None,
        typer.Option(
            metavar="ANGSTROM", help="Particle diameter [Å; pixels if the pixel size is unknown]; the ground truth's if omitted."
        ),
    ] = None,
    tolerance: Annotated[float, typer.Option(metavar="FRACTION", help="Largest distance of a correct pick [diameters].")] = 0.5,
    border: Annotated[float, typer.Option(metavar="PIXELS", help="Width of the margin in which nothing counts [px].")] = 0.0,
    threshold: Threshold = None,
    pixel_size: PixelSize = None,
    micrographs: Annotated[
        list[str] | None,
        typer.Option(metavar="INPUT", help="Micrographs of the picks, for names, shapes and pixel sizes; repeatable."),
    ] = None,
    from_format: Annotated[
        str | None, typer.Option("--from", metavar="FORMAT", help="Format of PICKS; detected from the content if omitted.")
    ] = None,
    truth_from: Annotated[
        str | None, typer.Option("--truth-from", metavar="FORMAT", help="Format of TRUTH; detected from the content if omitted.")
    ] = None,
    downsample: Annotated[
        float,
        typer.Option(
            metavar="FACTOR", min=1, callback=finite, help="Factor by which the images of the coordinates in PICKS are reduced."
        ),
    ] = 1.0,
    truth_downsample: Annotated[
        float,
        typer.Option(
            metavar="FACTOR", min=1, callback=finite, help="Factor by which the images of the coordinates in TRUTH are reduced."
        ),
    ] = 1.0,
    protocol: Annotated[
        Literal["matching", "paper"], typer.Option(help="Protocol: one-to-one matching, or pixel-wise masks as in the papers.")
    ] = "matching",
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Figure of precision, recall and F1 against the threshold (PNG, PDF, SVG)."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Score picks against ground truth.

    Precision, recall and F1 are pooled over all micrographs with ground truth.
    """
    from cryopick.errors import SettingError
    from cryopick.evaluate import evaluate_picks, evaluate_pixels
    from cryopick.io.micrographs.sources import find_micrographs
    from cryopick.runs.results import read_picks_or_run

    if plot and protocol == "paper":
        raise SettingError("--plot needs --protocol matching")
    sources = find_micrographs(micrographs, pixel_size=pixel_size) if micrographs else None
    picks = read_picks_or_run(found, format=from_format, micrographs=sources, pixel_size=pixel_size, downsample=downsample)
    particles = _read_truth(
        truth, picks, format=truth_from, micrographs=sources, pixel_size=pixel_size, downsample=truth_downsample
    )
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
    downsample: float,
) -> "list[Picks]":
    """Read the ground truth; without micrographs, names, shapes and pixel sizes are those of the picks if they cover it."""
    from cryopick.runs.results import PickedMicrograph, read_picks_or_run

    if micrographs is None:
        others: set[str] = set()
        picked = [PickedMicrograph.of(each) for each in picks]
        found = read_picks_or_run(
            path, format=format, micrographs=picked, unknown=others, pixel_size=pixel_size, downsample=downsample
        )
        if not others:
            return found
    return read_picks_or_run(path, format=format, micrographs=micrographs, pixel_size=pixel_size, downsample=downsample)


def _show_matching(evaluation: "Evaluation", json: bool, plot: Path | None) -> None:
    from cryopick.evaluate.summary import matching_summary
    from cryopick.io.names import stem

    _note_without_truth(evaluation.without_truth)
    _note_all_missed([one.name for one in evaluation.per_micrograph if len(one.truth) and not len(one.found)])
    if plot is not None:
        from cryopick.evaluate.plot import plot_evaluation

        plot_evaluation(evaluation, plot)
    if json:
        _print_json(matching_summary(evaluation))
        return
    title = f"One-to-one matching within {evaluation.tolerance:g} diameters"
    rows = table(title, "micrograph", ["true", "found", "correct", "duplicates", "precision", "recall", "F1"])
    for one in evaluation.per_micrograph:
        rows.add_row(stem(one.name), *_counts(one.counts, len(one.match.duplicates)))
    rows.add_section()
    means = (evaluation.mean_precision, evaluation.mean_recall, evaluation.mean_f1)
    rows.add_row("mean over micrographs", "", "", "", "", *map(_ratio, means))
    rows.add_row("all micrographs", *_counts(evaluation.counts, evaluation.duplicates), style="bold")
    print_table(rows, *_localisation(evaluation), *_scores(evaluation))


def _show_pixels(evaluation: "PixelEvaluation", json: bool) -> None:
    from cryopick.evaluate.pixelwise import scores_of
    from cryopick.evaluate.summary import pixel_summary
    from cryopick.io.names import stem

    _note_without_truth(evaluation.without_truth)
    if json:
        _print_json(pixel_summary(evaluation))
        return
    rows = table("Protocol of the papers: pixels of filled circles", "micrograph", PIXEL_SCORES)
    for name, counts in evaluation.per_micrograph:
        rows.add_row(stem(name), *_ratios(scores_of(counts)))
    rows.add_section()
    rows.add_row("mean over micrographs", *_ratios(evaluation.mean), style="bold")
    rows.add_row("maximum (as in the released program)", *_ratios(evaluation.maximum))
    print_table(rows)


def _localisation(evaluation: "Evaluation") -> list[str]:
    import numpy as np

    lengths = [(evaluation.errors_px, "px"), (evaluation.errors_angstrom, "Å")]
    known = [(length, unit) for length, unit in lengths if length is not None and len(length)]
    if not known:
        return []
    medians = ", ".join(f"{np.median(length):.1f} {unit}" for length, unit in known)
    means = ", ".join(f"{np.mean(length):.1f} {unit}" for length, unit in known)
    return [f"Localisation error of correct picks: median {medians}; mean {means}"]


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


def _print_json(summary: dict[str, Any]) -> None:
    from json import dumps

    say(dumps(summary, indent=2, allow_nan=False))


def _note_without_truth(names: Sequence[str]) -> None:
    if names:
        warn(f"no ground truth for {listed(names)}: picks there are excluded")


def _note_all_missed(names: Sequence[str]) -> None:
    if names:
        warn(f"no picks on {listed(names)}: all particles there count as missed")
