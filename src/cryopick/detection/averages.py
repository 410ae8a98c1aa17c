"""Particles found by what they look like on average, which the picture itself tells."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryopick.detection.blobs import BlobFilter, radial_profile
from cryopick.detection.correlation import Correlator, disc, distances
from cryopick.detection.detections import Detections
from cryopick.detection.peaks import find_peaks
from cryopick.detection.thresholds import Cut, find_cut

Map = NDArray[np.float32]
Points = NDArray[np.float64]

WIDTHS = 4
"""Blob sizes that the search is begun with."""

HOLLOW = 1.4
"""Largest blob size tried over the diameter: a ring answers in its middle only to filters wider than itself."""

ROUNDS = 2
"""Times that the average is made from what the last one found."""

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

    Laplacian-of-Gaussian filters from `slenderness` to `HOLLOW` times the diameter each give first blobs. The rotational
    average of the better half of them is correlated with the picture, and made anew from what that finds. Filters narrower
    than the particle may find its rim, or its ends, in place of its middle; but what surrounds these is not round, so that
    the average resembles it less: of all averages the one is taken that explains most of the picture.
    """
    blobs = BlobFilter(pixels, int(np.ceil(HOLLOW * diameter)))
    correlator = Correlator(pixels, disc(SURROUNDINGS * diameter / 2))
    widths = np.geomspace(slenderness * diameter, HOLLOW * diameter, WIDTHS)
    starts = [find_peaks(blobs(width), spacing=spacing, threshold=0.0).xy for width in widths]
    matches = [_match(pixels, correlator, start[: (len(start) + 1) // 2], spacing=spacing) for start in starts]
    match = max(matches, key=_explained)
    for _ in range(ROUNDS - 1):
        match = _match(pixels, correlator, match.particles, spacing=spacing)
    return match


def _match(pixels: Map, correlator: Correlator, particles: Points, *, spacing: float) -> Match:
    """What the average of particles finds; where that is nothing, `particles` stay those."""
    likeness = correlator(rotational_average(pixels, particles, len(correlator.mask) // 2))
    peaks, chance = (find_peaks(sign * likeness, spacing=spacing) for sign in (1, -1))
    cut = find_cut(peaks.scores, chance.scores)
    kept = peaks.scores >= cut.at
    return Match(peaks, cut, peaks.xy[kept] if kept.any() else particles, correlator)


def _explained(match: Match) -> float:
    """The share of the picture's variance that the average explains, in units of one particle's surroundings."""
    scores = match.peaks.scores
    return float((scores[scores >= match.cut.at] ** 2).sum())


def rotational_average(pixels: Map, xy: Points, reach: int) -> Map:
    """What the surroundings of points (n, 2) look like on average over them and all turns, a square of side 2 · reach + 1."""
    profile = radial_profile(pixels, xy, reach)
    return np.interp(distances(reach), np.arange(reach + 1), profile).astype(np.float32)
