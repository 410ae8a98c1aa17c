"""Figures of the benchmark: precision–recall curves, and particles that one method found and another missed."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle

from cryopick.benchmark.results import BenchmarkResult
from cryopick.benchmark.sets import BenchmarkSet
from cryopick.display.contrast import for_display
from cryopick.files import atomic_path
from cryopick.io.names import stem

Points = set[tuple[float, float]]


def draw_curves(results: Sequence[BenchmarkResult], path: Path) -> None:
    """Draw the precision–recall curves of all methods with scores and a dot at each method's threshold, one panel per set."""
    names, methods = (list(dict.fromkeys(getattr(one, key) for one in results)) for key in ("dataset", "method"))
    columns = min(len(names), 2)
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(5 * columns, 4.2 * rows + 0.5), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for name, panel in zip(names, panels, strict=False):
        for one in results:
            if one.dataset == name:
                _curve(panel, one, colour=f"C{methods.index(one.method)}")
        panel.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.01), title=name)
        panel.grid(alpha=0.3)
    for panel in panels[len(names) :]:
        panel.set_axis_off()
    marks = [Line2D([], [], color=f"C{number}", marker="o", label=method) for number, method in enumerate(methods)]
    figure.legend(handles=marks, loc="outside lower center", ncols=4)
    _save(figure, path)


def draw_disagreements(results: Sequence[BenchmarkResult], task: BenchmarkSet, path: Path) -> None:
    """Draw the micrograph on which two methods differ most, with the particles that only one of them, or neither, found."""
    one, other, name = max(
        ((a, b, name) for a, b in combinations(results, 2) for name in a.scores.default.missed),
        key=lambda three: len(_missed(three[0], three[2]) ^ _missed(three[1], three[2])),
    )
    source = next(source for source in task.sources if stem(source.name) == stem(name))
    figure = Figure(figsize=(8, 8.4), layout="constrained")
    panel = figure.subplots()
    panel.imshow(for_display(source.read().pixels), cmap="gray")
    first, second = _missed(one, name), _missed(other, name)
    for points, colour, what in (
        (second - first, "C0", f"only {one.method}"),
        (first - second, "C1", f"only {other.method}"),
        (first & second, "C3", "neither"),
    ):
        _circles(panel, points, radius=task.diameter_px / 2, colour=colour, label=f"{what}: {len(points)}")
    panel.set(title=f"{task.name}, {stem(name)}: particles found by", xticks=[], yticks=[])
    figure.legend(loc="outside lower center", ncols=3)
    _save(figure, path)


def _curve(panel: Axes, result: BenchmarkResult, *, colour: str) -> None:
    at = result.scores.default
    if result.scores.curve:
        recall, precision = zip(*result.scores.curve, strict=True)
        panel.plot(recall, precision, color=colour)
    if at.precision is not None and at.recall is not None:
        panel.plot(at.recall, at.precision, "o", color=colour)


def _missed(result: BenchmarkResult, name: str) -> Points:
    return set(result.scores.default.missed[name])


def _circles(panel: Axes, points: Points, *, radius: float, colour: str, label: str) -> None:
    for xy in sorted(points):
        panel.add_patch(Circle(xy, radius, fill=False, edgecolor=colour, linewidth=1.2))
    panel.plot([], [], "o", markerfacecolor="none", markeredgecolor=colour, label=label)


def _save(figure: Figure, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)
