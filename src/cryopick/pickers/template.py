"""The template picker: normalised correlation with references at all in-plane angles (Roseman 2003)."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from cryopick.coordinates import inside
from cryopick.detection.correlation import Correlator, disc, usual_surroundings
from cryopick.detection.detections import Detections, to_picks
from cryopick.detection.peaks import NOTHING, find_peaks
from cryopick.detection.references import References, load_references, make_templates
from cryopick.detection.thresholds import find_cut
from cryopick.errors import SettingError
from cryopick.pickers.base import StageFunctions, require_micrograph
from cryopick.pickers.diameter import DiameterEstimate
from cryopick.preprocess.padding import strip_padding
from cryopick.preprocess.resample import checked_diameter, crop_to_scale
from cryopick.types import Micrograph, Picks

logger = logging.getLogger(__name__)
Map = NDArray[np.float32]
Contrast = Literal["dark", "light"]

SPAN = 24
"""Particle diameter in pixels in the searched image."""

MASK = 1.3
"""Diameter of the mask over that of the particle: some ice around the particle defines its edge."""


@dataclass(frozen=True)
class TemplateSettings:
    """Settings of the picker `template`. Lengths are in particle diameters, angles in degrees.

    Attributes
    ----------
    references : file of the references: an MRC stack of class averages, or a map, which is then projected.
    reference_pixel_size : pixel size of the references in Å; None to read it from their file.
    references_are : whether particles are lighter or darker than their surroundings in the references; lighter in class
        averages and maps.
    particles : the same for the micrographs.
    angular_step : between the in-plane rotations of a reference.
    view_step : between the directions along which a map is projected.
    threshold : lowest score of a pick; 0.5 separates particles from noise on each micrograph.
    spacing : smallest distance of two picks.
    border : smallest distance of a pick from the edge of the exposed area.
    contamination : picks are dropped if their surroundings are darker, lighter or rougher than those of the median pick by
        more than this many times its contrast.
    """

    references: str | None = None
    reference_pixel_size: float | None = None
    references_are: Contrast = "light"
    particles: Contrast = "dark"
    angular_step: float = 10.0
    view_step: float = 30.0
    threshold: float = 0.5
    spacing: float = 0.6
    border: float = 0.5
    contamination: float = 2.0

    def __post_init__(self) -> None:
        if not self.references:
            raise SettingError("the picker template needs references, a stack of class averages or a map: --set references=FILE")
        if not (0 < self.angular_step <= 360 and 0 < self.view_step <= 180):
            raise SettingError("angular_step must be in (0, 360] degrees and view_step in (0, 180]")
        if not 0 <= self.threshold <= 1:
            raise SettingError(f"threshold must be in [0, 1], got {self.threshold:g}")
        if not (self.spacing > 0 and self.border >= 0 and self.contamination > 0):
            given = f"spacing {self.spacing:g}, contamination {self.contamination:g} and border {self.border:g}"
            raise SettingError(f"spacing and contamination must be positive, and border must not be negative, got {given}")


class TemplatePicker:
    """Picks by correlation with references at all in-plane angles.

    The exposed area of the micrograph is Fourier-cropped until a particle spans `SPAN` pixels, and the references with it. Each
    pixel's score is its best correlation coefficient with any template under a round mask.
    """

    Settings: ClassVar[type[TemplateSettings]] = TemplateSettings
    SUMMARY: ClassVar[str] = "correlation with class averages or projections of a map (needs references)"
    STAGES: ClassVar[StageFunctions] = {"prepare": (crop_to_scale,)}

    def __init__(self, settings: TemplateSettings) -> None:
        self.settings = settings
        light = settings.references_are == "light"
        references = load_references(Path(str(settings.references)), light=light, view_step=settings.view_step)
        self.references = References(references.images, settings.reference_pixel_size or references.pixel_size)

    def pick(self, micrograph: Micrograph, *, diameter: float | None = None) -> Picks:
        """See `Picker.pick`. Without a diameter, that of the references is used."""
        require_micrograph(micrograph)
        scale = self._scale(micrograph)
        diameter_px = self.references.diameter_px * scale if diameter is None else micrograph.to_px(diameter)
        imaged, crop = strip_padding(micrograph.pixels)
        if diameter_px > min(imaged.shape):
            return to_picks(NOTHING, crop, micrograph, diameter=micrograph.from_px(diameter_px))
        small, shrink = crop_to_scale(imaged, checked_diameter(diameter_px) / SPAN)
        small = small if self.settings.particles == "light" else -small
        found = self._search(small, diameter_px / shrink.length, shrink.length / scale)
        return to_picks(found, crop.then(shrink), micrograph, diameter=micrograph.from_px(diameter_px))

    def estimate_diameter(self, micrographs: Iterable[Micrograph]) -> DiameterEstimate | None:
        """See `EstimatesDiameter`; none is needed, because the references have a diameter."""
        return None

    def _scale(self, micrograph: Micrograph) -> float:
        """Return the number of micrograph pixels per reference pixel."""
        theirs, ours = self.references.pixel_size, micrograph.pixel_size
        if theirs is None and ours is None:
            logger.warning("%s: the pixel size is unknown; the references are assumed to have the same", micrograph.name)
            return 1.0
        if theirs is None:
            raise SettingError(f"{self.settings.references} has no pixel size; give it [Å]: --set reference_pixel_size=A")
        if ours is None:
            raise SettingError(f"{micrograph.name} has no pixel size, but the references do ({theirs:g} Å); give --pixel-size")
        return theirs / ours

    def _search(self, pixels: Map, diameter: float, factor: float) -> Detections:
        """Find light particles of `diameter` pixels, with templates of `factor` reference pixels per pixel."""
        settings = self.settings
        correlate = Correlator(pixels, disc(MASK * diameter / 2))
        templates = make_templates(self.references, factor=factor, mask=correlate.mask, angular_step=settings.angular_step)
        best, worst = (np.full(pixels.shape, fill, np.float32) for fill in (-1, 1))
        for template in templates:
            correlation = correlate(template)
            np.maximum(best, correlation, out=best)
            np.minimum(worst, correlation, out=worst)
        peaks, chance = (find_peaks(values, spacing=settings.spacing * diameter) for values in (best, -worst))
        cut = find_cut(peaks.scores, chance.scores)
        scores = cut.scores(peaks.scores)
        keep = (scores >= settings.threshold) & inside(peaks.xy, pixels.shape, border=settings.border * diameter)
        keep &= usual_surroundings(correlate, peaks.xy, peaks.xy[peaks.scores >= cut.at], settings.contamination)
        return Detections(peaks.xy[keep], scores[keep])
