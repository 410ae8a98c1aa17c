"""Benchmark results as tables in Markdown, CSV and LaTeX."""

import csv
import io
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import msgspec

from cryopick.benchmark.results import BenchmarkResult, Origin
from cryopick.benchmark.scores import Interval, PixelwiseScores
from cryopick.benchmark.timing.cases import Kind, Timing
from cryopick.benchmark.timing.profile import STAGES
from cryopick.errors import SettingError
from cryopick.files import write_text
from cryopick.messages import counted

UNKNOWN = "–"
WALL = "wall s per micrograph"
"""Heading of a column that is meaningful only if nothing else was running on the machine."""
MEASURES = ("precision", "recall", "f1", "dice")
HEADS = {"precision": "Precision", "recall": "Recall", "f1": "F1", "dice": "Dice"}


@dataclass(frozen=True)
class Table:
    """A table of text cells.

    Attributes
    ----------
    title : heading.
    header, rows : cells.
    labels : number of leading columns that are names; the others are numbers.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    labels: int = 1

    def markdown(self) -> str:
        """Return the table in Markdown, without its title."""
        sides = ["---" if column < self.labels else "---:" for column in range(len(self.header))]
        lines = [self.header, sides, *self.rows]
        return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"

    def without(self, *columns: str) -> "Table":
        """Return the table without some of its columns of numbers."""
        kept = [column for column, head in enumerate(self.header) if head not in columns]
        header, *rows = (tuple(cells[column] for column in kept) for cells in (self.header, *self.rows))
        return replace(self, header=header, rows=tuple(rows))

    def csv(self) -> str:
        """Return the table as CSV."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.header, *self.rows])
        return text.getvalue()

    def latex(self) -> str:
        """Return the table as a LaTeX `tabular` with booktabs rules."""
        columns = "l" * self.labels + "r" * (len(self.header) - self.labels)
        body = [" & ".join(map(_escaped, row)) + r" \\" for row in self.rows]
        head = " & ".join(map(_escaped, self.header)) + r" \\"
        lines = [rf"% {self.title}", rf"\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule", *body]
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


