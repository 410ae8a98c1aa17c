"""Estimation of the particle diameter: a network trained at one particle size is most confident at that size."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cryopick.detection.peaks import find_peaks
from cryopick.errors import CryopickError
from cryopick.messages import counted
from cryopick.pickers import picker
from cryopick.preprocess.resample import crop_to_scale
from cryopick.types import Micrograph

Map = NDArray[np.float32]
Centres = Callable[[Map, float], Map]
Limits = tuple[float, float]

COARSE, FINE = 0.5, 0.25
"""Step of the ladder of diameters in octaves, and finer steps around the best one."""

SMALLEST_PX = 16.0
SMALLEST_SHARE, LARGEST_SHARE = 1 / 100, 1 / 4
"""Limits of the diameters to try, as a share of the shorter side of the image."""

REGION = 24
"""Number of particles that fit side by side into the searched region; some hundreds in total are enough."""

MIN_PEAK = 0.05
SPACING = 0.5
MIN_CONFIDENCE = 0.6
"""Lowest confidence of an estimate; simulated micrographs without particles do not reach it."""

DIGITS = 3
"""Significant digits of an estimate, which is no more precise; rounding errors then cannot change picks."""


@dataclass(frozen=True)
class MicrographEstimate:
    """A diameter estimated from one micrograph, in Å (pixels without a pixel size), and its confidence from 0 to 1."""

    diameter: float
    confidence: float


@dataclass(frozen=True)
class DiameterEstimate:
    """The particle diameter estimated from several micrographs.

    Attributes
    ----------
    diameter : Å, or pixels if the pixel size is unknown, see `unit`.
    low, high : tenth and ninetieth percentile of the estimates of single micrographs.
    micrographs : number of micrographs that gave an estimate.
    """

    diameter: float
    low: float
    high: float
    micrographs: int
    unit: Literal["Å", "pixels"]

    def __str__(self) -> str:
        source = counted(self.micrographs, "micrograph")
        spread = "" if self.micrographs == 1 else f"; 10th to 90th percentile {self.low:g}-{self.high:g}"
        return f"{self.diameter:g} {self.unit} (estimated from {source}{spread})"


@runtime_checkable
class EstimatesDiameter(Protocol):
    """A picker with its own method of estimating the diameter for a whole run."""

    def estimate_diameter(self, micrographs: Iterable[Micrograph]) -> DiameterEstimate | None:
        """Estimate the diameter to use for all micrographs like these.

        None if the picker needs none, or there are no micrographs. Raises `CryopickError` if none of them shows particles.
        """
        ...


class DiameterEstimator(Protocol):
    """Estimates the particle diameter from one micrograph."""

    def measure_diameter(self, micrograph: Micrograph, *, limits: Limits | None = None) -> MicrographEstimate | None:
        """Measure the diameter on one micrograph; None if no particles are seen.

        `limits` and the result are in Å, or in pixels without a pixel size.
        """
        ...


@lru_cache(maxsize=2)
def default_estimator(particles: Literal["dark", "light"] = "dark") -> DiameterEstimator:
    """Load the default picker, for pickers that have no estimator of their own."""
    return cast(DiameterEstimator, picker(particles=particles))


def estimate_diameter(chosen: object, micrographs: Iterable[Micrograph]) -> DiameterEstimate | None:
    """Estimate the diameter for a run of a picker, by its own method or by the default picker's network.

    See `EstimatesDiameter.estimate_diameter`.
    """
    if isinstance(chosen, EstimatesDiameter):
        return chosen.estimate_diameter(micrographs)
    return combine(micrographs, default_estimator().measure_diameter)


def combine(
    micrographs: Iterable[Micrograph], measure: Callable[[Micrograph], MicrographEstimate | None]
) -> DiameterEstimate | None:
    """Combine estimates from micrographs into their median, weighted by the square of confidence; None without micrographs.

    Raises `CryopickError` if none of them gives an estimate, or only some have a pixel size.
    """
    estimates: list[MicrographEstimate] = []
    units: set[Literal["Å", "pixels"]] = set()
    count = 0
    for micrograph in micrographs:
        count += 1
        units.add("pixels" if micrograph.pixel_size is None else "Å")
        found = measure(micrograph)
        if found is not None:
            estimates.append(found)
    if count == 0:
        return None
    if len(units) > 1:
        raise CryopickError("only some of the micrographs have a pixel size; give it with --pixel-size")
    if not estimates:
        tried = "the micrograph" if count == 1 else f"any of the {count} micrographs tried"
        raise CryopickError(f"the particle diameter cannot be estimated: no particles stand out on {tried}; give --diameter")
    diameters = np.array([found.diameter for found in estimates])
    weights = np.array([found.confidence**2 for found in estimates])
    median, low, high = (_rounded(_quantile(diameters, weights, share)) for share in (0.5, 0.1, 0.9))
    return DiameterEstimate(median, low, high, len(estimates), units.pop())


def match_scale(pixels: Map, centres: Centres, *, particle_px: float, limits: Limits | None = None) -> MicrographEstimate | None:
    """Find the diameter in pixels at which a network is most confident about dark particles; None for no particles.

    The network was trained on particles of `particle_px` pixels. The image is scaled for each diameter on a ladder between two
    limits, then for finer steps around the best one; a parabola through the confidence gives the diameter. By default, the
    limits are 1/100 (but at least 16 pixels) and 1/4 of the shorter side.

    Parameters
    ----------
    centres : function of a scaled image and the particle diameter in it, in pixels, that returns the probability of a centre
        at each pixel of the image's `middle`.
    """
    smallest, largest = limits or (max(SMALLEST_PX, min(pixels.shape) * SMALLEST_SHARE), min(pixels.shape) * LARGEST_SHARE)
    largest = min(largest, min(pixels.shape))
    if largest < smallest or pixels.min() == pixels.max():
        return None
    base, to_home = crop_to_scale(pixels, max(1.0, smallest / particle_px))

    def confidence_at(octave: float) -> float:
        diameter = smallest * 2**octave / to_home.length
        small, shrink = crop_to_scale(base, diameter / particle_px)
        return _confidence(centres(small, diameter / shrink.length), spacing=SPACING * diameter / shrink.length)

    octaves = np.log2(largest / smallest)
    steps = {float(octave): confidence_at(octave) for octave in np.arange(0, octaves + 1e-9, COARSE)}
    best = max(steps, key=steps.__getitem__)
    for octave in (best - FINE, best + FINE):
        if 0 <= octave <= octaves:
            steps[octave] = confidence_at(octave)
    octave, confidence = _maximum(steps, best)
    if confidence < MIN_CONFIDENCE:
        return None
    return MicrographEstimate(float(smallest * 2 ** np.clip(octave, 0, octaves)), confidence)


def middle(pixels: Map, *, particle_px: float) -> Map:
    """Return the middle of an image, in which `REGION` particles fit side by side."""
    side = round(REGION * particle_px)
    top, left = (max(0, length - side) // 2 for length in pixels.shape)
    return np.ascontiguousarray(pixels[top : top + side, left : left + side])


def _confidence(centres: Map, *, spacing: float) -> float:
    """Return the mean probability of the peaks in a map of centres, from 0 to 1.

    The mean is weighted by the square of the probability, so that peaks that would be picked dominate; one peak of probability
    zero is added, so that a single peak is not sufficient.
    """
    scores = find_peaks(centres, spacing=spacing, threshold=MIN_PEAK).scores.astype(np.float64)
    return float((scores**3).sum() / ((scores**2).sum() + 1))


def _maximum(steps: dict[float, float], best: float) -> tuple[float, float]:
    """Return the maximum of the parabola through the steps around the best one, and the confidence of the best step."""
    near = sorted(octave for octave in steps if abs(octave - best) <= COARSE)
    heights = [steps[octave] for octave in near]
    highest = near[int(np.argmax(heights))]
    if len(near) < 3:
        return highest, steps[highest]
    bend, slope, _ = np.polyfit(np.array(near) - best, heights, 2)
    summit = best - slope / (2 * bend) if bend < 0 else highest
    return float(np.clip(summit, near[0], near[-1])), steps[highest]


def _quantile(values: NDArray[np.float64], weights: NDArray[np.float64], share: float) -> float:
    """Return a weighted quantile, interpolated between values; the median of two equal weights is their mean."""
    order = np.argsort(values, kind="stable")
    middles = np.cumsum(weights[order]) - weights[order] / 2
    return float(np.interp(share * weights.sum(), middles, values[order]))


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
