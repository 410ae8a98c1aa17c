"""The default picker: a compact attention U-Net, applied at a fixed particle size.

The network is CryoSegNet's attention-gated U-Net (Gyawali et al. 2024), made narrow and trained on simulated micrographs to mark
the centres of particles. Each candidate is then compared with the average of the most confident ones of its micrograph.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from torch import nn

from cryopick.detection.detections import Detections, to_picks
from cryopick.detection.maps import probability_maps
from cryopick.detection.peaks import find_peaks, suppress
from cryopick.detection.refinement import refine
from cryopick.errors import FileError, SettingError
from cryopick.models.weights import Card, check_scale, find, load_fast, read_card, resolve_input
from cryopick.pickers.base import BatchPicker, StageFunctions
from cryopick.pickers.diagnostics import Stages, no_particles, write_stages
from cryopick.pickers.diameter import DiameterEstimate, Limits, MicrographEstimate, combine, match_scale, middle
from cryopick.preprocess.padding import strip_padding
from cryopick.preprocess.particle_scaled import NetworkInput, normalise_contrast, scale_to_particle
from cryopick.types import Micrograph, Picks

Map = NDArray[np.float32]

ARCHITECTURE = "attention-unet"
MIN_COMPARED = 0.05
"""Lowest score of candidates that are compared with the average of the most confident ones."""


@dataclass(frozen=True)
class UNetSettings:
    """Settings of the picker `unet`.

    Attributes
    ----------
    weights : file or name of the network's weights.
    threshold : lowest score of a pick, from 0 to 1.
    spacing : smallest distance of two picks, in diameters.
    similarity : reduction of the logit, before calibration, of a candidate without any similarity to the average of the most
        confident picks of its micrograph; 0 keeps the network's own scores. See `detection.refinement`.
    particles : whether protein is darker or lighter than ice.
    maps : folder for the network's input and map of each micrograph; not written if omitted.
    device : device on which the network runs.
    """

    weights: str = "unet"
    threshold: float = 0.5
    spacing: float = 0.5
    similarity: float = 12.0
    particles: Literal["dark", "light"] = "dark"
    maps: str | None = None
    device: Literal["cpu", "cuda"] = "cpu"

    def __post_init__(self) -> None:
        if self.spacing <= 0:
            raise SettingError(f"spacing must be positive, got {self.spacing:g}")


@dataclass(frozen=True)
class UNetScale:
    """The scale of a network's input and output, from its card.

    Attributes
    ----------
    particle_px : particle diameter in the network's input, in pixels.
    trained_px : range of diameters in pixels in training; None if only `particle_px`.
    calibration : slope and offset that calibrate the logits of the map's peaks.
    """

    particle_px: float
    trained_px: tuple[float, float] | None = None
    calibration: tuple[float, float] = (1.0, 0.0)

    def __post_init__(self) -> None:
        for size in (self.particle_px, *(self.trained_px or ())):
            check_scale(size, self.calibration)

    @property
    def most_confident_px(self) -> float:
        """The diameter in pixels at which the network is most confident."""
        low, high = self.trained_px or (self.particle_px, self.particle_px)
        return math.sqrt(low * high)


@dataclass(frozen=True, eq=False)
class UNetInput:
    """A micrograph, the network's input (None if there is nothing to search), and the particle diameter."""

    micrograph: Micrograph
    prepared: NetworkInput | None
    diameter: float | None


