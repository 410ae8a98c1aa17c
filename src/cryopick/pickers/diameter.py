"""How large particles are where nobody says: a network that was taught them at one size is surest of them at that size."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cryopick.detection.peaks import find_peaks
from cryopick.errors import CryopickError
from cryopick.preprocess.resample import crop_to_scale
from cryopick.types import Micrograph

Map = NDArray[np.float32]
Look = Callable[[Map, float], Map]
Limits = tuple[float, float]

COARSE, FINE = 0.5, 0.25
"""Steps of the ladder of diameters in octaves, and those around its best rung."""

SMALLEST_PX = 16.0
SMALLEST_SHARE, LARGEST_SHARE = 1 / 100, 1 / 4
"""Diameters tried, over the shorter side of the picture."""

REGION = 24
"""Particles that fit side by side into the part of the picture that is looked at; some hundreds of them tell enough."""

FAINTEST = 0.05
SPACING = 0.5
LEAST_SURENESS = 0.6
"""What clutter and noise do not reach on simulated micrographs without particles."""

ROUNDED_TO = 3
"""Significant digits of an estimate: it is not better, and so the last bit of a computation decides no pick."""


@dataclass(frozen=True)
class Size:
    """What one micrograph tells: the diameter in Å, or in pixels without a pixel size, and how sure it is, from 0 to 1."""

    diameter: float
    sureness: float


@dataclass(frozen=True)
class DiameterEstimate:
    """The diameter of the particles of several micrographs.

    Attributes
    ----------
    diameter : Å, or pixels where the pixel size is unknown, see `unit`.
    low, high : the tenth and ninetieth percentile of what single micrographs say.
    micrographs : how many of them had a say; those without particles that the network is sure of have none.
    """

    diameter: float
    low: float
    high: float
    micrographs: int
    unit: Literal["Å", "pixels"]

    def __str__(self) -> str:
        said = "1 micrograph" if self.micrographs == 1 else f"{self.micrographs} micrographs"
        spread = "" if self.micrographs == 1 else f", 10-90 %: {self.low:g}-{self.high:g}"
        return f"about {self.diameter:g} {self.unit} across (from {said}{spread})"


@runtime_checkable
class EstimatesDiameter(Protocol):
    """A picker that estimates the diameter for a whole run in its own way."""

    def estimate_diameter(self, micrographs: Iterable[Micrograph]) -> DiameterEstimate | None:
        """The diameter with which all micrographs like these are to be picked.

        None when the picker needs none, or when there are no micrographs. Raises `CryopickError` when none of them tells.
        """
        ...


class Sizer(Protocol):
    """Tells the diameter of the particles of one micrograph."""

    def size(self, micrograph: Micrograph, *, limits: Limits | None = None) -> Size | None:
        """None where no particles are seen. `limits` and the result in Å, or in pixels without a pixel size."""
        ...


def combine(micrographs: Iterable[Micrograph], size: Callable[[Micrograph], Size | None]) -> DiameterEstimate | None:
    """The median of what the micrographs tell, each weighted by the square of its sureness; None without micrographs.

    Raises `CryopickError` when none of them tells anything, or when only some have a pixel size.
    """
    sizes: list[Size] = []
    units: set[Literal["Å", "pixels"]] = set()
    seen = 0
    for micrograph in micrographs:
        seen += 1
        units.add("pixels" if micrograph.pixel_size is None else "Å")
        found = size(micrograph)
        if found is not None:
            sizes.append(found)
    if seen == 0:
        return None
    if len(units) > 1:
        raise CryopickError("some micrographs tell their pixel size and others do not; give it (--pixel-size)")
    if not sizes:
        looked = "the micrograph" if seen == 1 else f"the {seen} micrographs that were tried"
        raise CryopickError(f"no particles of any size stand out on {looked}; give their diameter (--diameter)")
    diameters = np.array([found.diameter for found in sizes])
    weights = np.array([found.sureness**2 for found in sizes])
    middle, low, high = (_rounded(_quantile(diameters, weights, share)) for share in (0.5, 0.1, 0.9))
    return DiameterEstimate(middle, low, high, len(sizes), units.pop())


def surest_diameter(pixels: Map, look: Look, *, particle_px: float, limits: Limits | None = None) -> Size | None:
    """The diameter in pixels at which a network is surest of what it sees in a picture of dark particles; None for no particles.

    The network was taught particles of `particle_px` pixels. The picture is shown to it as if particles had each diameter on a
    ladder between two limits, then finer around the best one; a parabola through the sureness there gives the diameter. By
    default the limits are 1/100 (but 16 pixels at least) and 1/4 of the shorter side.

    Parameters
    ----------
    look : given a scaled picture and the pixels that a particle spans in it, the probability that a particle's centre is at each
        pixel of the `middle` of it.
    """
    smallest, largest = limits or (max(SMALLEST_PX, min(pixels.shape) * SMALLEST_SHARE), min(pixels.shape) * LARGEST_SHARE)
    largest = min(largest, min(pixels.shape))
    if largest < smallest or pixels.min() == pixels.max():
        return None
    base, to_home = crop_to_scale(pixels, max(1.0, smallest / particle_px))

    def sureness_at(octave: float) -> float:
        diameter = smallest * 2**octave / to_home.length
        small, shrink = crop_to_scale(base, diameter / particle_px)
        return _sureness(look(small, diameter / shrink.length), spacing=SPACING * diameter / shrink.length)

    octaves = np.log2(largest / smallest)
    rungs = {float(octave): sureness_at(octave) for octave in np.arange(0, octaves + 1e-9, COARSE)}
    best = max(rungs, key=rungs.__getitem__)
    for octave in (best - FINE, best + FINE):
        if 0 <= octave <= octaves:
            rungs[octave] = sureness_at(octave)
    octave, sureness = _summit(rungs, best)
    return Size(float(smallest * 2 ** np.clip(octave, 0, octaves)), sureness) if sureness >= LEAST_SURENESS else None


def middle(pixels: Map, *, particle_px: float) -> Map:
    """The part in the middle of a picture where `REGION` particles fit side by side."""
    side = round(REGION * particle_px)
    top, left = (max(0, length - side) // 2 for length in pixels.shape)
    return np.ascontiguousarray(pixels[top : top + side, left : left + side])


def _sureness(centres: Map, *, spacing: float) -> float:
    """How sure a network is of what it sees in a map of centres, from 0 to 1: the mean probability of its peaks.

    The mean is weighted by the square of the probability, so that it is about the peaks that would be picked, and one peak's
    weight of zero is added, so that a single one is no proof.
    """
    scores = find_peaks(centres, spacing=spacing, threshold=FAINTEST).scores.astype(np.float64)
    return float((scores**3).sum() / ((scores**2).sum() + 1))


def _summit(rungs: dict[float, float], best: float) -> tuple[float, float]:
    """Where the parabola through the rungs around the best one has its summit, and the sureness of the highest rung."""
    near = sorted(octave for octave in rungs if abs(octave - best) <= COARSE)
    heights = [rungs[octave] for octave in near]
    highest = near[int(np.argmax(heights))]
    if len(near) < 3:
        return highest, rungs[highest]
    bend, slope, _ = np.polyfit(np.array(near) - best, heights, 2)
    summit = best - slope / (2 * bend) if bend < 0 else highest
    return float(np.clip(summit, near[0], near[-1])), rungs[highest]


def _quantile(values: NDArray[np.float64], weights: NDArray[np.float64], share: float) -> float:
    """Weighted quantile, between the values where the share falls between them; the median of two equal weights is their mean."""
    order = np.argsort(values, kind="stable")
    middles = np.cumsum(weights[order]) - weights[order] / 2
    return float(np.interp(share * weights.sum(), middles, values[order]))


def _rounded(value: float) -> float:
    return float(f"{value:.{ROUNDED_TO}g}")
