"""Intermediate results of the segmentation pickers, and files for inspecting them."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cryopick.coordinates import PixelMap
from cryopick.detection.components import Instances
from cryopick.detection.detections import to_picks
from cryopick.detection.peaks import NOTHING
from cryopick.display.overlays import write_png
from cryopick.display.panels import Panel, write_panels
from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.names import stem
from cryopick.messages import counted
from cryopick.types import Micrograph, Picks


@dataclass(frozen=True, eq=False)
class Stages:
    """Results of every stage for one micrograph.

    Attributes
    ----------
    image : uint8 (h, w), the network's input; `image_to_home` maps its pixels to the micrograph's.
    probability : float32 (h, w), the network's map; `to_home` maps its pixels, and those of `instances`, to the micrograph's.
    instances : regions in the map before any rule; None for pickers of peaks.
    picks : the result.
    """

    image: NDArray[np.uint8]
    image_to_home: PixelMap
    probability: NDArray[np.float32]
    to_home: PixelMap
    instances: Instances | None
    picks: Picks

    @property
    def labels(self) -> NDArray[np.uint16]:
        """Number of the instance from 1, or 0 outside: uint16 (h, w), in pixels of the map."""
        shape_hw = (self.probability.shape[0], self.probability.shape[1])
        instances = np.zeros(shape_hw, np.int32) if self.instances is None else self.instances.labels(shape_hw)
        return instances.astype(np.uint16)


def no_particles(micrograph: Micrograph, *, diameter: float | None) -> Stages:
    """Return the stages, without picks, of a micrograph that is too small or has too little contrast to be searched."""
    blank = np.zeros(micrograph.shape_hw, np.float32)
    picks = to_picks(NOTHING, PixelMap(), micrograph, diameter=diameter)
    return Stages(blank.astype(np.uint8), PixelMap(), blank, PixelMap(), None, picks)


def write_stages(stages: Stages, micrograph: Micrograph, folder: Path) -> None:
    """Write the network's input, the probability and the masks as MRC and PNG, and a figure of four panels.

    The files are called ``STEM_denoised``, ``STEM_probability``, ``STEM_masks`` and ``STEM_panels.png``. Rows are in the
    micrograph's order, sizes are the network's, and MRC files contain the corresponding pixel size.
    """
    step = -1 if stages.to_home.scale[1] < 0 else 1
    pixel_size = None if micrograph.pixel_size is None else micrograph.pixel_size * stages.to_home.length
    probability, labels = stages.probability[::step], stages.labels[::step]
    images = {
        "denoised": (stages.image[::step], stages.image[::step]),
        "probability": (probability, np.round(probability * 255).astype(np.uint8)),
        "masks": (labels, coloured(labels)),
    }
    for name, (values, grey) in images.items():
        path = folder / f"{stem(micrograph.name)}_{name}.mrc"
        write_micrograph(path, np.ascontiguousarray(values), pixel_size=pixel_size)
        write_png(np.ascontiguousarray(grey), path.with_suffix(".png"))
    panels = [
        Panel("Micrograph", micrograph.pixels, PixelMap()),
        Panel("Denoised", stages.image, stages.image_to_home),
        Panel("Probability and masks", outlined(stages.probability, stages.labels), stages.to_home),
        Panel(counted(len(stages.picks), "pick"), stages.image, stages.image_to_home, stages.picks),
    ]
    write_panels(panels, micrograph.shape_hw, folder / f"{stem(micrograph.name)}_panels.png")


def coloured(labels: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Draw labels (h, w) as an RGB image (h, w, 3), black outside; neighbouring numbers have very different colours."""
    turns = np.arange(int(labels.max(initial=0)) + 1) * 0.618034  # of the golden angle
    hues = np.stack([turns % 1 * 180, np.full(len(turns), 160), np.full(len(turns), 255)], axis=1).astype(np.uint8)
    table = cv2.cvtColor(hues[None], cv2.COLOR_HSV2RGB)[0]
    table[0] = 0
    return np.asarray(table[labels], np.uint8)


def outlined(probability: NDArray[np.float32], labels: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Draw a probability map (h, w) in grey, with every label outlined in its colour: RGB (h, w, 3)."""
    image = np.repeat(np.round(probability * 255).astype(np.uint8)[..., None], 3, axis=2)
    rim = (labels > 0) & (cv2.erode(labels, np.ones((3, 3), np.uint8)) != cv2.dilate(labels, np.ones((3, 3), np.uint8)))
    image[rim] = coloured(labels)[rim]
    return image
