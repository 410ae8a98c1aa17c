"""Draw the figures of ``docs/simulation.md``: structures, typical micrographs and presets.

python tools/draw_simulation.py
"""

from pathlib import Path

import cv2
import numpy as np
import torch

from cryopick.display.overlays import Marks, contact_sheet, draw
from cryopick.simulate import SimulatedMicrograph, random_structures, simulate_micrograph
from cryopick.simulate.gallery import gallery

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
SIDE, PIXEL_SIZE, PREVIEW = 2048, 1.6, 224
PRESETS = ("easy", "typical", "hard", "carbon")


def preview(found: SimulatedMicrograph, *, marked: bool = False) -> np.ndarray:
    return draw(found.micrograph, [Marks(found.truth)] if marked else [], longest_side=PREVIEW)


def caption(found: SimulatedMicrograph) -> str:
    return f"{found.structure.name} {found.structure.diameter:.0f} A, {found.defocus_um:.1f} um"


def write_jpeg(image: np.ndarray, path: Path) -> None:
    cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 54])


def main() -> None:
    torch.set_num_threads(1)
    IMAGES.mkdir(exist_ok=True)
    write_jpeg(
        gallery(random_structures(24, seed=4, diameter=(90.0, 400.0)), side=80, views=3), IMAGES / "simulation-gallery.jpg"
    )
    typical = [simulate_micrograph(seed=1, index=index, size=SIDE, pixel_size=PIXEL_SIZE) for index in range(24)]
    write_jpeg(
        contact_sheet([preview(one) for one in typical], [caption(one) for one in typical], columns=6),
        IMAGES / "simulation-typical.jpg",
    )
    rows = [simulate_micrograph(seed=2, index=6, size=SIDE, pixel_size=PIXEL_SIZE, preset=preset) for preset in PRESETS]
    images = [preview(one) for one in rows] + [preview(one, marked=True) for one in rows]
    captions = [*PRESETS, *(f"{len(one.truth)} particles" for one in rows)]
    write_jpeg(contact_sheet(images, captions, columns=len(PRESETS)), IMAGES / "simulation-presets.jpg")


if __name__ == "__main__":
    main()
