"""The table of an ablation, as CSV, as Markdown and as a bar chart."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryopick.files import atomic_path, write_text

Row = dict[str, str | float]
"""Values of a row by column."""


@dataclass(frozen=True)
class TableLayout:
    """Layout of the bar chart of a table, with a bar for each row.

    Attributes
    ----------
    group : columns whose values group the bars.
    series : column that colours them.
    panels : columns of numbers, one panel each.
    """

    group: tuple[str, ...]
    series: str
    panels: tuple[str, ...]


def write_table(rows: Sequence[Row], folder: Path) -> None:
    """Write rows, which have the same columns, to ``table.csv`` and ``table.md``."""
    columns = list(rows[0])
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _plain(value) for name, value in row.items()} for row in rows)
    write_text(folder / "table.csv", text.getvalue())
    lines = [columns, ["---"] * len(columns), *([_plain(row[name]) for name in columns] for row in rows)]
    write_text(folder / "table.md", "".join(f"| {' | '.join(line)} |\n" for line in lines))


def draw_table(rows: Sequence[Row], layout: TableLayout, path: Path) -> None:
    """Write the bar chart of a table."""
    from matplotlib.figure import Figure

    groups = list(dict.fromkeys(_group(row, layout) for row in rows))
    series = list(dict.fromkeys(str(row[layout.series]) for row in rows))
    figure = Figure(figsize=(5 * len(layout.panels) + 1, 3.8), layout="constrained")
    width = 0.8 / len(series)
    for panel, column in zip(figure.subplots(1, len(layout.panels), squeeze=False)[0], layout.panels, strict=True):
        for index, name in enumerate(series):
            chosen = [row for row in rows if str(row[layout.series]) == name]
            places = [groups.index(_group(row, layout)) + (index - (len(series) - 1) / 2) * width for row in chosen]
            panel.bar(places, [float(row[column]) for row in chosen], width, label=name)
        panel.set(xticks=range(len(groups)), title=column)
        panel.set_xticklabels(groups, fontsize=8)
        panel.grid(alpha=0.3, axis="y")
        panel.set_axisbelow(True)
    panel.legend(title=layout.series)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _group(row: Row, layout: TableLayout) -> str:
    return "\n".join(_plain(row[name]) for name in layout.group)


def _plain(value: str | float) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
