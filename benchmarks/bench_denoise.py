"""Denoising chain against a plain implementation with complex128 `numpy.fft` and float64 filters on whole arrays.

    python benchmarks/bench_denoise.py [--side 4096] [--repeats 3] [--threads N]

Both use OpenCV's blur, non-local means, equalisation and box filter, and the same number of threads. Prints the difference of the
results, and the medians of wall and processor time by stage and in total, with their ratios.
"""

import argparse
import resource
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import cv2
import numpy as np

from cryopick.preprocess import denoise as ours


class Plain:
    """The published chain, implemented plainly."""

    def stretch(self, pixels: np.ndarray) -> np.ndarray:
        standard = (pixels - np.mean(pixels)) / np.std(pixels)
        return ((standard - standard.min()) / (standard.max() - standard.min()) * 255).astype(np.uint8)

    def wiener(self, grey: np.ndarray) -> np.ndarray:
        factor = np.exp(-(np.arange(-4, 5) ** 2) / (2 * 3.0**2))
        kernel = np.outer(factor, factor) / factor.sum() ** 2
        transfer = np.fft.fft2(kernel, s=grey.shape)
        result = np.fft.ifft2(np.fft.fft2(grey) * np.conj(transfer) / (np.abs(transfer) ** 2 + 30))
        return np.abs(result)

    def guided(self, image: np.ndarray, guide: np.ndarray) -> np.ndarray:
        source, leader = image / 255.0, guide / 255.0

        def mean(pixels: np.ndarray) -> np.ndarray:
            return cv2.boxFilter(pixels, cv2.CV_64F, (20, 20))

        covariance = mean(leader * source) - mean(leader) * mean(source)
        slope = covariance / (mean(leader * leader) - mean(leader) ** 2 + 0.1)
        offset = mean(source) - slope * mean(leader)
        return mean(slope) * leader + mean(offset)


Timed = Callable[[str, Callable[[], Any]], Any]


def plain_chain(pixels: np.ndarray, timed: Timed) -> np.ndarray:
    plain = Plain()
    blurred = timed("blur", lambda: cv2.GaussianBlur(pixels, (9, 9), 0))
    grey = timed("stretch", lambda: plain.stretch(blurred))
    averaged = timed("non-local means", lambda: cv2.fastNlMeansDenoising(grey, None, 10, 7, 21))
    deconvolved = timed("Wiener (FFT)", lambda: plain.wiener(averaged))
    stretched = timed("stretch", lambda: plain.stretch(deconvolved))
    equalised = timed("equalise", lambda: cv2.createCLAHE(2.0, (16, 16)).apply(stretched))
    smooth = timed("guided filter", lambda: plain.guided(equalised, deconvolved))
    return timed("stretch", lambda: plain.stretch(smooth))


def our_chain(pixels: np.ndarray, timed: Timed) -> np.ndarray:
    blurred = timed("blur", lambda: ours.gaussian_blur(pixels))
    grey = timed("stretch", lambda: ours.stretch(blurred))
    averaged = timed("non-local means", lambda: ours.non_local_means(grey))
    deconvolved, _ = timed("Wiener (FFT)", lambda: ours.wiener(averaged, ours.gaussian_kernel()))
    stretched = timed("stretch", lambda: ours.stretch(deconvolved))
    equalised = timed("equalise", lambda: ours.equalise(stretched))
    smooth, _ = timed("guided filter", lambda: ours.guided_filter(equalised, deconvolved))
    return timed("stretch", lambda: ours.stretch(smooth))


def run(chain: Callable[[np.ndarray, Timed], np.ndarray], pixels: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the result of a chain, and wall and processor seconds by stage and in total."""
    spent: dict[str, np.ndarray] = {}

    def timed(name: str, stage: Callable[[], Any]) -> Any:
        start = np.array([time.perf_counter(), time.process_time()])
        result = stage()
        spent[name] = spent.get(name, np.zeros(2)) + (np.array([time.perf_counter(), time.process_time()]) - start)
        return result

    result = chain(pixels, timed)
    spent["all"] = np.sum(list(spent.values()), axis=0)
    spent["all but non-local means"] = spent["all"] - spent["non-local means"]
    return result, spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=cv2.getNumThreads())
    options = parser.parse_args()
    cv2.setNumThreads(options.threads)
    pixels = np.random.default_rng(0).normal(100, 25, (options.side, options.side)).astype(np.float32)
    our_chain(pixels[:256, :256], lambda _, stage: stage())  # imports and plans
    theirs, mine = [], []
    for _ in range(options.repeats):
        (wanted, spent), (found, ours_spent) = run(plain_chain, pixels), run(our_chain, pixels)
        theirs.append(spent)
        mine.append(ours_spent)
    difference = np.abs(found.astype(int) - wanted)
    print(f"{options.side}² pixels, {options.threads} threads, medians of {options.repeats}")
    print(f"results differ by at most {difference.max()} grey levels, in {(difference > 0).mean():.1e} of the pixels")
    heads = ("plain: wall", "processor", "ours: wall", "processor", "ratio: wall", "processor")
    print(f"{'seconds':26}" + "".join(f"{head:>13}" for head in heads))
    for name in theirs[0]:
        plain, own = (np.array([median(run[name][kind] for run in runs) for kind in (0, 1)]) for runs in (theirs, mine))
        print(f"{name:26}" + "".join(f"{value:13.2f}" for value in (*plain, *own, *(plain / own))))
    print(f"peak memory of both: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB")


if __name__ == "__main__":
    main()
