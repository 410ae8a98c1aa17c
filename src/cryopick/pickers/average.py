"""Particles found by what they look like on average, which the picture itself tells."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryopick.pickers.base import Detections
from cryopick.pickers.blobs import BlobFilter, asymmetry, radial_profile
from cryopick.pickers.correlate import Correlator, disc, distances
from cryopick.pickers.peaks import find_peaks
from cryopick.pickers.threshold import Cut, find_cut

Map = NDArray[np.float32]
Points = NDArray[np.float64]

WIDTHS = 6
"""Blob sizes tried."""

HOLLOW = 1.4
"""Largest blob size tried over the diameter: a ring answers in its middle only to filters wider than itself."""

ROUNDS = 2
"""Times that the average is made anew from what the last one found."""

SURROUNDINGS = 1.5
"""Diameter of the averaged disc over that of the particle: the fringe around a defocused particle belongs to its looks."""


@dataclass(frozen=True)
class Match:
    """Peaks of the correlation with the average particle, heights in [-1, 1] as their scores, and where to cut them.

    Attributes
    ----------
    peaks : every peak, best first.
    cut : parts particles from chance.
    particles : float64 (n, 2), the peaks that the last cut kept.
    correlator : the picture under the mask.
    """

    peaks: Detections
    cut: Cut
    particles: Points
    correlator: Correlator


def match_average(pixels: Map, diameter: float, *, slenderness: float, spacing: float) -> Match:
    """Find dark particles of `diameter` pixels in a picture, `spacing` pixels apart at least.

    Of the Laplacian-of-Gaussian filters from `slenderness` to `HOLLOW` times the diameter, the one whose response is most
    lopsided gives the first blobs. The rotational average of the better half of them is correlated with the picture, and is
    made anew from what that finds.
    """
    blobs = BlobFilter(pixels, int(np.ceil(HOLLOW * diameter)))
    response = max(map(blobs, np.geomspace(slenderness * diameter, HOLLOW * diameter, WIDTHS)), key=asymmetry)
    particles = find_peaks(response, spacing=spacing, threshold=0.0).xy
    particles = particles[: (len(particles) + 1) // 2]
    correlator = Correlator(pixels, disc(SURROUNDINGS * diameter / 2))
    for _ in range(ROUNDS):
        likeness = correlator(rotational_average(pixels, particles, len(correlator.mask) // 2))
        peaks, chance = (find_peaks(sign * likeness, spacing=spacing) for sign in (1, -1))
        cut = find_cut(peaks.scores, chance.scores)
        kept = peaks.scores >= cut.at
        if kept.any():
            particles = peaks.xy[kept]
    return Match(peaks, cut, particles, correlator)


def rotational_average(pixels: Map, xy: Points, reach: int) -> Map:
    """What the surroundings of points (n, 2) look like on average over them and all turns, a square of side 2 · reach + 1."""
    profile = radial_profile(pixels, xy, reach)
    return np.interp(distances(reach), np.arange(reach + 1), profile).astype(np.float32)
