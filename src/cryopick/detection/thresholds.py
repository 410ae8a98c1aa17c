"""Threshold between particles and noise among peaks, and scores that are comparable between micrographs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FALSE_SHARE = 0.5
"""Peaks are kept down to the height at which the inverted map, which has no particles, has this share as many."""

SCORE_AT_MEAN = 0.9
"""Score of the mean peak above the cut; the mean peak below it scores one minus this."""


@dataclass(frozen=True)
class Cut:
    """Threshold of peak heights: particles reach `at`; `gap` is the difference of the mean heights of both classes."""

    at: float
    gap: float

    def scores(self, heights: ArrayLike) -> NDArray[np.float32]:
        """Convert heights to scores in (0, 1) with a logistic curve: 0.5 at the cut and about 0.9 for the mean particle."""
        steepness = 2 * np.log(SCORE_AT_MEAN / (1 - SCORE_AT_MEAN)) / self.gap
        exponent = np.clip(steepness * (np.asarray(heights, np.float64) - self.at), -30, 30)
        return np.asarray(1 / (1 + np.exp(-exponent)), np.float32)


def find_cut(heights: NDArray[np.float32], inverted: NDArray[np.float32]) -> Cut:
    """Find the threshold between particles and noise among the heights of a map's peaks.

    Otsu's threshold (1979) is raised until at most half as many peaks of the inverted map (`inverted`), which are noise, lie
    above it as peaks of the map. If that is impossible, the threshold lies above every peak: an empty micrograph has no picks.
    """
    if len(heights) == 0 or heights.min() == heights.max():
        return Cut(np.inf if len(heights) == 0 else float(heights.max()), 1.0)
    ordered = np.sort(heights.astype(np.float64))
    start, gap = _otsu(ordered)
    kept = np.arange(len(ordered), 0, -1)
    chance = len(inverted) - np.searchsorted(np.sort(inverted), ordered, side="left")
    good = (ordered >= start) & (chance + 1 <= FALSE_SHARE * kept)
    at = ordered[good][0] if good.any() else ordered[-1] + gap / 10
    return Cut(float(max(at, start)), gap)


def _otsu(ordered: NDArray[np.float64]) -> tuple[float, float]:
    """Return Otsu's threshold of ascending values, half-way between two of them, and the distance of the two class means."""
    low = np.arange(1, len(ordered))
    high = len(ordered) - low
    total = np.cumsum(ordered)
    gaps = (total[-1] - total[:-1]) / high - total[:-1] / low
    best = int(np.argmax(low * high * gaps**2))
    return float((ordered[best] + ordered[best + 1]) / 2), float(gaps[best])
