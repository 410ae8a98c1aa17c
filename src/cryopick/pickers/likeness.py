"""How strongly a pick shows what the picks of its micrograph look like: particles of one micrograph have one contrast."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cryopick.pickers.average import SURROUNDINGS, rotational_average
from cryopick.pickers.base import Detections
from cryopick.pickers.correlate import Correlator, disc

Map = NDArray[np.float32]

SURE = 0.5
"""Score from which a pick may take part in the average."""
LEAST = 5
"""Picks that an average needs; with fewer nothing can be said."""


def likeness(pixels: Map, found: Detections, *, diameter: float) -> NDArray[np.float32]:
    """Strength of each pick's surroundings, projected onto the rotational average of the surest picks, over their median; (n,).

    At most 1: what is stronger than most, such as ice, is no more a particle for it. The surest are the better half of those with
    a score of at least `SURE`; all are 1 where these are fewer than `LEAST`.
    """
    sure = np.sort(found.scores[found.scores >= SURE])[::-1]
    sure = sure[: (len(sure) + 1) // 2]
    if len(sure) < LEAST:
        return np.ones(len(found.scores), np.float32)
    best = found.scores >= sure[-1]
    correlator = Correlator(pixels, disc(SURROUNDINGS * diameter / 2))
    average = rotational_average(pixels, found.xy[best], len(correlator.mask) // 2)
    strength = ndimage.map_coordinates(correlator(average) * correlator.deviation, found.xy.T[::-1], order=1, mode="nearest")
    usual = np.median(strength[best])
    return np.asarray(np.minimum(strength / usual, 1) if usual > 0 else np.ones(len(strength)), np.float32)
