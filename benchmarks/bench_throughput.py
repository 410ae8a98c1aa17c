"""Throughput of `cryopick pick` by number of workers, efficiency relative to a single worker, and memory per worker.

    python benchmarks/bench_throughput.py [--picker log] [--size 4096] [--each 6] [--workers 1 2 4 …] [--slow-disk 0.5] [-- …]

Each worker picks `--each` micrographs (links to a few files of discs in noise). The time counts from when as many micrographs
are finished as there are workers, by the times of their records, so starting Python and loading the model do not count.
Also printed: the efficiency, which should stay above 0.85 up to the number of cores; the peak of resident memory of the largest
process; and CPU seconds per micrograph, which show whether other programs took time. The last column is the time of reading,
picking and writing per micrograph divided by the elapsed time: above 1, they overlap. New files are cached in memory and need no
overlap; with `--slow-disk`, each read waits for a number of seconds. Arguments after `--` are passed to the command.
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

if os.environ.get(SLOW_DISK):  # at module level, because worker processes import this file
    at_once = MicrographSource.read

    def late(source: MicrographSource, *, salvage: bool = False) -> object:
        """Read as from a slow disk."""
        time.sleep(float(os.environ[SLOW_DISK]))
        return at_once(source, salvage=salvage)

    MicrographSource.read = late  # type: ignore[method-assign, assignment]


def make(folder: Path, size: int, count: int) -> None:
    """Make `count` names of a few micrographs."""
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
    """Return the seconds between finished micrographs, CPU seconds per micrograph, MB of the largest process, and the overlap."""
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
    print(f"{'workers':>7} {'per hour':>9} {'efficiency':>10} {'CPU s each':>11} {'MB/worker':>12} {'overlap':>8}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make(folder / "raw", options.size, max(DIFFERENT, max(options.workers) * options.each))
        first = 0.0
        for workers in options.workers:
            seconds, cpu, memory, overlap = run(folder, workers, options.each, words)
            first = first or seconds * workers
            share = first / (seconds * workers)
            print(f"{workers:7} {3600 / seconds:9,.0f} {share:10.2f} {cpu:11.2f} {memory:12,.0f} {overlap:8.2f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == [COMMAND]:
        del sys.argv[1]
        from cryopick.cli import main as command

        command()
    else:
        main()
