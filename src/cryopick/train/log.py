"""The log of a training run: a table of its metrics, their curves, and events for TensorBoard."""

import csv
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cryopick.errors import FileError, MissingExtraError
from cryopick.files import atomic_path, write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch.utils.tensorboard import SummaryWriter

LOG, CURVES, EVENTS = "metrics.csv", "curves.png", "tensorboard"
EVENT_INTERVAL = 10
"""Steps between losses for TensorBoard: spikes are visible, and the data are smaller than the weights."""


class TrainingLog:
    """Table, curves and events of one run; for the first process only.

    Each validation adds a row to the table: `step` and `learning_rate`, the mean losses since the previous validation, and the
    metrics. The curves are redrawn with each row. Rows after `step`, which remain from a run that was killed before writing its
    checkpoint, are dropped, because they will be written again.

    Raises `MissingExtraError` if TensorBoard is requested but not installed.
    """

    def __init__(self, folder: Path, *, step: int, tensorboard: bool) -> None:
        self._table, self._curves = folder / LOG, folder / CURVES
        self._drop_rows_after(step)
        self._events = _event_writer(folder / EVENTS, step) if tensorboard else None

    def log_step(self, step: int, losses: Mapping[str, float]) -> None:
        """Send the losses of a step to TensorBoard."""
        if self._events is not None and step % EVENT_INTERVAL == 0:
            for name, value in losses.items():
                self._events.add_scalar(f"training/{name}", value, step)

    def log_validation(self, step: int, rate: float, losses: Mapping[str, float], scores: Mapping[str, float]) -> None:
        """Add a row to the table, redraw the curves, and send the metrics to TensorBoard."""
        row = {"step": step, "learning_rate": rate, **losses, **scores}
        with self._table.open("a", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(row), lineterminator="\n")
            if file.tell() == 0:
                writer.writeheader()
            writer.writerow({name: f"{value:.6g}" for name, value in row.items()})
        plot_curves(read_table(self._table), self._curves, losses=list(losses), scores=list(scores))
        if self._events is not None:
            self._events.add_scalar("learning_rate", rate, step)
            for name, value in scores.items():
                self._events.add_scalar(f"validation/{name}", value, step)
            self._events.flush()

    def close(self) -> None:
        """Close the file of events."""
        if self._events is not None:
            self._events.close()

    def _drop_rows_after(self, step: int) -> None:
        if not self._table.exists():
            return
        header, *rows = self._table.read_bytes().splitlines(keepends=True) or [b""]
        steps = [_step(row) for row in rows]
        whole = [row for row, number in zip(rows, steps, strict=True) if number is not None and number <= step]
        is_ours = header.startswith(b"step,") and header.endswith(b"\n")
        if (rows and not is_ours) or None in steps[:-1]:
            remedy = "Remove it: the training resumes without the earlier rows"
            raise FileError(self._table, "is damaged, or no log of a training", remedy)
        write_bytes(self._table, header + b"".join(whole) if whole else b"")


def _step(row: bytes) -> int | None:
    """Return the step of a row; None for a row that is incomplete, as a killed run leaves it, or damaged."""
    first = row.partition(b",")[0]
    return int(first) if row.endswith(b"\n") and re.fullmatch(rb"[0-9]{1,12}", first) else None


def read_table(path: Path) -> dict[str, list[float]]:
    """Read the columns of a run's ``metrics.csv`` by name. Raises `FileError` for any other file."""
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text())))
        return {name: [float(row[name]) for row in rows] for name in (rows[0] if rows else [])}
    except (OSError, ValueError, TypeError) as error:
        raise FileError(path, f"is not a training log ({error})", "Give a metrics.csv written by cryopick train") from error


def plot_curves(table: Mapping[str, list[float]], path: Path, *, losses: list[str], scores: list[str]) -> None:
    """Write a figure of three panels over the steps: the losses, the metrics with the best `score`, and the learning rate."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.6))
    figure.subplots_adjust(left=0.05, right=0.99, bottom=0.14, top=0.9, wspace=0.2)
    left, middle, right = figure.subplots(1, 3)
    steps = table["step"]
    _lines(left, steps, {name: table[name] for name in losses}, "mean loss since the previous validation")
    _lines(middle, steps, {name: table[name] for name in scores}, "validation")
    best = max(range(len(steps)), key=table["score"].__getitem__)
    middle.plot(steps[best], table["score"][best], "o", color="C3", label=f"best score {table['score'][best]:.3f}")
    middle.legend()
    _lines(right, steps, {"learning rate": table["learning_rate"]}, "learning rate")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100)


def _lines(panel: "Axes", steps: list[float], curves: Mapping[str, list[float]], title: str) -> None:
    for name, values in curves.items():
        panel.plot(steps, values, ".-", markersize=3, linewidth=1, label=name)
    panel.set(xlabel="step", title=title)
    panel.grid(alpha=0.3)
    if len(curves) > 1:
        panel.legend()


def _event_writer(folder: Path, step: int) -> "SummaryWriter":
    """Return a writer of events; those after `step`, left by a killed run, are hidden."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtraError("train", "logging to TensorBoard (omit it with --set loop.tensorboard=false)") from error
    return SummaryWriter(log_dir=str(folder), purge_step=step + 1 if step else None)
