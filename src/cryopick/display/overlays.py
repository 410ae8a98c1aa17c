"""Pictures to look at: a micrograph with circles round its particles, and many of them on one sheet."""

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

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]
GREEN: Colour = (80, 220, 60)
ORANGE: Colour = (255, 150, 0)
MAGENTA: Colour = (255, 60, 220)
LONGEST_SIDE = 1024
UNKNOWN_RADIUS = 6  # preview pixels, where nobody knows the diameter
FRACTION_BITS = 4
CAPTION_HEIGHT = 28
GREY_STEP = 8
"""32 grey levels: in noise nobody sees the difference, and the PNG has less than half the bytes."""


@dataclass(frozen=True)
class Marks:
    """Points to mark on a picture, with circles, or with crosses of the same size, which are told apart without colour too."""

    picks: Picks
    colour: Colour = GREEN
    cross: bool = False


def draw(micrograph: Micrograph, marks: Sequence[Marks], *, longest_side: int = LONGEST_SIDE) -> Picture:
    """An RGB picture (h, w, 3) of a micrograph with marks at their particles' diameter.

    It is scaled down, never up, until its longest side has at most `longest_side` pixels. Marks reach over the edge where they
    must; those without a diameter get a small one.
    """
    grey, to_home = _thumbnail(micrograph, longest_side)
    picture = np.repeat(grey[..., None], 3, axis=2)
    for mark in marks:
        diameter_px = mark.picks.diameter_px
        radius = UNKNOWN_RADIUS if diameter_px is None else max(2.0, diameter_px / 2 / to_home.length)
        for x, y in to_home.from_home(mark.picks.xy):
            _mark(picture, x, y, radius, mark)
    return picture


def write_png(picture: Picture, path: Path) -> None:
    """Write an RGB (h, w, 3) or grey (h, w) picture as PNG, atomically; the same pixels give the same bytes."""
    stored = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.ndim == 3 else picture
    encoded: NDArray[np.uint8] = cv2.imencode(".png", stored)[1]
    write_bytes(path, encoded.tobytes())


def contact_sheet(pictures: Sequence[Picture], captions: Sequence[str], *, columns: int | None = None, gap: int = 8) -> Picture:
    """RGB pictures (h, w, 3) of any sizes side by side on a white sheet, a caption below each, in rows of `columns`.

    Without `columns`, the sheet is about as wide as high.
    """
    columns = columns or ceil(len(pictures) ** 0.5)
    height = max(picture.shape[0] for picture in pictures) + CAPTION_HEIGHT + gap
    width = max(picture.shape[1] for picture in pictures) + gap
    sheet = np.full((ceil(len(pictures) / columns) * height + gap, columns * width + gap, 3), 255, np.uint8)
    for index, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        row, column = divmod(index, columns)
        top, left = gap + row * height, gap + column * width
        sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
        cv2.putText(
            sheet, caption, (left, top + picture.shape[0] + 20), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (0, 0, 0), 1, cv2.LINE_AA
        )
    return sheet


def reduced(pixels: NDArray[np.float32], longest_side: int) -> tuple[NDArray[np.float32], PixelMap]:
    """The picture scaled down, never up, until its longest side has at most `longest_side` pixels."""
    height, width = pixels.shape
    shrink = min(1.0, longest_side / max(height, width))
    new_height, new_width = max(1, round(height * shrink)), max(1, round(width * shrink))
    small = cv2.resize(pixels, (new_width, new_height), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32, copy=False), PixelMap.resize((width / new_width, height / new_height))


def _thumbnail(micrograph: Micrograph, longest_side: int) -> tuple[Picture, PixelMap]:
    small, to_home = reduced(micrograph.pixels, longest_side)
    return for_display(small) // GREY_STEP * GREY_STEP + GREY_STEP // 2, to_home


def _mark(picture: Picture, x: float, y: float, radius: float, mark: Marks) -> None:
    def fixed(value: float) -> int:
        return round(value * (1 << FRACTION_BITS))

    thickness = 1 if max(picture.shape) < 400 else 2
    if not mark.cross:
        cv2.circle(picture, (fixed(x), fixed(y)), fixed(radius), mark.colour, thickness, cv2.LINE_AA, FRACTION_BITS)
        return
    arm = radius * 0.5**0.5
    for dx, dy in ((arm, arm), (arm, -arm)):
        ends = (fixed(x - dx), fixed(y - dy)), (fixed(x + dx), fixed(y + dy))
        cv2.line(picture, *ends, mark.colour, thickness, cv2.LINE_AA, FRACTION_BITS)
