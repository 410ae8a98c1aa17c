"""What a training says of itself, in its folder: a table, a picture of its curves, events for TensorBoard, its settings."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cryopick.errors import FileError, MissingExtraError
from cryopick.files import atomic_path, write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch.utils.tensorboard import SummaryWriter

LOG, CURVES, EVENTS = "metrics.csv", "curves.png", "tensorboard"
STEPS_A_POINT = 10
"""TensorBoard gets the losses of every tenth step: enough to see a spike, without a file that outgrows the weights."""


class Logbook:
    """The table, the curves and the events of one run. For the first process only.

    A validation is a row of the table: `step` and `learning_rate`, the mean losses since the validation before, its scores. The
    picture is drawn anew from the table with each row. Rows after `step`, of a run that was killed between the table and its
    checkpoint, are forgotten, because they are about to be written again.

    Raises `MissingExtraError` where TensorBoard is wanted and not installed.
    """

    def __init__(self, folder: Path, *, step: int, tensorboard: bool) -> None:
        self._table, self._picture = folder / LOG, folder / CURVES
        self._forget_rows_after(step)
        self._events = _event_writer(folder / EVENTS, step) if tensorboard else None

    def note_step(self, step: int, losses: Mapping[str, float]) -> None:
        """Pass the losses of a step on to TensorBoard."""
        if self._events is not None and step % STEPS_A_POINT == 0:
            for name, value in losses.items():
                self._events.add_scalar(f"training/{name}", value, step)

    def note_validation(self, step: int, rate: float, losses: Mapping[str, float], scores: Mapping[str, float]) -> None:
        """Add a row to the table, draw the curves, and pass the scores on to TensorBoard."""
        row = {"step": step, "learning_rate": rate, **losses, **scores}
        with self._table.open("a", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(row), lineterminator="\n")
            if file.tell() == 0:
                writer.writeheader()
            writer.writerow({name: f"{value:.6g}" for name, value in row.items()})
        plot_curves(read_table(self._table), self._picture, losses=list(losses), scores=list(scores))
        if self._events is not None:
            self._events.add_scalar("learning_rate", rate, step)
            for name, value in scores.items():
                self._events.add_scalar(f"validation/{name}", value, step)
            self._events.flush()

    def close(self) -> None:
        if self._events is not None:
            self._events.close()

    def _forget_rows_after(self, step: int) -> None:
        if not self._table.exists():
            return
        header, *rows = self._table.read_text().splitlines(keepends=True)
        kept = [row for row in rows if row.endswith("\n") and int(row.split(",")[0]) <= step]
        write_text(self._table, header + "".join(kept) if kept else "")


def read_table(path: Path) -> dict[str, list[float]]:
    """The columns of a run's ``metrics.csv``. Raises `FileError` for a file that is none."""
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text())))
        return {name: [float(row[name]) for row in rows] for name in (rows[0] if rows else [])}
    except (OSError, ValueError, TypeError) as error:
        raise FileError(path, f"is no table of a training ({error})", "Give a metrics.csv that cryopick train wrote") from error


def plot_curves(table: Mapping[str, list[float]], path: Path, *, losses: list[str], scores: list[str]) -> None:
    """A picture of three panels over the steps: the parts of the loss, the scores with the best `score`, the learning rate."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.6))
    figure.subplots_adjust(left=0.05, right=0.99, bottom=0.14, top=0.9, wspace=0.2)
    left, middle, right = figure.subplots(1, 3)
    steps = table["step"]
    _lines(left, steps, {name: table[name] for name in losses}, "mean loss since the validation before")
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
    """Events of steps after `step`, of a run that was killed, are hidden."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtraError("train", "logging to TensorBoard (switched off by --set loop.tensorboard=false)") from error
    return SummaryWriter(log_dir=str(folder), purge_step=step + 1 if step else None)
