"""Tables and figures of what several pickers' picks are worth in Å."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from cryopick.files import atomic_path, write_text
from cryopick.resolution.fsc import GOLD_STANDARD, HALF
from cryopick.resolution.half_maps import Resolution, agreement

HEADINGS = (
    *("picks of", "particles", "right", "missed", "false", "centring error (Å)"),
    *("true to: Å at .143", "Å at .5", "halves: Å at .143", "recentred halves: Å at .143"),
)
RELION_HEADING = "RELION (Å)"


def write_tables(found: Sequence[Resolution], folder: Path, *, relion: dict[str, float] | None = None) -> str:
    """Write ``resolution.md`` and ``.csv``, and ``fsc.csv`` with the curves; returns the Markdown. The first are the truth's.

    `relion` has RELION's own resolution of the picks by their name; a column more where it is given.
    """
    headings = [*HEADINGS, *([] if relion is None else [RELION_HEADING])]
    rows = [[*_row(one, found[0]), *([] if relion is None else [_angstrom(relion.get(one.name, np.inf))])] for one in found]
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    markdown = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    write_text(folder / "resolution.md", markdown)
    write_text(folder / "resolution.csv", _csv([headings, *rows]))
    curves: list[Sequence[str]] = [("picks", "frequency", "with_truth", "halves", "recentred_halves")]
    for one in found:
        three = (agreement(one, found[0]), one.as_picked.correlation, one.recentred.correlation)
        points = zip(three[0].frequency, *(each.correlation for each in three), strict=True)
        curves += [(one.name, *(f"{value:.6f}" for value in point)) for point in points]
    write_text(folder / "fsc.csv", _csv(curves))
    return markdown


def draw_correlations(found: Sequence[Resolution], path: Path) -> None:
    """Shell correlations with the truth, the first row (whole lines), and between halves (dotted ones), with both thresholds."""
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    panel = figure.subplots()
    for number, one in enumerate(found):
        true = agreement(one, found[0])
        label = f"{one.name}: {_angstrom(true.resolution())} Å"
        for curve, style, name in ((true, "-", label), (one.as_picked.correlation, ":", None)):
            panel.plot(curve.frequency, curve.correlation, style, color=f"C{number % 10}", label=name)
    for threshold in (GOLD_STANDARD, HALF):
        panel.axhline(threshold, color="0.6", linewidth=1)
    panel.set(xlabel="spatial frequency (1/Å)", ylabel="Fourier shell correlation", ylim=(-0.1, 1.02), xlim=(0, None))
    panel.set_title("whole lines: each half with the truth's other half; dotted: halves with each other")
    panel.legend()
    _save(figure, path)


def draw_slices(found: Sequence[Resolution], path: Path) -> None:
    """The middle slices across z, y and x of the map of all picks, a row for each set of picks, on one grey scale."""
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
    """From where the picked particles are seen: counts in fields of one solid angle, by rot and the cosine of tilt."""
    figure = Figure(figsize=(3.4 * len(found), 2.9), layout="constrained")
    limits = [(-180, 180), (-1, 1)]
    for panel, one in zip(figure.subplots(1, len(found), squeeze=False)[0], found, strict=True):
        rot, cosine = one.directions[:, 0], np.cos(np.deg2rad(one.directions[:, 1]))
        counts, rots, cosines = np.histogram2d(rot, cosine, bins=(24, 12), range=limits)
        mesh = panel.pcolormesh(rots, cosines, counts.T, cmap="viridis", vmin=0)
        figure.colorbar(mesh, ax=panel)
        panel.set(xlabel="rot (°)", ylabel="cos tilt", title=f"{one.name}: {one.right}")
    _save(figure, path)


def _row(one: Resolution, truth: Resolution) -> list[str]:
    error = f"{np.median(one.errors):.1f}" if len(one.errors) else "–"
    true = agreement(one, truth)
    levels = [
        true.resolution(),
        true.resolution(HALF),
        *(maps.correlation.resolution() for maps in (one.as_picked, one.recentred)),
    ]
    return [one.name, *map(str, (one.truth, one.right, one.missed, one.false)), error, *map(_angstrom, levels)]


def _angstrom(value: float) -> str:
    return f"{value:.1f}" if np.isfinite(value) else "–"


def _csv(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _save(figure: Figure, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)
