"""Comparison of candidates with the average of the most confident ones of their micrograph: similarity, and where it fits best.

Particles of one micrograph share a contrast and a shape, and the network's errors of their centres average out.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cryopick.detection.averages import SURROUNDINGS, rotational_average
from cryopick.detection.correlation import Correlator, disc
from cryopick.detection.detections import Detections
from cryopick.detection.peaks import parabola_shift

Map = NDArray[np.float32]
Points = NDArray[np.float64]

MIN_SCORE = 0.5
"""Score from which a candidate may take part in the average."""
MIN_COUNT = 5
"""Candidates that an average needs."""
ROUNDS = 2
"""Times that the average is made, the second time about better centres."""
SHAPE, CONTRAST = 0.6, 0.5
"""Shares of the averaged candidates' median correlation with their average, and of its median contrast, that count as fully
similar. Views of one protein differ, and a disc's contrast differs by several times, and they must not lose by that."""
SPREAD = 0.08
"""Standard deviation of the network's centres, in diameters. Farther away the average must fit better."""


@dataclass(frozen=True, eq=False)
class Refinement:
    """Candidates after comparison with the average.

    Attributes
    ----------
    xy : float64 (n, 2), the centres, where the average fits best.
    similarity : float32 (n,), how much of the average a candidate shows, in shape and in contrast: 1 for enough, 0 for nothing,
        negative for its negative.
    """

    xy: Points
    similarity: Map


def refine(pixels: Map, found: Detections, *, diameter: float) -> Refinement:
    """Compare the candidates of one image, whose particles have `diameter` pixels, with the average of the most confident.

    The average is the rotational one of the better half of those with a score of at least `MIN_SCORE`; with fewer than
    `MIN_COUNT`, centres stay and every similarity is 1.
    """
    confident = np.sort(found.scores[found.scores >= MIN_SCORE])[::-1]
    confident = confident[: (len(confident) + 1) // 2]
    xy = found.xy
    if len(confident) < MIN_COUNT:
        return Refinement(xy, np.ones(len(xy), np.float32))
    best = found.scores >= confident[-1]
    correlator = Correlator(pixels, disc(SURROUNDINGS * diameter / 2))
    for _ in range(ROUNDS):
        fit = correlator(rotational_average(pixels, xy[best], len(correlator.mask) // 2))
        xy = _recentred(fit, found.xy, SPREAD * diameter)
    similarity = np.ones(len(xy))
    for shown, enough in ((fit, SHAPE), (fit * correlator.deviation, CONTRAST)):
        values = ndimage.map_coordinates(shown, xy.T[::-1], order=1, mode="nearest")
        usual = np.median(values[best])
        if usual > 0:
            similarity = np.minimum(similarity, values / (enough * usual))
    return Refinement(xy, similarity.astype(np.float32))


def _recentred(fit: Map, xy: Points, spread: float) -> Points:
    """The maximum of the fit near each point (n, 2), weighted with a Gaussian about it; the point itself where nothing fits."""
    reach = int(np.ceil(2 * spread))
    offsets = np.indices((2 * reach + 1, 2 * reach + 1)).reshape(2, -1).T[:, ::-1] - reach
    places = (np.rint(xy).astype(np.intp)[:, None] + offsets).clip(0, np.array(fit.shape[::-1]) - 1)
    columns, rows = places.transpose(2, 0, 1)
    away = ((places - xy[:, None]) ** 2).sum(2)
    weighted = np.maximum(fit[rows, columns], 0) * np.exp(-away / (2 * spread**2))
    chosen = (np.arange(len(xy)), weighted.argmax(1))
    moved = places[chosen] + parabola_shift(fit, rows[chosen], columns[chosen])
    return np.where(weighted[chosen][:, None] > 0, moved, xy)
