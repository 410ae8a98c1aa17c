"""Detection of particles by correlation with their own rotational average."""

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
"""Number of blob sizes with which the search starts."""

HOLLOW = 1.4
"""Largest blob size tried, over the diameter: the middle of a ring responds only to filters wider than the ring."""

ROUNDS = 2
"""Number of times that the average is made from the picks of the previous one."""

SURROUNDINGS = 1.5
"""Diameter of the averaged disc over that of the particle, because the fringe of a defocused particle helps to find it."""


@dataclass(frozen=True)
class AverageMatch:
    """Peaks of the correlation with the average particle, with correlation coefficients in [-1, 1] as scores.

    Attributes
    ----------
    peaks : every peak, best first.
    cut : threshold between particles and noise.
    particles : float64 (n, 2), the peaks above the cut.
    correlator : of the image under the mask.
    """

    peaks: Detections
    cut: Cut
    particles: Points
    correlator: Correlator


def match_average(pixels: Map, diameter: float, *, slenderness: float, spacing: float) -> AverageMatch:
    """Find dark particles of `diameter` pixels in an image, at least `spacing` pixels apart.

    Blobs are found with Laplacian-of-Gaussian filters of several widths from `slenderness` to `HOLLOW` times the diameter. For
    each width, the rotational average of the better half is correlated with the image, and made again from the picks. Filters
    narrower than the particle may find its rim or ends instead of its middle, but these are not round and their average fits
    less well; so the average that explains most of the image is used.
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


def _match(pixels: Map, correlator: Correlator, particles: Points, *, spacing: float) -> AverageMatch:
    """Find peaks of the correlation with the average of `particles`; keep `particles` if there are none."""
    correlation = correlator(rotational_average(pixels, particles, len(correlator.mask) // 2))
    peaks, chance = (find_peaks(sign * correlation, spacing=spacing) for sign in (1, -1))
    cut = find_cut(peaks.scores, chance.scores)
    kept = peaks.scores >= cut.at
    return AverageMatch(peaks, cut, peaks.xy[kept] if kept.any() else particles, correlator)


def _explained(match: AverageMatch) -> float:
    """Return the share of the image's variance that the average explains, in units of one particle's surroundings."""
    scores = match.peaks.scores
    return float((scores[scores >= match.cut.at] ** 2).sum())


def rotational_average(pixels: Map, xy: Points, reach: int) -> Map:
    """Average the surroundings of points (n, 2) over all in-plane angles: a square of side 2 · reach + 1."""
    profile = radial_profile(pixels, xy, reach)
    return np.interp(distances(reach), np.arange(reach + 1), profile).astype(np.float32)
