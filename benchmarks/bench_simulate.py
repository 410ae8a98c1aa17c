"""CPU time of a simulated micrograph, without its structure, and throughput of batches of crops.

python benchmarks/bench_simulate.py [--device cuda] [--repeats 3]
"""

import argparse
import time
from dataclasses import replace
from statistics import median

import numpy as np
import torch

from cryopick.simulate import (
    FixedStructures,
    load_settings,
    pseudo_protein,
    random_structures,
    simulate_crops,
    simulate_micrograph,
    structure_bank,
)

CASES = (  # side, diameter in Å, coverage of about 500 and 2,500 particles at 1 Å per pixel
    (1024, 38.0, 0.55),
    (4096, 90.0, 0.60),
)


def micrographs(repeats: int) -> None:
    torch.set_num_threads(1)
    for side, diameter, coverage in CASES:
        settings = replace(
            load_settings("typical"),
            coverage=(coverage,) * 2,
            spacing=(0.75, 0.75),
            dense=0.0,
            empty=0.0,
            diameter=(30.0, 1000.0),
        )
        source = FixedStructures([pseudo_protein(np.random.default_rng(0), diameter=diameter, kind="globular", symmetry="D2")])
        seconds, particles = [], []
        for index in range(repeats):
            start = time.process_time()
            found = simulate_micrograph(seed=1, index=index, size=side, pixel_size=1.0, settings=settings, structures=source)
            seconds.append(time.process_time() - start)
            particles.append(len(found.truth))
        print(f"{side}²: {median(seconds):.2f} CPU-s, about {median(particles):.0f} particles")


def crops(device: str, repeats: int, count: int) -> None:
    bank = structure_bank(random_structures(32, seed=0), device=device)
    rng = np.random.default_rng(0)
    simulate_crops(bank, count, rng=rng)
    start, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        simulate_crops(bank, count, rng=rng)
        if device != "cpu":
            torch.cuda.synchronize()
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    number = repeats * count
    print(f"256² crops on {device}, {count} at once: {number / wall:.0f} a second, {number / cpu:.0f} a CPU-second")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    given = parser.parse_args()
    if given.device == "cpu":
        micrographs(given.repeats)
    crops(given.device, given.repeats, given.batch)


if __name__ == "__main__":
    main()
