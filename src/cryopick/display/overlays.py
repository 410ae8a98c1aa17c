"""Images of micrographs with circles around particles, and contact sheets of several images."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cryopick.coordinates import PixelMap
from cryopick.display.contrast import for_display
from cryopick.files import write_bytes
from cryopick.types import Micrograph, Picks

RgbImage = NDArray[np.uint8]
Colour = tuple[int, int, int]
GREEN: Colour = (80, 220, 60)
ORANGE: Colour = (255, 150, 0)
MAGENTA: Colour = (255, 60, 220)
LONGEST_SIDE = 1024
FALLBACK_RADIUS = 6  # pixels of the image, if the diameter is unknown
FRACTION_BITS = 4
CAPTION_HEIGHT = 28
GREY_STEP = 8
"""Reduces images to 32 grey levels: in noise the difference is invisible, and the PNG is less than half as large."""


@dataclass(frozen=True)
class Marks:
    """Picks to mark on an image, with circles or, to be distinguished without colours, crosses of the same size."""

    picks: Picks
    colour: Colour = GREEN
    cross: bool = False


def draw(micrograph: Micrograph, marks: Sequence[Marks], *, longest_side: int = LONGEST_SIDE) -> RgbImage:
    """Draw a micrograph as an RGB image (h, w, 3), with marks of the particles' diameter.

    The image is reduced, never enlarged, to at most `longest_side` pixels along its longest side. Marks are small if the
    diameter is unknown.
    """
    grey, to_home = _grey_image(micrograph, longest_side)
    image = np.repeat(grey[..., None], 3, axis=2)
    for mark in marks:
        diameter_px = mark.picks.diameter_px
        radius = FALLBACK_RADIUS if diameter_px is None else max(2.0, diameter_px / 2 / to_home.length)
        for x, y in to_home.from_home(mark.picks.xy):
            _mark(image, x, y, radius, mark)
    return image


def write_png(image: NDArray[np.uint8], path: Path) -> None:
    """Write an RGB (h, w, 3) or grey (h, w) image as PNG, atomically; equal images give equal bytes."""
    stored = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    encoded: NDArray[np.uint8] = cv2.imencode(".png", stored)[1]
    write_bytes(path, encoded.tobytes())


def contact_sheet(images: Sequence[RgbImage], captions: Sequence[str], *, columns: int | None = None, gap: int = 8) -> RgbImage:
    """Arrange RGB images (h, w, 3) of any size in rows of `columns` on a white sheet, with a caption below each.

    Without `columns`, there are about as many columns as rows.
    """
    columns = columns or ceil(len(images) ** 0.5)
    height = max(image.shape[0] for image in images) + CAPTION_HEIGHT + gap
    width = max(image.shape[1] for image in images) + gap
    sheet = np.full((ceil(len(images) / columns) * height + gap, columns * width + gap, 3), 255, np.uint8)
    for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
        row, column = divmod(index, columns)
        top, left = gap + row * height, gap + column * width
        sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
        cv2.putText(sheet, caption, (left, top + image.shape[0] + 20), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (0, 0, 0), 1, cv2.LINE_AA)
    return sheet


def reduced(pixels: NDArray[np.float32], longest_side: int) -> tuple[NDArray[np.float32], PixelMap]:
    """Reduce an image (h, w), never enlarge it, to at most `longest_side` pixels along its longest side.

    Returns it with the map from its pixels to those of the original.
    """
    height, width = pixels.shape
    shrink = min(1.0, longest_side / max(height, width))
    new_height, new_width = max(1, round(height * shrink)), max(1, round(width * shrink))
    small = cv2.resize(pixels, (new_width, new_height), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32, copy=False), PixelMap.resize((width / new_width, height / new_height))


def _grey_image(micrograph: Micrograph, longest_side: int) -> tuple[NDArray[np.uint8], PixelMap]:
    small, to_home = reduced(micrograph.pixels, longest_side)
    return for_display(small) // GREY_STEP * GREY_STEP + GREY_STEP // 2, to_home


def _mark(image: RgbImage, x: float, y: float, radius: float, mark: Marks) -> None:
    def fixed(value: float) -> int:
        return round(value * (1 << FRACTION_BITS))

    thickness = 1 if max(image.shape) < 400 else 2
    if not mark.cross:
        cv2.circle(image, (fixed(x), fixed(y)), fixed(radius), mark.colour, thickness, cv2.LINE_AA, FRACTION_BITS)
        return
    arm = radius * 0.5**0.5
    for dx, dy in ((arm, arm), (arm, -arm)):
        ends = (fixed(x - dx), fixed(y - dy)), (fixed(x + dx), fixed(y + dy))
        cv2.line(image, *ends, mark.colour, thickness, cv2.LINE_AA, FRACTION_BITS)
