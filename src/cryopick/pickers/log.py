"""The Laplacian-of-Gaussian picker: blobs of about the particle's size, then what they look like on average."""

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
from cryopick.pickers.diameter import DiameterEstimate, Size, combine
from cryopick.pickers.unet import default_sizer
from cryopick.preprocess.padding import strip_padding
from cryopick.preprocess.resample import checked_size, crop_to_scale
from cryopick.types import Micrograph, Picks

Map = NDArray[np.float32]

SPAN = 20
"""Pixels across a particle in the picture that is searched: enough to tell its shape, few enough to be quick."""


@dataclass(frozen=True)
class LogSettings:
    """Settings of the `log` picker. Lengths are shares of the particle's diameter.

    Attributes
    ----------
    particles : whether protein is darker or lighter than ice.
    threshold : lowest score of a pick; 0.5 is where each micrograph's peaks part into particles and chance.
    spacing : closest that two picks may be.
    border : closest that a pick may be to the edge of what was imaged; half a diameter leaves out particles that are cut.
    slenderness : smallest width of a particle over its diameter, which is its largest.
    contamination : picks are dropped whose surroundings are darker, lighter or rougher than those of the usual pick by more
        than this many times its contrast.
    diameter_range : limits of the diameter when it is estimated, in Å, or in pixels when the pixel size is unknown; None
        for those of `surest_diameter`.
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
            raise SettingError(f"slenderness is a width over a diameter, between 0 and 1, not {self.slenderness}")
        if not 0 <= self.threshold <= 1:
            raise SettingError(f"the threshold is a score, between 0 and 1, not {self.threshold}")
        if not (self.spacing > 0 and self.border >= 0 and self.contamination > 0):
            raise SettingError("spacing and contamination must be positive and border must not be negative")
        if self.diameter_range and not 0 < self.diameter_range[0] < self.diameter_range[1]:
            raise SettingError(f"diameter_range is the smallest and the largest diameter, not {self.diameter_range}")


class LogPicker:
    """Picks round and longish particles without any training.

    The part of the micrograph that was imaged is Fourier-cropped until a particle spans `SPAN` pixels. Laplacian-of-Gaussian
    filters (Voss et al. 2009) give the first blobs, and their rotational average the template for a normalised correlation:
    so the picker learns from the micrograph itself whether particles are balls or rings, or have a bright fringe.
    """

    Settings: ClassVar[type[LogSettings]] = LogSettings

    def __init__(self, settings: LogSettings) -> None:
        self.settings = settings

    def pick(self, micrograph: Micrograph, *, diameter: float | None = None) -> Picks:
        """Picks of one micrograph; see `cryopick.pickers.base.Picker`."""
        if diameter is None:
            size = self.size(micrograph)
            diameter = None if size is None else size.diameter
        imaged, crop = strip_padding(micrograph.pixels)
        diameter_px = None if diameter is None else micrograph.to_px(diameter)
        if diameter_px is None or diameter_px > min(imaged.shape):
            return to_picks(NOTHING, crop, micrograph, diameter=diameter)
        small, shrink = crop_to_scale(imaged, checked_size(diameter_px) / SPAN)
        found = self._search(self._dark(small), diameter_px / shrink.length)
        return to_picks(found, crop.then(shrink), micrograph, diameter=diameter)

    def size(self, micrograph: Micrograph) -> Size | None:
        """The diameter as the network in the package sees it; None where it sees no particles."""
        return default_sizer(self.settings.particles).size(micrograph, limits=self.settings.diameter_range)

    def estimate_diameter(self, micrographs: Iterable[Micrograph]) -> DiameterEstimate | None:
        """See `EstimatesDiameter`."""
        return combine(micrographs, self.size)

    def _dark(self, pixels: Map) -> Map:
        return pixels if self.settings.particles == "dark" else -pixels

    def _search(self, pixels: Map, diameter: float) -> Detections:
        """Dark particles of `diameter` pixels."""
        settings = self.settings
        match = match_average(pixels, diameter, slenderness=settings.slenderness, spacing=settings.spacing * diameter)
        xy, scores = match.peaks.xy, match.cut.scores(match.peaks.scores)
        keep = (scores >= settings.threshold) & inside(xy, pixels.shape, border=settings.border * diameter)
        keep &= usual_surroundings(match.correlator, xy, match.particles, settings.contamination)
        return Detections(xy[keep], scores[keep])
