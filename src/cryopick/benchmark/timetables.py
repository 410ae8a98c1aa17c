"""Timings as tables."""

from collections.abc import Callable, Sequence
from statistics import median

from cryopick.benchmark.stopwatch import STAGES
from cryopick.benchmark.tables import UNKNOWN, Table
from cryopick.benchmark.timing import Kind, Timing


def time_tables(timings: Sequence[Timing]) -> dict[str, Table]:
    """Every table of times by the name of its files; none for a kind that was not timed."""
    makers: dict[Kind, Callable[[Sequence[Timing]], Table]] = {
        "stages": _stages,
        "program": _programs,
        "workers": _workers,
        "training": _training,
    }
    groups = {kind: [one for one in timings if one.what.kind == kind] for kind in makers}
    return {f"time-{kind}": makers[kind](group) for kind, group in groups.items() if group}


def _stages(timings: Sequence[Timing]) -> Table:
    stages = [f"{stage} s" for stage in STAGES]
    header = ("side", "picker", "device", *stages, "all s", "ratio", "wall s", "peak MiB", "repeats")
    rows = []
    for one in _by_size(timings):
        parts = (_spread([sample.stages.get(stage, 0.0) for sample in one.samples]) for stage in STAGES)
        whole = [sum(sample.stages.values()) for sample in one.samples]
        about = (str(one.what.size), one.what.subject, one.what.device)
        rows.append((*about, *parts, _spread(whole), _ratio(one, timings), _wall(one), *_rest(one)))
    title = "Time by stage: seconds a micrograph, start left out, median (range)"
    return Table(title, header, tuple(rows), labels=3)


def _programs(timings: Sequence[Timing]) -> Table:
    header = ("side", "program", "CPU s", "ratio", "wall s", "peak MiB", "repeats")
    rows = [
        (
            *(str(one.what.size), one.what.subject, _spread([sample.cpu for sample in one.samples])),
            *(_ratio(one, timings), _wall(one), *_rest(one)),
        )
        for one in _by_size(timings)
    ]
    title = "Whole programs: seconds for one micrograph, start included, median (range)"
    return Table(title, header, tuple(rows), labels=2)


def _workers(timings: Sequence[Timing]) -> Table:
    """The share is of so many times what one worker does."""
    header = ("picker", "device", "side", "workers", "micrographs an hour", "share", "CPU s a micrograph", "MiB a worker")
    alone = {(one.what.subject, one.what.device, one.what.size): one for one in timings if one.what.workers == 1}
    rows = []
    for one in timings:
        first, (sample,) = alone.get((one.what.subject, one.what.device, one.what.size)), one.samples
        share = UNKNOWN if first is None else f"{first.samples[0].wall / (sample.wall * one.what.workers):.2f}"
        about = (one.what.subject, one.what.device, str(one.what.size), str(one.what.workers))
        rows.append((*about, f"{3600 / sample.wall:.0f}", share, f"{sample.cpu:.2f}", f"{one.peak_mib:.0f}"))
    return Table("Time by the number of workers", header, tuple(rows), labels=2)


def _training(timings: Sequence[Timing]) -> Table:
    header = ("model", "device", "CPU s a step", "wall s a step", "peak MiB", "steps")
    rows = [
        (one.what.subject, one.what.device, _spread([sample.cpu for sample in one.samples]), _wall(one), *_rest(one))
        for one in timings
    ]
    return Table("Training: seconds a step of the default recipe, median (range)", header, tuple(rows), labels=2)


def _by_size(timings: Sequence[Timing]) -> list[Timing]:
    return sorted(timings, key=lambda one: one.what.size)


def _ratio(timing: Timing, timings: Sequence[Timing]) -> str:
    """To the quickest on the same size: of processor time on the CPU, of wall time where a GPU takes part."""
    alike = [one for one in timings if (one.what.size, one.what.device) == (timing.what.size, timing.what.device)]
    return f"{_seconds(timing) / min(map(_seconds, alike)):.1f}"


def _seconds(timing: Timing) -> float:
    return median(sample.wall if timing.what.device == "cuda" else sample.cpu for sample in timing.samples)


def _wall(timing: Timing) -> str:
    return _spread([sample.wall for sample in timing.samples])


def _rest(timing: Timing) -> tuple[str, str]:
    return f"{timing.peak_mib:.0f}", str(len(timing.samples))


def _spread(seconds: Sequence[float]) -> str:
    """The median, and in brackets the range of several."""
    middle = f"{median(seconds):.2f}"
    return middle if len(seconds) < 2 else f"{middle} ({min(seconds):.2f}–{max(seconds):.2f})"
