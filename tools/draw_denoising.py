"""Draw the figure of ``docs/denoising.md``: a simulated micrograph after each stage of the chain.

python tools/draw_denoising.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cryopick.coordinates import PixelMap
from cryopick.display.panels import Panel, write_panels
from cryopick.preprocess import denoise as stages
from cryopick.simulate import simulate_micrograph

FIGURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "denoising-stages.jpg"


def main() -> None:
    """Draw every panel in its own pixels, so that the shift of the last three is visible."""
    micrograph = simulate_micrograph(seed=7, size=768, pixel_size=2.0, preset="easy").micrograph
    stretched = stages.stretch(stages.gaussian_blur(micrograph.pixels))
    averaged = stages.non_local_means(stretched)
    deconvolved, _ = stages.wiener(averaged, stages.gaussian_kernel())
    equalised = stages.equalise(stages.stretch(deconvolved))
    smooth, _ = stages.guided_filter(equalised, deconvolved)
    images: dict[str, NDArray[Any]] = {
        "the micrograph": micrograph.pixels,
        "1, 2. blurred and stretched": stretched,
        "3. non-local means": averaged,
        "4. Wiener deconvolution": deconvolved,
        "5. equalised": equalised,
        "6. guided filter": stages.stretch(smooth),
    }
    panels = [Panel(title, image, PixelMap()) for title, image in images.items()]
    with TemporaryDirectory() as folder:
        whole = Path(folder) / "stages.png"
        write_panels(panels, micrograph.shape_hw, whole)
        cv2.imwrite(str(FIGURE), np.asarray(cv2.imread(str(whole))), [cv2.IMWRITE_JPEG_QUALITY, 70])


if __name__ == "__main__":
    main()
