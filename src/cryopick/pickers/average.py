"""Particles found by what they look like on average, which the picture itself tells, and their diameter where it is unknown."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryopick.pickers.base import Detections
from cryopick.pickers.blobs import BlobFilter, asymmetry, edge_radius, radial_profile
from cryopick.pickers.correlate import Correlator, disc, distances
from cryopick.pickers.peaks import find_peaks
from cryopick.pickers.threshold import Cut, find_cut
from cryopick.preprocess.resample import crop_to_scale

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

LADDER_SPAN = 12
"""Pixels across a particle while diameters are compared."""


@dataclass(frozen=True)
class Match:
    """Peaks of the correlation with the average particle, heights in [-1, 1] as their scores, and where to cut them.

    Attributes
    ----------
    peaks : every peak, best first.
    cut : parts particles from chance.
    particles : float64 (n, 2), the peaks that the last cut kept.
    explained : share of the picture's variance that the particles account for, less what chance accounts for.
    correlator : the picture under the mask.
    """

    peaks: Detections
    cut: Cut
    particles: Points
    explained: float
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
        likeness = correlator(_average(pixels, particles, len(correlator.mask) // 2))
        peaks, chance = (find_peaks(sign * likeness, spacing=spacing) for sign in (1, -1))
        cut = find_cut(peaks.scores, chance.scores)
        kept = peaks.scores >= cut.at
        if kept.any():
            particles = peaks.xy[kept]
    surplus = np.sum(peaks.scores[kept] ** 2) - np.sum(chance.scores[chance.scores >= cut.at] ** 2)
    return Match(peaks, cut, particles, float(surplus) * diameter**2 / pixels.size, correlator)


def estimate_diameter(
    pixels: Map, *, limits: tuple[float, float] | None = None, slenderness: float = 0.55, spacing: float = 0.6
) -> float | None:
    """Diameter in pixels of the dark particles of a picture, between two limits; None where nothing is found.

    The limits are 1/100 (but 16 pixels at least) and 1/6 of the shorter side unless given. A picture that is too small for them,
    or has no contrast, gives None.

    Particles of every size on a ladder of steps of √2 are looked for, `spacing` diameters apart. Those that explain most of the
    picture's variance are averaged, and the edge of the average gives the diameter. For longish particles it is nearer to
    their width than to their length.
    """
    side = min(pixels.shape)
    smallest, largest = limits or (max(16, side / 100), side / 6)
    if largest < smallest or pixels.min() == pixels.max():
        return None
    best, diameter = 0.0, None
    for size in smallest * np.sqrt(2.0) ** np.arange(int(2 * np.log2(largest / smallest)) + 1):
        small, to_home = crop_to_scale(pixels, size / LADDER_SPAN)
        span = size / to_home.length
        match = match_average(small, span, slenderness=slenderness, spacing=spacing * span)
        if match.explained > best:
            profile = radial_profile(small, match.particles, int(np.ceil(1.25 * span)))
            best, diameter = match.explained, 2 * edge_radius(profile) * to_home.length
    return None if diameter is None else float(np.clip(diameter, smallest, largest))


def _average(pixels: Map, xy: Points, reach: int) -> Map:
    profile = radial_profile(pixels, xy, reach)
    return np.interp(distances(reach), np.arange(reach + 1), profile).astype(np.float32)