class UNetPicker(BatchPicker[UNetInput, Map | None]):
    """Picks with a compact attention U-Net; see `UNetSettings`.

    A `network` (images (n, 1, h, w) to logits of the same size) and its `scale` may be given in place of weights. Raises
    `FileError` for weights that cannot be used.
    """

    Settings: ClassVar[type[UNetSettings]] = UNetSettings
    SUMMARY: ClassVar[str] = "compact attention U-Net, trained on simulated micrographs (the default)"
    STAGES: ClassVar[StageFunctions] = {"prepare": (scale_to_particle,), "network": (nn.Module.__call__,)}

    def __init__(self, settings: UNetSettings, /, *, network: nn.Module | None = None, scale: UNetScale | None = None) -> None:
        self.settings = settings
        if network is not None and scale is not None:
            self._network, self._scale = network, scale
        else:
            path = find(settings.weights)
            self._scale = _read_scale(path)
            self._network = load_fast(path, architecture=ARCHITECTURE, device=settings.device)

    def stages(self, micrograph: Micrograph, *, diameter: float | None = None) -> Stages:
        """Pick, and return all intermediate results."""
        prepared = self.prepare(micrograph, diameter=diameter)
        (probability,) = self.predict([prepared])
        return self._stages(prepared, probability)

    def prepare(self, micrograph: Micrograph, *, diameter: float | None = None) -> UNetInput:
        """See `BatchPicker`. Without a diameter, one is estimated by the network."""
        if diameter is None:
            found = self.measure_diameter(micrograph)
            diameter = None if found is None else found.diameter
        if diameter is None:
            return UNetInput(micrograph, None, None)
        prepared = scale_to_particle(
            micrograph,
            particle_px=self._scale.particle_px,
            diameter_px=micrograph.to_px(diameter),
            particles=self.settings.particles,
            device=self.settings.device,
        )
        return UNetInput(micrograph, prepared, diameter)

    def predict(self, prepared: Sequence[UNetInput], /) -> list[Map | None]:
        """Predict the probability that a particle's centre is at each pixel; None for micrographs without input."""
        images = [one.prepared.values for one in prepared if one.prepared is not None]
        scale, device = self._scale, self.settings.device
        maps = iter(probability_maps(self._network, images, calibration=scale.calibration, device=device))
        return [None if one.prepared is None else next(maps) for one in prepared]

    def finish(self, prepared: UNetInput, probability: Map | None, /) -> Picks:
        """See `BatchPicker`."""
        stages = self._stages(prepared, probability)
        if self.settings.maps is not None:
            write_stages(stages, prepared.micrograph, Path(self.settings.maps))
        return stages.picks

    def measure_diameter(self, micrograph: Micrograph, *, limits: Limits | None = None) -> MicrographEstimate | None:
        """See `DiameterEstimator.measure_diameter` and `match_scale`."""
        particle_px = self._scale.most_confident_px

        def centres(pixels: Map, span: float) -> Map:
            values = normalise_contrast(pixels, diameter_px=span, device=self.settings.device)
            (found,) = probability_maps(
                self._network,
                [middle(values, particle_px=particle_px)],
                calibration=self._scale.calibration,
                device=self.settings.device,
            )
            return found

        imaged, _ = strip_padding(micrograph.pixels)
        found = match_scale(
            imaged if self.settings.particles == "dark" else -imaged,
            centres,
            particle_px=particle_px,
            limits=None if limits is None else (micrograph.to_px(limits[0]), micrograph.to_px(limits[1])),
        )
        return None if found is None else replace(found, diameter=micrograph.from_px(found.diameter))

    def estimate_diameter(self, micrographs: Iterable[Micrograph]) -> DiameterEstimate | None:
        """See `EstimatesDiameter`."""
        return combine(micrographs, self.measure_diameter)

    def _stages(self, given: UNetInput, probability: Map | None) -> Stages:
        micrograph, prepared = given.micrograph, given.prepared
        if prepared is None or probability is None:
            return no_particles(micrograph, diameter=given.diameter)
        home = prepared.map_to_home
        picks = to_picks(self._peaks(probability, prepared), home, micrograph, diameter=given.diameter)
        return Stages(prepared.image, prepared.to_home, probability, home, None, picks)

    def _peaks(self, probability: Map, prepared: NetworkInput) -> Detections:
        """Return the peaks of the map, after comparison with the most confident ones of the micrograph."""
        settings = self.settings
        diameter = (prepared.diameter_px or self._scale.particle_px) / prepared.map_to_home.length
        weight = self._scale.calibration[0] * settings.similarity
        if weight == 0:
            return find_peaks(probability, spacing=settings.spacing * diameter, threshold=settings.threshold)
        found = find_peaks(probability, spacing=settings.spacing * diameter, threshold=min(MIN_COMPARED, settings.threshold))
        refined = refine(prepared.values, found, diameter=diameter)
        change = weight * (refined.similarity - 1)
        scores = np.asarray(expit(logit(found.scores.clip(max=1 - 1e-6)) + change), np.float32)
        kept = suppress(refined.xy, scores, settings.spacing * diameter)
        kept = kept[scores[kept] >= settings.threshold]
        return Detections(refined.xy[kept], scores[kept])


def _read_scale(path: Path) -> UNetScale:
    card = read_card(path) or Card(ARCHITECTURE)
    if card.architecture != ARCHITECTURE or "particle_px" not in card.input:
        raise FileError(
            path,
            "holds weights that were not trained at a fixed particle size",
            "Use --picker cryosegnet for the weights of the published U-Net",
        )
    known: dict[str, Any] = {key: card.input[key] for key in ("particle_px", "trained_px", "calibration") if key in card.input}
    if "learnt_px" in card.input:  # the name on cards of version 0.1
        known.setdefault("trained_px", card.input["learnt_px"])
    return resolve_input(path, UNetScale, known)
