"""Figures of one micrograph in several panels, all in its frame, even if images were flipped or resized."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryopick.coordinates import PixelMap
from cryopick.files import write_bytes
from cryopick.types import Picks

COLUMNS = 2
INCHES = 5.0
FALLBACK_DIAMETER_SHARE = 0.02  # of the longer side, if the diameter is unknown


@dataclass(frozen=True, eq=False)
class Panel:
    """One panel of a figure.

    Attributes
    ----------
    title : above the image.
    pixels : grey (h, w) or RGB (h, w, 3).
    to_home : the map from its pixels to the micrograph's.
    picks : picks to circle.
    """

    title: str
    pixels: NDArray[Any]
    to_home: PixelMap
    picks: Picks | None = None


def write_panels(panels: Sequence[Panel], shape_hw: tuple[int, int], path: Path) -> None:
    """Write a figure as PNG or JPEG, by the suffix, with two panels a row that each show the whole micrograph of `shape_hw`.

    Grey images are shown with the lowest and highest 0.5 % of values clipped. The file is written atomically.
    """
    from matplotlib.figure import Figure

    height, width = shape_hw
    rows = -(-len(panels) // COLUMNS)
    figure = Figure(figsize=(INCHES * COLUMNS, INCHES * rows * height / width), layout="constrained")
    for axes, panel in zip(figure.subplots(rows, COLUMNS, squeeze=False).flat, panels, strict=False):
        _draw(axes, panel)
        axes.set(title=panel.title, xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[])
    content = BytesIO()
    png = path.suffix.lower() == ".png"
    figure.savefig(content, format="png" if png else "jpeg", dpi=120, metadata={"Software": None} if png else None)
    write_bytes(path, content.getvalue())


def _draw(axes: Any, panel: Panel) -> None:
    from matplotlib.collections import EllipseCollection

    rows, columns = panel.pixels.shape[:2]
    (left, top), (right, bottom) = panel.to_home.to_home([(-0.5, -0.5), (columns - 0.5, rows - 0.5)])
    low, high = _grey_range(panel.pixels)
    axes.imshow(panel.pixels, cmap="gray", vmin=low, vmax=high, extent=(left, right, bottom, top), interpolation="antialiased")
    if panel.picks is not None and len(panel.picks):
        longer = max(abs(right - left), abs(bottom - top))
        diameter = np.full(len(panel.picks), panel.picks.diameter_px or FALLBACK_DIAMETER_SHARE * longer)
        axes.add_collection(
            EllipseCollection(
                diameter,
                diameter,
                np.zeros(len(diameter)),
                units="xy",
                offsets=panel.picks.xy,
                offset_transform=axes.transData,
                facecolors="none",
                edgecolors="#50dc3c",
                linewidths=1.2,
            )
        )


def _grey_range(pixels: NDArray[Any]) -> tuple[float, float] | tuple[None, None]:
    """Return the values shown black and white: the full range if over 99 % of values are equal, none for colours."""
    if pixels.ndim == 3:
        return None, None
    low, high = np.percentile(pixels[:: max(1, len(pixels) // 1000)], (0.5, 99.5))
    return (float(low), float(high)) if low < high else (float(pixels.min()), float(pixels.max()))
