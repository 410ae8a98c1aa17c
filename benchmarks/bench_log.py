"""CPU time and memory of the picker `log` by micrograph size, compared with scikit-image's `blob_dog`.

    python benchmarks/bench_log.py [--sizes 1024 2048 4096 8192] [--repeats 3] [--without-peer]

Every run is a new process on one thread. It makes a micrograph, discs of 108 pixels in noise, and measures only the picking: CPU
seconds, and the increase of the peak of resident memory in copies of the micrograph. Medians are printed.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

DIAMETER = 108
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def micrograph(size):
    import numpy as np

    rng = np.random.default_rng(size)
    pixels = rng.standard_normal((size, size), dtype=np.float32)
    reach = DIAMETER // 2
    disc = np.hypot(*(np.indices((2 * reach + 1,) * 2) - reach)) <= reach
    for y, x in rng.integers(0, size - 2 * reach, (size * size // (6 * DIAMETER**2), 2)):
        pixels[y : y + 2 * reach + 1, x : x + 2 * reach + 1] -= 0.5 * disc
    return pixels


def run_log(pixels):
    from cryopick.pickers import picker
    from cryopick.types import Micrograph

    return len(picker("log").pick(Micrograph(pixels), diameter=DIAMETER))


def run_blob_dog(pixels):
    from skimage.feature import blob_dog

    sigma = DIAMETER / 2 / 2**0.5
    return len(blob_dog(-pixels, min_sigma=0.55 * sigma, max_sigma=sigma, threshold=0.05))


RUNS = {"log": run_log, "blob_dog": run_blob_dog}


def measure(name, size):
    """Return CPU seconds, extra memory in copies of the micrograph, and number of picks of one run in this process."""
    pixels = micrograph(size)
    RUNS[name](pixels[:512, :512].copy())  # imports, plans
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    count = RUNS[name](pixels)
    seconds = time.process_time() - start
    extra = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / pixels.nbytes
    return {"seconds": seconds, "copies": extra, "picks": count}


def measure_apart(name, size):
    command = [sys.executable, __file__, "--one", name, "--sizes", str(size)]
    return json.loads(subprocess.run(command, env=os.environ | THREADS, check=True, capture_output=True, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 2048, 4096, 8192])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--without-peer", action="store_true")
    parser.add_argument("--one", choices=RUNS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.sizes[0])))
        return
    names = ["log"] if options.without_peer else list(RUNS)
    print(f"{'size':>6} {'picker':>9} {'CPU s':>8} {'copies':>7} {'picks':>6} {'times log':>10}")
    for size in options.sizes:
        reference = None
        for name in names:
            runs = [measure_apart(name, size) for _ in range(options.repeats)]
            seconds, copies = (statistics.median(run[key] for run in runs) for key in ("seconds", "copies"))
            reference = reference or seconds
            print(
                f"{size:6d} {name:>9} {seconds:8.3f} {copies:7.2f} {runs[0]['picks']:6d} {seconds / reference:10.1f}", flush=True
            )


if __name__ == "__main__":
    main()
