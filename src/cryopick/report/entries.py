"""One micrograph as the page needs it: plain values, and picks and pictures as base64."""

import base64
import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike

from cryopick.coordinates import Frame, PixelMap
from cryopick.display.thumbnails import IMAGE_SIDE, encode_jpeg
from cryopick.runs.records import Record
from cryopick.types import Picks

SIDES = (384, 320, 256, 208, 160)
SMALL_QUALITY = 60
STEPS = 65535
"""Places along either side of a picture that a pick can have: a sixteenth of a pixel at 4k."""
FRACTIONS = Frame(unit="fraction")

Entry = dict[str, object]


def entry(record: Record, *, reasons: Sequence[str], median_score: float | None, truth: Picks | None) -> Entry:
    """What the page knows of a micrograph, its picture apart.

    Picks are little-endian uint16 pairs (x, y), counted from the picture's outer edges in 65,535ths of its width and height;
    scores are float32, so that the page's counts at a threshold are those of `cryopick convert --threshold`.
    """
    about = record.outcome
    width = about.shape_hw[1] if about.shape_hw else None
    diameter_px = record.to_picks().diameter_px
    return {
        "name": about.name,
        "path": about.path,
        "status": about.status,
        "reasons": list(reasons),
        "picks": about.picks,
        "seconds": round(about.seconds, 3),
        "score": median_score,
        "diameter": about.diameter,
        "unit": "px" if about.pixel_size is None else "Å",
        "shape": about.shape_hw,
        "circle": None if diameter_px is None or width is None else round(diameter_px / width, 6),
        "xy": places(record.xy, about.shape_hw),
        "scores": None if record.scores is None else _text(np.array(record.scores, "<f4")),
        "truth": None if truth is None else places(truth.xy, about.shape_hw),
    }


def places(xy: ArrayLike, shape_hw: tuple[int, int] | None) -> str | None:
    """Points (n, 2) of the image frame as base64 of their places on the picture; None where its shape is unknown.

    Points beyond the picture come to lie on its edge.
    """
    if shape_hw is None:
        return None
    fractions = FRACTIONS.from_image(PixelMap.from_edges().from_home(xy), shape_hw=shape_hw)
    return _text(np.clip(np.rint(fractions * STEPS), 0, STEPS).astype("<u2"))


def picture_within(jpeg: bytes, limit: int) -> bytes:
    """The JPEG itself when it has at most `limit` bytes, else the largest smaller one that does, or the smallest of all."""
    if len(jpeg) <= limit:
        return jpeg
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    likely = IMAGE_SIDE * math.sqrt(limit / len(jpeg)) * 1.5  # sides far too large need not be tried
    for side in SIDES:
        if side <= likely or side == SIDES[-1]:
            jpeg = _smaller(np.asarray(picture, np.uint8), side)
            if len(jpeg) <= limit:
                break
    return jpeg


def data_url(content: bytes, kind: str = "image/jpeg") -> str:
    """The content as a URL that needs no file."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _smaller(picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], side: int) -> bytes:
    shrink = min(1.0, side / max(picture.shape))
    size = max(1, round(picture.shape[1] * shrink)), max(1, round(picture.shape[0] * shrink))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return encode_jpeg(np.asarray(small, np.uint8), quality=SMALL_QUALITY)


def _text(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")
