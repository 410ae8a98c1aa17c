"""Tables and figures of the map resolution from several sets of picks."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from cryopick.files import atomic_path, write_text
from cryopick.resolution.fsc import GOLD_STANDARD, HALF
from cryopick.resolution.half_maps import Resolution, correlation_with_truth

HEADINGS = (
    *("picks", "particles", "correct", "missed", "false", "centring error (Å)"),
    *("ground truth: Å at 0.143", "Å at 0.5", "half-maps: Å at 0.143", "recentred half-maps: Å at 0.143"),
)
RELION_HEADING = "RELION (Å)"


def write_tables(found: Sequence[Resolution], folder: Path, *, relion: dict[str, float] | None = None) -> str:
    """Write ``resolution.md``, ``resolution.csv`` and the curves ``fsc.csv``; return the Markdown.

    The first of `found` is the ground truth. `relion`, if given, adds a column with RELION's resolution in Å by name.
    """
    headings = [*HEADINGS, *([] if relion is None else [RELION_HEADING])]
    rows = [[*_row(one, found[0]), *([] if relion is None else [_angstrom(relion.get(one.name, np.inf))])] for one in found]
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    markdown = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    write_text(folder / "resolution.md", markdown)
    write_text(folder / "resolution.csv", _csv([headings, *rows]))
    curves: list[Sequence[str]] = [("picks", "frequency", "with_truth", "halves", "recentred_halves")]
    for one in found:
        three = (correlation_with_truth(one, found[0]), one.as_picked.correlation, one.recentred.correlation)
        points = zip(three[0].frequency, *(each.correlation for each in three), strict=True)
        curves += [(one.name, *(f"{value:.6f}" for value in point)) for point in points]
    write_text(folder / "fsc.csv", _csv(curves))
    return markdown


def draw_correlations(found: Sequence[Resolution], path: Path) -> None:
    """Draw shell correlations with the ground truth (the first of `found`, solid lines) and between halves (dotted)."""
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    panel = figure.subplots()
    for number, one in enumerate(found):
        true = correlation_with_truth(one, found[0])
        label = f"{one.name}: {_angstrom(true.resolution())} Å"
        for curve, style, name in ((true, "-", label), (one.as_picked.correlation, ":", None)):
            panel.plot(curve.frequency, curve.correlation, style, color=f"C{number % 10}", label=name)
    for threshold in (GOLD_STANDARD, HALF):
        panel.axhline(threshold, color="0.6", linewidth=1)
    panel.set(xlabel="spatial frequency (1/Å)", ylabel="Fourier shell correlation", ylim=(-0.1, 1.02), xlim=(0, None))
    panel.set_title("solid: each half with the other half of the ground truth; dotted: halves with each other")
    panel.legend()
    _save(figure, path)


def draw_slices(found: Sequence[Resolution], path: Path) -> None:
    """Draw the central slices of each map across z, y and x, one row per set of picks, on the same grey scale."""
    figure = Figure(figsize=(6.6, 2.2 * len(found) + 0.3), layout="constrained")
    panels = figure.subplots(len(found), 3, squeeze=False)
    for panel, name in zip(panels[0], "zyx", strict=True):
        panel.set_title(f"across {name}")
    for row, one in zip(panels, found, strict=True):
        density = one.as_picked.mean
        middle = len(density) // 2
        limit = float(np.abs(found[0].as_picked.mean).max()) or 1.0
        for panel, axis in zip(row, range(3), strict=True):
            panel.imshow(density.take(middle, axis), cmap="gray", vmin=-limit / 3, vmax=limit, origin="lower")
            panel.set(xticks=[], yticks=[])
        row[0].set_ylabel(one.name)
    _save(figure, path)


def draw_directions(found: Sequence[Resolution], path: Path) -> None:
    """Draw the viewing directions of the picked particles: counts in bins of equal solid angle, by rot and cosine of tilt."""
    figure = Figure(figsize=(3.4 * len(found), 2.9), layout="constrained")
    limits = [(-180, 180), (-1, 1)]
    for panel, one in zip(figure.subplots(1, len(found), squeeze=False)[0], found, strict=True):
        rot, cosine = one.directions[:, 0], np.cos(np.deg2rad(one.directions[:, 1]))
        counts, rots, cosines = np.histogram2d(rot, cosine, bins=(24, 12), range=limits)
        mesh = panel.pcolormesh(rots, cosines, counts.T, cmap="viridis", vmin=0)
        figure.colorbar(mesh, ax=panel)
        panel.set(xlabel="rot (°)", ylabel="cos tilt", title=f"{one.name}: {one.correct}")
    _save(figure, path)


def _row(one: Resolution, truth: Resolution) -> list[str]:
    error = f"{np.median(one.errors):.1f}" if len(one.errors) else "–"
    true = correlation_with_truth(one, truth)
    levels = [
        true.resolution(),
        true.resolution(HALF),
        *(maps.correlation.resolution() for maps in (one.as_picked, one.recentred)),
    ]
    return [one.name, *map(str, (one.truth, one.correct, one.missed, one.false)), error, *map(_angstrom, levels)]


def _angstrom(value: float) -> str:
    return f"{value:.1f}" if np.isfinite(value) else "–"


def _csv(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _save(figure: Figure, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)
