"""Comparison of candidates with the average of the most confident ones of their micrograph: similarity and refined centres.

Particles of one micrograph have similar contrast and shape, and errors of their centres average out.
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

MIN_AVERAGED_SCORE = 0.5
"""Lowest score of a candidate that takes part in the average."""
MIN_COUNT = 5
"""Smallest number of candidates in an average."""
ROUNDS = 2
"""Number of times that the average is made, the second time about better centres."""
SHAPE, CONTRAST = 0.6, 0.5
"""Shares of the averaged candidates' median correlation with their average, and of their median contrast, from which a candidate
counts as fully similar. Views of one protein differ, and contrast differs by several times; neither must lower the scores."""
SPREAD = 0.08
"""Standard deviation of the network's centres, in diameters; candidates move further only to a better fit."""


@dataclass(frozen=True, eq=False)
class Refinement:
    """Candidates after comparison with the average.

    Attributes
    ----------
    xy : float64 (n, 2), the centres of the best fit of the average.
    similarity : float32 (n,), similarity to the average in shape and contrast: 1 if sufficient, 0 for none, negative for
        inverted contrast.
    """

    xy: Points
    similarity: Map


def refine(pixels: Map, found: Detections, *, diameter: float) -> Refinement:
    """Compare the candidates of one image, whose particles have `diameter` pixels, with the average of the most confident.

    The average is the rotational one of the better half of those with a score of at least `MIN_AVERAGED_SCORE`; with fewer than
    `MIN_COUNT`, centres stay and every similarity is 1.
    """
    confident = np.sort(found.scores[found.scores >= MIN_AVERAGED_SCORE])[::-1]
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
    """Return the maximum of the fit near each point (n, 2), weighted by a Gaussian; the point itself where nothing fits."""
    reach = int(np.ceil(2 * spread))
    offsets = np.indices((2 * reach + 1, 2 * reach + 1)).reshape(2, -1).T[:, ::-1] - reach
    places = (np.rint(xy).astype(np.intp)[:, None] + offsets).clip(0, np.array(fit.shape[::-1]) - 1)
    columns, rows = places.transpose(2, 0, 1)
    away = ((places - xy[:, None]) ** 2).sum(2)
    weighted = np.maximum(fit[rows, columns], 0) * np.exp(-away / (2 * spread**2))
    chosen = (np.arange(len(xy)), weighted.argmax(1))
    moved = places[chosen] + parabola_shift(fit, rows[chosen], columns[chosen])
    return np.where(weighted[chosen][:, None] > 0, moved, xy)