class Published(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pixel-wise scores published for a method on an EMPIAR entry; `source` is the publication."""

    method: str
    empiar: int
    source: str
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    dice: float | None = None


def read_published(path: Path) -> list[Published]:
    """Read a YAML list of published scores. Raises `SettingError` if it cannot be read."""
    import yaml

    try:
        return msgspec.convert(yaml.safe_load(path.read_text(encoding="utf-8")), list[Published])
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise SettingError(f"{path} is not a list of published scores: {error}") from error


def all_tables(results: Sequence[BenchmarkResult], published: Sequence[Published] = ()) -> dict[str, Table]:
    """Return all tables of accuracy and cost by file name."""
    tables = {f"{name}-matching": _matching(name, _of(results, name)) for name in _datasets(results)}
    tables["cost"] = _cost(results)
    tables["pixels-by-set"] = _by_set("Pixel-wise, mean over micrographs", results, published)
    tables["matching-by-method"] = _by_method(results, published)
    return tables


def write_tables(tables: dict[str, Table], folder: Path) -> None:
    """Write every table as ``.md``, ``.csv`` and ``.tex``."""
    for name, table in tables.items():
        for suffix, text in ((".md", table.markdown()), (".csv", table.csv()), (".tex", table.latex())):
            write_text(folder / f"{name}{suffix}", text)


def _matching(name: str, results: Sequence[BenchmarkResult]) -> Table:
    header = (
        *("picker", "precision", "recall", "F1 (95 %)", "AP (95 %)", "best F1", "at score"),
        *("centring error (d)", "duplicates", "on negatives", "picks per micrograph"),
    )
    truth = results[0].scores.default.truth
    count = results[0].micrographs
    title = f"{name}: {counted(count, 'micrograph')}, {counted(truth, 'particle')}, {results[0].negatives} marked negatives"
    return Table(title, header, tuple(_matching_row(one) for one in results))


def _matching_row(result: BenchmarkResult) -> tuple[str, ...]:
    found, best = result.scores.default, result.scores.best
    counts = list(found.per_micrograph.values())
    mean = sum(counts) / len(counts)
    spread = math.sqrt(sum((count - mean) ** 2 for count in counts) / len(counts))
    return (
        result.method,
        _number(found.precision),
        _number(found.recall),
        _with_interval(found.f1, found.f1_interval),
        _with_interval(result.scores.average_precision, result.scores.average_precision_interval),
        UNKNOWN if best is None else _with_interval(best.f1, best.f1_interval),
        UNKNOWN if best is None or best.threshold is None else f"{best.threshold:.3g}",
        _number(found.centring),
        str(found.duplicates),
        str(found.on_negatives) if result.negatives else UNKNOWN,
        f"{mean:.0f} ± {spread:.0f}",
    )


def _by_set(title: str, results: Sequence[BenchmarkResult], published: Sequence[Published]) -> Table:
    """Make a table of pixel-wise scores like CryoSegNet's first: one row per set, one group of columns per method."""
    methods, known = _methods(results), [one for one in published if one.empiar in {each.empiar for each in results}]
    others = list(dict.fromkeys(one.method for one in known))
    header = ["set"] + [f"{method} {HEADS[key]}" for method in [*methods, *others] for key in MEASURES]
    numbers: list[list[float | None]] = []
    for name in _datasets(results):
        of_set = {one.method: one for one in _of(results, name)}
        row: list[float | None] = []
        for method in methods:
            one = of_set.get(method)
            row += _four(None if one is None else one.scores.default.pixels_mean)
        empiar = next(iter(of_set.values())).empiar
        by_method = {one.method: one for one in known if one.empiar == empiar}
        for method in others:
            row += _four(by_method.get(method))
        numbers.append(row)
    average = [_mean(column) for column in zip(*numbers, strict=True)]
    names = [*_datasets(results), "average"]
    rows = tuple((name, *map(_number, row)) for name, row in zip(names, [*numbers, average], strict=True))
    return Table(title, tuple(header), rows)


def _by_method(results: Sequence[BenchmarkResult], published: Sequence[Published]) -> Table:
    """Make a table of both protocols like CryoTransformer's: one row per set and method, then published scores."""
    header = ("set", "method", "precision", "recall", "F1", "pixel precision", "pixel recall", "pixel F1", "Dice", "best Dice")
    rows: list[tuple[str, ...]] = []
    for name in _datasets(results):
        of_set = _of(results, name)
        for one in of_set:
            at, best = one.scores.default, one.scores.best
            matching = map(_number, (at.precision, at.recall, at.f1))
            best_dice = UNKNOWN if best is None else _number(best.pixels_mean.dice)
            rows.append((name, one.method, *matching, *map(_number, _four(at.pixels_mean)), best_dice))
        for figures in published:
            if figures.empiar == of_set[0].empiar:
                label = f"{figures.method} ({figures.source})"
                rows.append((name, label, *[UNKNOWN] * 3, *map(_number, _four(figures)), UNKNOWN))
    return Table("One-to-one and pixel-wise scores at each method's own threshold", header, tuple(rows), labels=2)


def _cost(results: Sequence[BenchmarkResult]) -> Table:
    """Make a table of time and memory; the ratio is the processor time relative to the first method on the same set."""
    header = ("set", "picker", "CPU s per micrograph", "CPU ratio", "peak MiB", "workers", WALL)
    rows = []
    for name in _datasets(results):
        measured = [(one, one.cost) for one in _of(results, name) if one.cost is not None]
        for one, cost in measured:
            ratio = cost.cpu / measured[0][1].cpu
            seconds = (f"{cost.cpu / one.micrographs:.2f}", f"{ratio:.2f}")
            rest = (f"{cost.peak_mib:.0f}", str(one.origin.workers), f"{cost.wall / one.micrographs:.2f}")
            rows.append((name, one.method, *seconds, *rest))
    return Table("Time and memory, including the start of the program", header, tuple(rows), labels=2)


def _four(figures: PixelwiseScores | Published | None) -> list[float | None]:
    return [None if figures is None else getattr(figures, key) for key in MEASURES]


def _datasets(results: Sequence[BenchmarkResult]) -> list[str]:
    return list(dict.fromkeys(one.dataset for one in results))


def _methods(results: Sequence[BenchmarkResult]) -> list[str]:
    return list(dict.fromkeys(one.method for one in results))


def _of(results: Sequence[BenchmarkResult], name: str) -> list[BenchmarkResult]:
    return [one for one in results if one.dataset == name]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3f}"


def _with_interval(value: float | None, interval: Interval) -> str:
    return _number(value) if interval is None or value is None else f"{value:.3f} ({interval[0]:.3f}–{interval[1]:.3f})"


def _escaped(text: str) -> str:
    return text.replace("_", r"\_").replace("%", r"\%").replace("–", "--").replace("±", r"$\pm$")


