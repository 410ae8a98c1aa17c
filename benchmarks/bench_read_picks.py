"""CPU time to write and read one million picks on 2,000 micrographs.

python benchmarks/bench_read_picks.py [PICKS] [FORMAT…]
"""

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from cryopick.io.picks.formats import read_picks, write_picks
from cryopick.types import Picks

MICROGRAPHS = 2_000
REPEATS = 3
SUFFIXES = {"star": ".star", "cs": ".cs", "topaz": ".txt", "csv": ".csv", "coco": ".json", "relion": "", "box": ""}


def main(count: int, formats: list[str]) -> None:
    rng = np.random.default_rng(0)
    each = count // MICROGRAPHS
    picks = [
        Picks(
            f"MotionCorr/job002/Micrographs/micrograph_{number:05d}.mrc",
            rng.uniform(0, 4095, (each, 2)),
            rng.random(each),
            150.0,
            (4096, 4096),
            1.06,
        )
        for number in range(MICROGRAPHS)
    ]
    print(f"{each * MICROGRAPHS:,} picks on {MICROGRAPHS:,} micrographs, median CPU seconds of {REPEATS}")
    for name in formats:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"picks{SUFFIXES[name]}"
            writing, _ = zip(*(timed(write_picks, picks, path, format=name) for _ in range(REPEATS)), strict=True)
            reading, found = zip(*(timed(read_picks, path) for _ in range(REPEATS)), strict=True)
        assert sum(map(len, found[0])) == each * MICROGRAPHS
        print(f"{name:8} write {median(writing):6.2f}   read {median(reading):6.2f}")


def timed(call, *arguments, **options):
    start = time.process_time()
    result = call(*arguments, **options)
    return time.process_time() - start, result


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000, sys.argv[2:] or ["star", "cs", "topaz", "csv"])
