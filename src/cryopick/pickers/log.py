"""The Laplacian-of-Gaussian picker: blobs of the particle's size, then correlation with their rotational average."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from cryopick.coordinates import inside
from cryopick.detection.averages import match_average
from cryopick.detection.correlation import usual_surroundings
from cryopick.detection.detections import Detections, to_picks
from cryopick.detection.peaks import NOTHING
from cryopick.errors import SettingError
from cryopick.pickers.base import StageFunctions, require_micrograph
from cryopick.pickers.diameter import DiameterEstimate, MicrographEstimate, combine, default_estimator
from cryopick.preprocess.padding import strip_padding
from cryopick.preprocess.resample import checked_diameter, crop_to_scale
from cryopick.types import Micrograph, Picks

Map = NDArray[np.float32]

SPAN = 20
"""Particle diameter in pixels in the searched image: enough to show the shape, and small enough to be fast."""


@dataclass(frozen=True)
class LogSettings:
    """Settings of the picker `log`. Lengths are in particle diameters.

    Attributes
    ----------
    particles : whether protein is darker or lighter than ice.
    threshold : lowest score of a pick; 0.5 separates particles from noise on each micrograph.
    spacing : smallest distance of two picks.
    border : smallest distance of a pick from the edge of the exposed area; half a diameter excludes particles that are cut.
    slenderness : smallest width of a particle over its largest.
    contamination : picks are dropped if their surroundings are darker, lighter or rougher than those of the median pick by
        more than this many times its contrast.
    diameter_range : limits of the estimated diameter in Å (pixels without a pixel size); None for the defaults of `match_scale`.
    """

    particles: Literal["dark", "light"] = "dark"
    threshold: float = 0.5
    spacing: float = 0.6
    border: float = 0.5
    slenderness: float = 0.55
    contamination: float = 2.0
    diameter_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.slenderness <= 1:
            raise SettingError(f"slenderness must be in (0, 1], got {self.slenderness:g}")
        if not 0 <= self.threshold <= 1:
            raise SettingError(f"threshold must be in [0, 1], got {self.threshold:g}")
        if not (self.spacing > 0 and self.border >= 0 and self.contamination > 0):
            given = f"spacing {self.spacing:g}, contamination {self.contamination:g} and border {self.border:g}"
            raise SettingError(f"spacing and contamination must be positive, and border must not be negative, got {given}")
        if self.diameter_range and not 0 < self.diameter_range[0] < self.diameter_range[1]:
            raise SettingError(f"diameter_range must be the smallest and the largest diameter, got {self.diameter_range}")


class LogPicker:
    """Picks round and elongated particles without any training.

    The exposed area of the micrograph is Fourier-cropped until a particle spans `SPAN` pixels. Laplacian-of-Gaussian filters
    (Voss et al. 2009) find blobs, whose rotational average is the template of a normalised correlation; so the template shows
    whether particles are solid or hollow, or have a bright fringe.
    """

    Settings: ClassVar[type[LogSettings]] = LogSettings
    SUMMARY: ClassVar[str] = "blobs (Laplacian of Gaussian), then correlation with their own average; no training"
    STAGES: ClassVar[StageFunctions] = {"prepare": (crop_to_scale,)}

    def __init__(self, settings: LogSettings) -> None:
        self.settings = settings

    def pick(self, micrograph: Micrograph, *, diameter: float | None = None) -> Picks:
        """Picks of one micrograph; see `cryopick.pickers.base.Picker`."""
        require_micrograph(micrograph)
        if diameter is None:
            estimate = self.measure_diameter(micrograph)
            diameter = None if estimate is None else estimate.diameter
        imaged, crop = strip_padding(micrograph.pixels)
        diameter_px = None if diameter is None else micrograph.to_px(diameter)
        if diameter_px is None or diameter_px > min(imaged.shape):
            return to_picks(NOTHING, crop, micrograph, diameter=diameter)
        small, shrink = crop_to_scale(imaged, checked_diameter(diameter_px) / SPAN)
        found = self._search(self._dark(small), diameter_px / shrink.length)
        return to_picks(found, crop.then(shrink), micrograph, diameter=diameter)

    def measure_diameter(self, micrograph: Micrograph) -> MicrographEstimate | None:
        """Measure the diameter with the default picker's network; None if it sees no particles."""
        return default_estimator(self.settings.particles).measure_diameter(micrograph, limits=self.settings.diameter_range)

    def estimate_diameter(self, micrographs: Iterable[Micrograph]) -> DiameterEstimate | None:
        """See `EstimatesDiameter`."""
        return combine(micrographs, self.measure_diameter)

    def _dark(self, pixels: Map) -> Map:
        return pixels if self.settings.particles == "dark" else -pixels

    def _search(self, pixels: Map, diameter: float) -> Detections:
        """Find dark particles of `diameter` pixels."""
        settings = self.settings
        match = match_average(pixels, diameter, slenderness=settings.slenderness, spacing=settings.spacing * diameter)
        xy, scores = match.peaks.xy, match.cut.scores(match.peaks.scores)
        keep = (scores >= settings.threshold) & inside(xy, pixels.shape, border=settings.border * diameter)
        keep &= usual_surroundings(match.correlator, xy, match.particles, settings.contamination)
        return Detections(xy[keep], scores[keep])
