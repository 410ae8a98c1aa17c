"""Throughput of `cryopick pick`, from the times at which micrographs were finished."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cryopick.benchmark.entrants import OwnPicker
from cryopick.benchmark.sets import BenchmarkSet
from cryopick.benchmark.timing.profile import Device, Sample
from cryopick.benchmark.timing.usage import run_and_measure
from cryopick.io.micrographs.sources import MicrographSource
from cryopick.parallel.process import THREAD_VARIABLES

EACH = 6
"""Micrographs per worker."""


def pick_many(own: OwnPicker, task: BenchmarkSet, folder: Path, *, workers: int, device: Device) -> tuple[Sample, float]:
    """Pick many copies of a set's only micrograph; return seconds per micrograph and the peak MiB of the largest process.

    The wall time is the mean interval between finished micrographs once the workers have started, see `seconds_between`. The
    processor time is that of the whole run.
    """
    (first,) = task.sources
    (folder / "raw").mkdir()
    sources = []
    for number in range(EACH * workers):
        path = folder / "raw" / f"m{number:04}{first.path.suffix}"
        path.hardlink_to(first.path)
        sources.append(MicrographSource(path, path.name, task.pixel_size))
    command = own.command(replace(task, sources=tuple(sources)), folder, workers=workers, device=device)
    cost = run_and_measure(command, folder / "log.txt", variables=dict.fromkeys(THREAD_VARIABLES, "1"))
    ends = [path.stat().st_mtime for path in (folder / "run" / "records").glob("[!.]*.json")]
    return Sample(wall=seconds_between(ends, workers=workers), cpu=cost.cpu / len(ends)), cost.peak_mib


def seconds_between(ends: Sequence[float], *, workers: int) -> float:
    """Return the mean interval between finished micrographs, counted from when every worker can have finished one.

    The start of programs and the loading of models do not count.
    """
    ordered = sorted(ends)
    return (ordered[-1] - ordered[workers - 1]) / (len(ordered) - workers)
