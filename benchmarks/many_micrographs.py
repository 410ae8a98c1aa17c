"""Pick very many tiny micrographs under `kill -9`, and check that none is lost or duplicated and that memory stays bounded.

    python benchmarks/many_micrographs.py [--count 20000] [--kills 3] [--workers 2] [--folder FOLDER]

`cryopick pick` is started on the same folder repeatedly and killed with all its workers at random moments, then left to finish.
After that, every micrograph must have one record, one row in `micrographs.csv` and its picks once in `particles.star`, and no
record from before a kill may have been written again. Prints the resident memory of the command and of its largest worker by the
number of finished micrographs, and a row for the table in docs/facility.md. The micrographs are links to a few files of 64²
pixels, so the disk holds little more than results. Exits with 1 if a check fails.
"""

import argparse
import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.tables.star import read_star

SIDE = 64
DIFFERENT = 16


def make(folder: Path, count: int) -> None:
    """Make `count` names of a few images of noise with two discs, at a different position in each."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    discs = sum(np.hypot(*(np.indices((SIDE, SIDE)) - place)) < 6 for place in ([[[16]], [[16]]], [[[40]], [[44]]]))
    for index in range(count):
        path = folder / f"m{index:06}.mrc"
        if index < DIFFERENT:
            pixels = rng.standard_normal((SIDE, SIDE)) - 3 * np.roll(discs, index % 8, axis=1)
            write_micrograph(path, pixels.astype(np.float32), pixel_size=2.0)
        else:
            path.hardlink_to(folder / f"m{index % DIFFERENT:06}.mrc")


def start(folder: Path, workers: int) -> subprocess.Popen[bytes]:
    words = [
        "pick",
        "raw",
        "--out",
        "out",
        "--picker",
        "log",
        "--diameter",
        "24",
        "--no-previews",
        "--no-report",
        "--workers",
        str(workers),
    ]
    command = [sys.executable, "-m", "cryopick", *words]
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)


def finished(folder: Path) -> int:
    records = folder / "out" / "records"
    return sum(entry.name.endswith(".json") for entry in os.scandir(records)) if records.is_dir() else 0


def memory(process: subprocess.Popen[bytes]) -> tuple[float, float]:
    """Return the MB in use by the command and by its largest child; zeros if it has ended."""
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        return resident(process.pid), max((resident(int(child)) for child in children), default=0.0)
    except (OSError, StopIteration):
        return 0.0, 0.0


def resident(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def run_and_kill(folder: Path, workers: int, until: int) -> None:
    """Run until a number of micrographs are finished, and a random moment longer, then kill the command and its workers."""
    process = start(folder, workers)
    while finished(folder) < until and process.poll() is None:
        time.sleep(0.05)
    time.sleep(random.uniform(0, 0.3))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def run_to_the_end(folder: Path, workers: int, count: int) -> tuple[int, str]:
    """Run to the end; return the exit code and a table cell with the memory of the command and of its largest worker."""
    process = start(folder, workers)
    marks = [count * part // 10 for part in range(1, 11)]
    seen = {}
    print(f"{'finished':>9} {'command':>9} {'worker':>9}  MB")
    while process.poll() is None:
        now = finished(folder)
        if marks and now >= marks[0]:
            seen[now] = memory(process)
            print(f"{now:9,} {'{:9.1f} {:9.1f}'.format(*seen[now])}", flush=True)
            marks = [mark for mark in marks if mark > now]
        time.sleep(0.2)
    whole = {now: both for now, both in seen.items() if all(both)}
    first, last = (whole[end(whole)] for end in (min, max)) if whole else ((0.0, 0.0),) * 2
    marked = f"{min(whole, default=0) / count:.0%} and {max(whole, default=0) / count:.0%}"
    return process.returncode, f"{first[0]:.1f} and {last[0]:.1f} MB at {marked} | {first[1]:.1f} and {last[1]:.1f} MB"


def faults(folder: Path, count: int, before: dict[str, int]) -> list[str]:
    """Return the checks that fail."""
    out = folder / "out"
    records = {path.stem: json.loads(path.read_bytes())["outcome"] for path in (out / "records").glob("*.json")}
    with (out / "micrographs.csv").open(newline="") as file:
        rows = Counter(row["name"] for row in csv.DictReader(file) if row["status"] == "done")
    star = Counter(read_star(out / "particles.star")["particles"].text("rlnMicrographName"))
    expected = {f"m{index:06}.mrc" for index in range(count)}
    picked = {record["name"]: record["picks"] for record in records.values() if record["picks"]}
    rewritten = sum((out / "records" / name).stat().st_mtime_ns != when for name, when in before.items())
    checks = {
        "each micrograph has one record": {record["name"] for record in records.values()} == expected == set(rows),
        "each has one row": set(rows.values()) == {1} and len(records) == count,
        "each has its picks in the STAR file once": dict(star) == picked,
        "no record was written again": rewritten == 0,
        "there are picks": len(star) > count / 2,
    }
    return [claim for claim, holds in checks.items() if not holds]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        make(folder / "raw", options.count)
        before: dict[str, int] = {}
        for kill in range(options.kills):
            run_and_kill(folder, options.workers, options.count * (kill + 1) // (options.kills + 2))
            before = {path.name: path.stat().st_mtime_ns for path in (folder / "out" / "records").glob("[!.]*.json")}
            print(f"killed at {len(before):,} of {options.count:,}", flush=True)
        started = time.perf_counter()
        code, row = run_to_the_end(folder, options.workers, options.count)
        seconds = time.perf_counter() - started
        print(f"{options.count - len(before):,} more in {seconds:.0f} s")
        wrong = faults(folder, options.count, before) if code == 0 else [(folder / "log.txt").read_text()[-2000:]]
    fate = f"{len(wrong)} checks failed" if wrong else "none"
    pace = f"{(options.count - len(before)) / seconds:.0f} per second"
    print(f"| {options.count:,} | {options.kills} | {row} | {pace} | {fate} |")
    print("\n".join(f"WRONG: {claim}" for claim in wrong) or "none lost, none duplicated, none picked again")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
