"""CPU seconds by stage of the pickers `unet` and `cryosegnet` on a 4096² micrograph, and the memory of a worker.

    python benchmarks/bench_unet.py [--size 4096] [--diameter 108] [--repeats 3] [--without-published]

Each picker runs in a process of its own on one thread, after a first run that does not count. Stages are medians in CPU seconds;
the memory is the peak of the whole process, including imports. The published U-Net has random weights, and Segment Anything,
whose weights do not come with the package, is replaced by the watershed: `bench_sam.py` times its decoder.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class Clock:
    """CPU seconds between calls, by name."""

    def __init__(self):
        self.seconds, self.last = {}, time.process_time()

    def __call__(self, name):
        now = time.process_time()
        self.seconds[name] = now - self.last
        self.last = now


def run_unet(path, diameter):
    from cryopick.io.micrographs.files import read_micrograph
    from cryopick.pickers import picker

    chosen = picker("unet")

    def once():
        clock = Clock()
        micrograph = read_micrograph(path)
        clock("read")
        prepared = chosen.prepare(micrograph, diameter=diameter)
        clock("scale and normalise")
        probabilities = chosen.predict([prepared])
        clock("network")
        chosen.finish(prepared, probabilities[0])
        clock("peaks and similarity")
        return clock.seconds

    return once


def run_cryosegnet(path, diameter):
    import numpy as np
    import torch

    from cryopick.detection.box_rules import published_rules
    from cryopick.detection.components import watershed
    from cryopick.io.micrographs.files import read_micrograph
    from cryopick.models.attention_unet import AttentionUNet
    from cryopick.pickers.cryosegnet import CryoSegNetSettings, denoised

    settings = CryoSegNetSettings()
    network = AttentionUNet().eval()

    def once():
        clock = Clock()
        micrograph = read_micrograph(path)
        clock("read")
        prepared = denoised(micrograph, settings, diameter_px=diameter)
        clock("denoise")
        with torch.inference_mode():
            probability = network(torch.from_numpy(prepared.values)[None, None])[0, 0].sigmoid().numpy()
        clock("network")
        instances = watershed(np.where(probability > np.quantile(probability, 0.9), 1, 0).astype(np.float32))
        published_rules(instances, scale_xy=(4.0, 4.0), min_iou=0.0)
        clock("watershed (for Segment Anything) and rules")
        return clock.seconds

    return once


PICKERS = {"unet": run_unet, "cryosegnet": run_cryosegnet}


def measure(name, path, diameter, repeats):
    """Return the median CPU seconds of the stages and the peak memory of this process in MiB."""
    once = PICKERS[name](path, diameter)
    once()  # imports, plans of transforms
    runs = [once() for _ in range(repeats)]
    stages = {stage: statistics.median(run[stage] for run in runs) for stage in runs[0]}
    return {"stages": stages, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--diameter", type=float, default=108.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--without-published", action="store_true")
    parser.add_argument("--one", choices=PICKERS, help=argparse.SUPPRESS)
    parser.add_argument("--micrograph", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.micrograph, options.diameter, options.repeats)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "micrograph.mrc"
        write(path, options.size, options.diameter)
        for name in ["unet"] if options.without_published else PICKERS:
            given = ["--diameter", str(options.diameter), "--repeats", str(options.repeats), "--micrograph", str(path)]
            command = [sys.executable, __file__, "--one", name, *given]
            output = subprocess.run(command, env=os.environ | THREADS, check=True, capture_output=True, text=True).stdout
            found = json.loads(output)
            print(f"{name}: {sum(found['stages'].values()):.2f} s, {found['memory']:.0f} MiB")
            for stage, seconds in found["stages"].items():
                print(f"  {seconds:7.2f} s  {stage}")


def write(path, size, diameter):
    """Write a micrograph of discs in noise, float32."""
    import numpy as np

    from cryopick.io.micrographs.files import write_micrograph

    rng = np.random.default_rng(size)
    pixels = rng.standard_normal((size, size), dtype=np.float32)
    reach = int(diameter) // 2
    disc = np.hypot(*(np.indices((2 * reach + 1,) * 2) - reach)) <= reach
    for y, x in rng.integers(0, size - 2 * reach, (int(size * size / (6 * diameter**2)), 2)):
        pixels[y : y + 2 * reach + 1, x : x + 2 * reach + 1] -= 0.5 * disc
    write_micrograph(path, pixels)


if __name__ == "__main__":
    main()
