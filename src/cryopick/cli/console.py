"""Everything that the command line prints: results on stdout; warnings, errors and progress on stderr."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO, TypeVar

import typer

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.table import Table

T = TypeVar("T")
LOG_SECONDS = 30.0
"""Seconds between two lines of progress if the output is a file."""
BAR_WIDTH = 20
PIPED_WIDTH = 120
NAMED = 10


def say(text: object) -> None:
    """Print a result on stdout."""
    typer.echo(text)


def warn(text: object) -> None:
    """Print a warning or an error on stderr."""
    typer.echo(f"cryopick: {text}", err=True)


def print_errors(lines: Iterable[str]) -> None:
    """Print the lines that belong to a warning on stderr."""
    for line in lines:
        typer.echo(line, err=True)


def warn_skipped(skipped: Sequence[object]) -> None:
    """Name the first skipped items on stderr."""
    print_errors(f"skipped: {one}" for one in skipped[:NAMED])
    if len(skipped) > NAMED:
        print_errors([f"skipped: {len(skipped) - NAMED:,} more"])


def table(title: str, first: str, columns: Sequence[str]) -> "Table":
    """Make an empty table whose first column holds names and whose others hold numbers."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    made = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    made.add_column(first, overflow="fold")
    for column in columns:
        made.add_column(column, justify="right", no_wrap=True)
    return made


def print_table(content: "Table", *lines: str) -> None:
    """Print a table and lines below it on stdout."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    console.print(content)
    for line in lines:
        console.print(line, highlight=False, markup=False)


class Progress:
    """The progress of a command: a bar on a terminal, otherwise a dated line from time to time.

    Use it as a context manager. The bar appears only with the first progress, so earlier errors are printed without it.

    Parameters
    ----------
    description : of the work, such as "picking".
    total : number of items, unless given to `start`.
    quiet : show nothing, for all but the first of several processes.
    stream : output, stderr by default.
    clock : a monotonic clock [s].
    now : the current date and time.
    """

    def __init__(
        self,
        description: str,
        total: int = 0,
        *,
        quiet: bool = False,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        self.description, self.total, self.done, self.extra = description, total, 0, ""
        self._quiet, self._clock, self._now = quiet, clock, now
        self._stream = stream or sys.stderr
        self._bar: Bar | None = None
        self._earlier = 0
        self._begun = self._updated = clock()
        self._logged: tuple[float, int] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self._logged is not None and self._logged[1] != self.done:
            self._log()

    def start(self, *, total: int, done: int = 0) -> None:
        """Start the clock; `done` items were finished before and do not count in the rate."""
        self.total, self.done, self._earlier = total, done, done
        self._begun = self._updated = self._clock()
        if not self._is_terminal():
            self._log()

    def advance(self, extra: str | None = None) -> None:
        """Count one more item as done."""
        self.update(self.done + 1, extra)

    def update(self, done: int, extra: str | None = None) -> None:
        """Set the number of finished items; `extra` is shown until it is replaced."""
        if self._logged is None and self._bar is None and not self._is_terminal():
            self._log()
        self.done, self._updated = done, self._clock()
        self.extra = self.extra if extra is None else extra
        if self._is_terminal():
            self._draw()
        elif self._logged is None or done == self.total or self._updated - self._logged[0] >= LOG_SECONDS:
            self._log()

    def step(self, step: int, losses: Mapping[str, float]) -> None:
        """Set the number of finished training steps, and show the loss of the last one."""
        self.update(step, f"loss {losses['loss']:.3f}")

    def track(self, items: Iterable[T]) -> Iterator[T]:
        """Yield the items; each is counted as done when the next one is requested."""
        for item in items:
            yield item
            self.advance()

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        if self._bar is None:
            typer.echo(text, file=self._stream)
        else:
            self._bar.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def rate(self) -> str:
        """Return the speed since the start: `1.9/s`, `3.2/min`, `0.5/h`; empty if nothing is done."""
        seconds, items = self._updated - self._begun, self.done - self._earlier
        if seconds <= 0 or items <= 0:
            return ""
        scales = ((1.0, "s"), (60.0, "min"), (3600.0, "h"))
        per, unit = next(((per, unit) for per, unit in scales if items * per / seconds >= 1), scales[-1])
        return f"{items * per / seconds:,.1f}/{unit}"

    def left(self) -> str:
        """Return the time left at this speed, `2:45:10 left`, or the time taken once all items are done."""
        seconds, items = self._updated - self._begun, self.done - self._earlier
        if items <= 0 or seconds <= 0:
            return ""
        if self.done >= self.total:
            return f"took {_duration(seconds)}"
        rest = seconds / items * (self.total - self.done)
        return f"{_duration(max(rest - (self._clock() - self._updated), 0.0))} left"

    def _is_terminal(self) -> bool:
        return self._stream.isatty()

    def _log(self) -> None:
        self._logged = self._clock(), self.done
        counts = f"{self.done:,}/{self.total:,}"
        parts = [f"{self._now():%Y-%m-%d %H:%M:%S}", self.description, counts, self.rate(), self.extra, self.left()]
        if not self._quiet:
            typer.echo("  ".join(part for part in parts if part), file=self._stream)

    def _draw(self) -> None:
        if self._quiet:
            return
        if self._bar is None:
            self._bar = _bar(self, self._stream)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=self.done, total=self.total)


def _bar(progress: Progress, stream: TextIO) -> "Bar":
    """Make a progress bar with one task."""
    from rich.console import Console
    from rich.progress import BarColumn, ProgressColumn, TextColumn
    from rich.progress import Progress as Bar
    from rich.table import Column
    from rich.text import Text

    class PaceColumn(ProgressColumn):
        """Column that is redrawn several times a second, so that the time left decreases between items."""

        def render(self, task: Any) -> Text:
            parts = (f"{progress.done:,}/{progress.total:,}", progress.rate(), progress.extra, progress.left())
            return Text("  ".join(part for part in parts if part))

    bar = Bar(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=BAR_WIDTH),
        PaceColumn(table_column=Column(no_wrap=True)),
        console=Console(file=stream, force_terminal=True),
        redirect_stdout=sys.stdout.isatty(),
    )
    bar.add_task(progress.description, total=progress.total, completed=progress.done)
    return bar


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
