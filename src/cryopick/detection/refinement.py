"""Picks next to what the surest picks of their micrograph look like: how much they show of it, and where it fits best.

Particles of one micrograph have one contrast and one shape, and the network's errors of their centres average out.
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

SURE = 0.5
"""Score from which a pick may take part in the average."""
LEAST = 5
"""Picks that an average needs; with fewer nothing can be said."""
ROUNDS = 2
"""Times that the average is made; the second time about better centres."""
SHAPE, CONTRAST = 0.6, 0.5
"""Of the surest picks' usual correlation with their average, and of its usual contrast: what has so much of both is as good as
they. Views of one protein differ, a disc's contrast by several times, and must not lose by that."""
SPREAD = 0.08
"""Of a diameter: how far off a network's centres are, as a standard deviation. Farther away the average must fit better."""


@dataclass(frozen=True, eq=False)
class Likeness:
    """Picks next to the average of the surest ones.

    Attributes
    ----------
    xy : float64 (n, 2), the centres, where the average fits best.
    alike : float32 (n,), how much of the average a pick's surroundings show, in shape and in contrast, next to the surest ones: 1
        for enough, 0 for nothing, below for its negative.
    """

    xy: Points
    alike: Map


def likeness(pixels: Map, found: Detections, *, diameter: float) -> Likeness:
    """Hold picks of one picture, whose particles have `diameter` pixels, against the rotational average of the surest of them.

    The surest are the better half of those with a score of at least `SURE`; where these are fewer than `LEAST`, centres stay and
    all are alike.
    """
    sure = np.sort(found.scores[found.scores >= SURE])[::-1]
    sure = sure[: (len(sure) + 1) // 2]
    xy = found.xy
    if len(sure) < LEAST:
        return Likeness(xy, np.ones(len(xy), np.float32))
    best = found.scores >= sure[-1]
    correlator = Correlator(pixels, disc(SURROUNDINGS * diameter / 2))
    for _ in range(ROUNDS):
        fit = correlator(rotational_average(pixels, xy[best], len(correlator.mask) // 2))
        xy = _recentred(fit, found.xy, SPREAD * diameter)
    alike = np.ones(len(xy))
    for shown, enough in ((fit, SHAPE), (fit * correlator.deviation, CONTRAST)):
        values = ndimage.map_coordinates(shown, xy.T[::-1], order=1, mode="nearest")
        usual = np.median(values[best])
        if usual > 0:
            alike = np.minimum(alike, values / (enough * usual))
    return Likeness(xy, alike.astype(np.float32))


def _recentred(fit: Map, xy: Points, spread: float) -> Points:
    """Where near points (n, 2) the fit, weighted with a Gaussian about each, is highest; where nothing fits they stay."""
    reach = int(np.ceil(2 * spread))
    offsets = np.indices((2 * reach + 1, 2 * reach + 1)).reshape(2, -1).T[:, ::-1] - reach
    places = (np.rint(xy).astype(np.intp)[:, None] + offsets).clip(0, np.array(fit.shape[::-1]) - 1)
    columns, rows = places.transpose(2, 0, 1)
    away = ((places - xy[:, None]) ** 2).sum(2)
    weighted = np.maximum(fit[rows, columns], 0) * np.exp(-away / (2 * spread**2))
    chosen = (np.arange(len(xy)), weighted.argmax(1))
    moved = places[chosen] + parabola_shift(fit, rows[chosen], columns[chosen])
    return np.where(weighted[chosen][:, None] > 0, moved, xy)
