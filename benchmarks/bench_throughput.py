"""Micrographs an hour by the number of workers, next to that many times one worker, and the memory of a worker.

    python benchmarks/bench_throughput.py [--picker log] [--size 4096] [--each 6] [--workers 1 2 4 …] [--slow-disk 0.5] [-- …]

Each number of workers picks `--each` micrographs a worker (links to a few files of discs in noise) with `cryopick pick`. Timed is
from the moment when as many are finished as there are workers to the last, by the times of their records, so that starting Python
and loading the model do not count. Shown with it: the share of that many times one worker, which should not fall below 0.85 up to
the number of cores; the peak of resident memory of the largest process; and CPU seconds a micrograph, which tell whether it was
the workers or other programs that took the time. The last column is the time that reading, picking and writing took each
micrograph by themselves, over the time that passed for it: above 1, they went on at the same time. Files that were just made lie
in memory and need no such overlap: with `--slow-disk`, each reading waits for so many seconds. What follows `--` goes to the
command.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from cryopick.benchmark.timing.throughput import seconds_between
from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.micrographs.sources import MicrographSource
from cryopick.parallel.process import available_cores

DIAMETER = 108
DIFFERENT = 4
SLOW_DISK = "BENCH_SLOW_DISK"
COMMAND = "--command"

if os.environ.get(SLOW_DISK):  # here, so that worker processes, which import this file, have it too
    at_once = MicrographSource.read

    def late(source: MicrographSource, *, salvage: bool = False) -> object:
        """Read as if the disk were far away."""
        time.sleep(float(os.environ[SLOW_DISK]))
        return at_once(source, salvage=salvage)

    MicrographSource.read = late  # type: ignore[method-assign, assignment]


def make(folder: Path, size: int, count: int) -> None:
    """So many names of a few micrographs."""
    folder.mkdir()
    reach = DIAMETER // 2
    disc = np.hypot(*(np.indices((2 * reach + 1,) * 2) - reach)) <= reach
    for index in range(DIFFERENT):
        rng = np.random.default_rng(index)
        pixels = rng.standard_normal((size, size), dtype=np.float32)
        for y, x in rng.integers(0, size - 2 * reach, (size * size // (6 * DIAMETER**2), 2)):
            pixels[y : y + 2 * reach + 1, x : x + 2 * reach + 1] -= 0.5 * disc
        write_micrograph(folder / f"m{index:05}.mrc", pixels, pixel_size=1.5)
    for index in range(DIFFERENT, count):
        (folder / f"m{index:05}.mrc").hardlink_to(folder / f"m{index % DIFFERENT:05}.mrc")


def run(folder: Path, workers: int, each: int, words: list[str]) -> tuple[float, float, float, float]:
    """Seconds between the finished micrographs, CPU seconds for each, MB of the largest process, and the overlap."""
    inputs = [f"raw/m{index:05}.mrc" for index in range(workers * each)]
    out = folder / f"out{workers}"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, __file__, COMMAND, "pick", *inputs, "--out", str(out), "--workers", str(workers), *words]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    records = list((out / "records").glob("*.json"))
    seconds = seconds_between([path.stat().st_mtime for path in records], workers=workers)
    stages = [json.loads(path.read_bytes())["outcome"]["seconds"] for path in records]
    cpu = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / len(records)
    overlap = sum(stages) / len(stages) / (seconds * workers)
    return seconds, cpu, after.ru_maxrss / 1024, overlap


def main() -> None:
    cores = available_cores()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picker", default="log")
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--each", type=int, default=6)
    parser.add_argument("--workers", type=int, nargs="+", default=[2**power for power in range(cores.bit_length())])
    parser.add_argument("--slow-disk", type=float, metavar="SECONDS")
    parser.add_argument("words", nargs="*")
    options = parser.parse_args()
    if options.slow_disk:
        os.environ[SLOW_DISK] = str(options.slow_disk)
    words = ["--picker", options.picker, "--diameter", str(1.5 * DIAMETER), "--no-report", *options.words]
    print(f"{options.picker}, {options.size}² pixels, {cores} cores, load before {os.getloadavg()[0]:.1f}")
    print(f"{'workers':>7} {'an hour':>9} {'share':>6} {'CPU s each':>11} {'MB a worker':>12} {'overlap':>8}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make(folder / "raw", options.size, max(DIFFERENT, max(options.workers) * options.each))
        first = 0.0
        for workers in options.workers:
            seconds, cpu, memory, overlap = run(folder, workers, options.each, words)
            first = first or seconds * workers
            share = first / (seconds * workers)
            print(f"{workers:7} {3600 / seconds:9,.0f} {share:6.2f} {cpu:11.2f} {memory:12,.0f} {overlap:8.2f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == [COMMAND]:
        del sys.argv[1]
        from cryopick.cli import main as command

        command()
    else:
        main()
