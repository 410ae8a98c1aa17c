"""Picks next to what the surest picks of their micrograph look like: how strongly they show it, and where it fits best.

Particles of one micrograph have one contrast and one shape, and the network's errors of their centres average out.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cryopick.pickers.average import SURROUNDINGS, rotational_average
from cryopick.pickers.base import Detections
from cryopick.pickers.correlate import Correlator, disc
from cryopick.pickers.peaks import parabola_shift

Map = NDArray[np.float32]
Points = NDArray[np.float64]

SURE = 0.5
"""Score from which a pick may take part in the average."""
LEAST = 5
"""Picks that an average needs; with fewer nothing can be said."""
ROUNDS = 2
"""Times that the average is made; the second time about better centres."""
SPREAD = 0.08
"""Of a diameter: how far off a network's centres are, as a standard deviation. Farther away the average must fit better."""


@dataclass(frozen=True, eq=False)
class Likeness:
    """Picks next to the average of the surest ones.

    Attributes
    ----------
    xy : float64 (n, 2), the centres, where the average fits best.
    strength : float32 (n,), of each pick's surroundings projected onto the average, over their median; at most 1, as what is
        stronger than most, such as ice, is no more a particle for it.
    """

    xy: Points
    strength: Map


def likeness(pixels: Map, found: Detections, *, diameter: float) -> Likeness:
    """Hold picks of one picture, whose particles have `diameter` pixels, against the rotational average of the surest of them.

    The surest are the better half of those with a score of at least `SURE`; where these are fewer than `LEAST`, centres stay and
    all strengths are 1.
    """
    sure = np.sort(found.scores[found.scores >= SURE])[::-1]
    sure = sure[: (len(sure) + 1) // 2]
    xy, strength = found.xy, np.ones(len(found.scores), np.float32)
    if len(sure) < LEAST:
        return Likeness(xy, strength)
    best = found.scores >= sure[-1]
    correlator = Correlator(pixels, disc(SURROUNDINGS * diameter / 2))
    for _ in range(ROUNDS):
        fit = correlator(rotational_average(pixels, xy[best], len(correlator.mask) // 2))
        xy = _recentred(fit, found.xy, SPREAD * diameter)
    projected = ndimage.map_coordinates(fit * correlator.deviation, found.xy.T[::-1], order=1, mode="nearest")
    usual = np.median(projected[best])
    return Likeness(xy, np.asarray(np.minimum(projected / usual, 1), np.float32) if usual > 0 else strength)


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