def commands_of(origins: Sequence[Origin]) -> list[str]:
    """Return the commands that made results with their commits, each once; absolute paths are cut to their last part."""
    commands = ((re.sub(r"(?<![\w.])/(?:[^\s/=]+/)+", "", one.command), one) for one in origins)
    return list(dict.fromkeys(f"{command} (cryopick {one.version}, commit {one.commit})" for command, one in commands))


def time_tables(timings: Sequence[Timing]) -> dict[str, Table]:
    """Return all tables of times by file name, without those of kinds that were not timed."""
    makers: dict[Kind, Callable[[Sequence[Timing]], Table]] = {
        "stages": _stages,
        "program": _programs,
        "workers": _workers,
        "training": _training,
    }
    groups = {kind: [one for one in timings if one.key.kind == kind] for kind in makers}
    return {f"time-{kind}": makers[kind](group) for kind, group in groups.items() if group}


def _stages(timings: Sequence[Timing]) -> Table:
    stages = [f"{stage} s" for stage in STAGES]
    header = ("side", "picker", "device", *stages, "all s", "ratio", "wall s", "peak MiB", "repeats")
    rows = []
    for one in _by_size(timings):
        parts = (_spread([sample.stages.get(stage, 0.0) for sample in one.samples]) for stage in STAGES)
        whole = [sum(sample.stages.values()) for sample in one.samples]
        about = (str(one.key.size), one.key.subject, one.key.device)
        rows.append((*about, *parts, _spread(whole), _ratio(one, timings), _wall(one), *_rest(one)))
    title = "Time by stage: seconds per micrograph, without the start of the program, median (range)"
    return Table(title, header, tuple(rows), labels=3)


def _programs(timings: Sequence[Timing]) -> Table:
    header = ("side", "program", "CPU s", "ratio", "wall s", "peak MiB", "repeats")
    rows = [
        (
            *(str(one.key.size), one.key.subject, _spread([sample.cpu for sample in one.samples])),
            *(_ratio(one, timings), _wall(one), *_rest(one)),
        )
        for one in _by_size(timings)
    ]
    title = "Whole programs: seconds for one micrograph, including the start of the program, median (range)"
    return Table(title, header, tuple(rows), labels=2)


def _workers(timings: Sequence[Timing]) -> Table:
    """Make a table by number of workers; efficiency is the throughput per worker relative to a single worker."""
    header = (
        *("picker", "device", "side", "workers", "micrographs per hour", "efficiency", "CPU s per micrograph"),
        "MiB per worker",
    )
    alone = {(one.key.subject, one.key.device, one.key.size): one for one in timings if one.key.workers == 1}
    rows = []
    for one in timings:
        first, (sample,) = alone.get((one.key.subject, one.key.device, one.key.size)), one.samples
        share = UNKNOWN if first is None else f"{first.samples[0].wall / (sample.wall * one.key.workers):.2f}"
        about = (one.key.subject, one.key.device, str(one.key.size), str(one.key.workers))
        rows.append((*about, f"{3600 / sample.wall:.0f}", share, f"{sample.cpu:.2f}", f"{one.peak_mib:.0f}"))
    return Table("Throughput by number of workers", header, tuple(rows), labels=2)


def _training(timings: Sequence[Timing]) -> Table:
    header = ("model", "device", "CPU s per step", "wall s per step", "peak MiB", "steps")
    rows = [
        (one.key.subject, one.key.device, _spread([sample.cpu for sample in one.samples]), _wall(one), *_rest(one))
        for one in timings
    ]
    return Table("Training: seconds per step of the default recipe, median (range)", header, tuple(rows), labels=2)


def _by_size(timings: Sequence[Timing]) -> list[Timing]:
    return sorted(timings, key=lambda one: one.key.size)


def _ratio(timing: Timing, timings: Sequence[Timing]) -> str:
    """Return the time relative to the fastest at the same size: processor time on the CPU, wall time on a GPU."""
    alike = [one for one in timings if (one.key.size, one.key.device) == (timing.key.size, timing.key.device)]
    return f"{_seconds(timing) / min(map(_seconds, alike)):.1f}"


def _seconds(timing: Timing) -> float:
    return median(sample.wall if timing.key.device == "cuda" else sample.cpu for sample in timing.samples)


def _wall(timing: Timing) -> str:
    return _spread([sample.wall for sample in timing.samples])


def _rest(timing: Timing) -> tuple[str, str]:
    return f"{timing.peak_mib:.0f}", str(len(timing.samples))


def _spread(seconds: Sequence[float]) -> str:
    """Return the median, followed by the range if there are several."""
    middle = f"{median(seconds):.2f}"
    return middle if len(seconds) < 2 else f"{middle} ({min(seconds):.2f}–{max(seconds):.2f})"
