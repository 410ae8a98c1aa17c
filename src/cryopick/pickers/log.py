"""The Laplacian-of-Gaussian picker: blobs of about the particle's size, then what they look like on average."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from cryopick.coordinates import inside
from cryopick.errors import SettingError
from cryopick.pickers.base import Detections, to_picks
from cryopick.pickers.blobs import BlobFilter, asymmetry, estimate_diameter, radial_profile
from cryopick.pickers.correlate import Correlator, disc, distances, usual_surroundings
from cryopick.pickers.peaks import find_peaks
from cryopick.pickers.threshold import find_cut
from cryopick.preprocess.padding import strip_padding
from cryopick.preprocess.resample import crop_to_scale
from cryopick.types import Micrograph, Picks

Map = NDArray[np.float32]

SPAN = 20
"""Pixels across a particle in the picture that is searched: enough to tell its shape, few enough to be quick."""

WIDTHS = 5
"""Blob sizes tried between a particle's smallest and largest width."""

ROUNDS = 2
"""Times that the average particle is made anew from the picks of the last one."""


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
        for 1/100 (but 16 pixels at least) and 1/6 of the shorter side.
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
        if self.spacing <= 0 or self.border < 0 or self.contamination <= 0:
            raise SettingError("spacing and contamination must be positive and border must not be negative")
        if self.diameter_range and not 0 < self.diameter_range[0] < self.diameter_range[1]:
            raise SettingError(f"diameter_range is the smallest and the largest diameter, not {self.diameter_range}")


class LogPicker:
    """Picks round and longish particles without any training.

    The part of the micrograph that was imaged is Fourier-cropped until a particle spans `SPAN` pixels. Of several Laplacian-of-
    Gaussian filters (Voss et al. 2009) the one whose response is most lopsided gives the first blobs. Their rotational average
    then serves as a template for normalised correlation, and is made anew from what that finds: so the picker learns from the
    micrograph itself whether particles are balls, rings or have a bright fringe.
    """

    Settings: ClassVar[type[LogSettings]] = LogSettings

    def __init__(self, settings: LogSettings) -> None:
        self.settings = settings

    def pick(self, micrograph: Micrograph, *, diameter: float | None = None) -> Picks:
        """Picks of one micrograph; see `cryopick.pickers.base.Picker`."""
        imaged, crop = strip_padding(micrograph.pixels)
        unit = micrograph.pixel_size or 1.0
        diameter_px = self._estimate(imaged, unit) if diameter is None else diameter / unit
        none = Picks(micrograph.name, diameter=diameter, shape_hw=micrograph.shape_hw, pixel_size=micrograph.pixel_size)
        if diameter_px is None or diameter_px > min(imaged.shape):
            return none
        small, shrink = crop_to_scale(imaged, diameter_px / SPAN)
        found = self._search(self._dark(small), diameter_px / shrink.length)
        return to_picks(found, crop.then(shrink), micrograph, diameter=diameter_px * unit)

    def _estimate(self, imaged: Map, unit: float) -> float | None:
        """The diameter in pixels; None for a picture that is too small or has no contrast."""
        side = min(imaged.shape)
        smallest, largest = self.settings.diameter_range or (unit * max(16, side / 100), unit * side / 6)
        if largest < smallest or imaged.min() == imaged.max():
            return None
        return estimate_diameter(self._dark(imaged), smallest=smallest / unit, largest=largest / unit)

    def _dark(self, pixels: Map) -> Map:
        return pixels if self.settings.particles == "dark" else -pixels

    def _search(self, pixels: Map, diameter: float) -> Detections:
        """Dark particles of `diameter` pixels."""
        spacing = self.settings.spacing * diameter
        blobs = find_peaks(self._blob_map(pixels, diameter), spacing=spacing, threshold=0.0).xy
        chosen = blobs[: len(blobs) // 2]
        correlate = Correlator(pixels, disc(0.75 * diameter))
        found, scores = Detections(np.zeros((0, 2)), np.zeros(0, np.float32)), np.zeros(0, np.float32)
        for _ in range(ROUNDS):
            reach = len(correlate.mask) // 2
            profile = radial_profile(pixels, chosen, reach)
            alike = correlate(np.interp(distances(reach), np.arange(reach + 1), profile).astype(np.float32))
            found = find_peaks(alike, spacing=spacing)
            scores = find_cut(found.scores, find_peaks(-alike, spacing=spacing).scores).scores(found.scores)
            if not (scores >= 0.5).any():
                break
            chosen = found.xy[scores >= 0.5]
        keep = (scores >= self.settings.threshold) & inside(found.xy, pixels.shape, border=self.settings.border * diameter)
        keep &= usual_surroundings(correlate, found.xy, chosen, self.settings.contamination)
        return Detections(found.xy[keep], scores[keep])

    def _blob_map(self, pixels: Map, diameter: float) -> Map:
        blobs = BlobFilter(pixels, int(np.ceil(diameter)))
        widths = np.geomspace(self.settings.slenderness * diameter, diameter, WIDTHS)
        return max(map(blobs, widths), key=asymmetry)
