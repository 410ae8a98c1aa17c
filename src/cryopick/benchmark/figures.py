"""Figures of the benchmark: precision against recall, and what one picker found and another missed."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from cryopick.benchmark.results import Result
from cryopick.benchmark.sets import BenchmarkSet
from cryopick.io.atomic import atomic_path
from cryopick.io.names import stem
from cryopick.preprocess.display import for_display

Points = set[tuple[float, float]]


def draw_curves(results: Sequence[Result], path: Path) -> None:
    """Precision against recall of every entrant with scores, a dot where its own threshold lies."""
    figure = Figure(figsize=(6, 5), layout="constrained")
    panel = figure.subplots()
    for number, one in enumerate(results):
        colour, at = f"C{number}", one.judgement.default
        if one.judgement.curve:
            recall, precision = zip(*one.judgement.curve, strict=True)
            panel.plot(recall, precision, color=colour, label=one.entrant)
        if at.precision is not None and at.recall is not None:
            panel.plot(at.recall, at.precision, "o", color=colour, label=None if one.judgement.curve else one.entrant)
    panel.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.01), title=results[0].dataset)
    panel.grid(alpha=0.3)
    panel.legend(loc="lower left")
    _save(figure, path)


def draw_disagreements(results: Sequence[Result], task: BenchmarkSet, path: Path) -> None:
    """The two entrants that differ most, on the micrograph where they do: particles that only one, or neither, found."""
    one, other, name = max(
        ((a, b, name) for a, b in combinations(results, 2) for name in a.judgement.default.missed),
        key=lambda three: len(_missed(three[0], three[2]) ^ _missed(three[1], three[2])),
    )
    source = next(source for source in task.sources if stem(source.name) == stem(name))
    figure = Figure(figsize=(8, 8), layout="constrained")
    panel = figure.subplots()
    panel.imshow(for_display(source.read().pixels), cmap="gray")
    first, second = _missed(one, name), _missed(other, name)
    for points, colour, what in (
        (second - first, "C0", f"only {one.entrant}"),
        (first - second, "C1", f"only {other.entrant}"),
        (first & second, "C3", "neither"),
    ):
        _circles(panel, points, radius=task.diameter_px / 2, colour=colour, label=f"{what}: {len(points)}")
    panel.set(title=f"{task.name}, {stem(name)}: true particles found by", xticks=[], yticks=[])
    panel.legend(loc="upper right")
    _save(figure, path)


def _missed(result: Result, name: str) -> Points:
    return set(result.judgement.default.missed[name])


def _circles(panel: Axes, points: Points, *, radius: float, colour: str, label: str) -> None:
    for xy in sorted(points):
        panel.add_patch(Circle(xy, radius, fill=False, edgecolor=colour, linewidth=1.2))
    panel.plot([], [], "o", markerfacecolor="none", markeredgecolor=colour, label=label)


def _save(figure: Figure, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)
