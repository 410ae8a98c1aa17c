"""The data of one micrograph for the page: plain values, with picks and images in base64."""

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

REDUCED_SIDES = (384, 320, 256, 208, 160)
REDUCED_QUALITY = 60
POSITION_STEPS = 65535
"""Positions along either side of an image that a pick can have: steps of a sixteenth of a pixel at 4k."""
FRACTIONS = Frame(unit="fraction")

Entry = dict[str, object]


def micrograph_entry(record: Record, *, reasons: Sequence[str], median_score: float | None, truth: Picks | None) -> Entry:
    """Return the data of a micrograph without its image.

    Picks are little-endian uint16 pairs (x, y), counted from the outer edges of the image in 65,535ths of its width and height.
    Scores are float32, so that the page selects the same picks at a threshold as `cryopick convert --threshold`.
    """
    outcome = record.outcome
    width = outcome.shape_hw[1] if outcome.shape_hw else None
    diameter_px = record.to_picks().diameter_px
    return {
        "name": outcome.name,
        "path": outcome.path,
        "status": outcome.status,
        "reasons": list(reasons),
        "picks": outcome.picks,
        "seconds": round(outcome.seconds, 3),
        "score": median_score,
        "diameter": outcome.diameter,
        "unit": "px" if outcome.pixel_size is None else "Å",
        "shape": outcome.shape_hw,
        "circle": None if diameter_px is None or width is None else round(diameter_px / width, 6),
        "xy": encode_positions(record.xy, outcome.shape_hw),
        "scores": None if record.scores is None else _to_base64(np.array(record.scores, "<f4")),
        "truth": None if truth is None else encode_positions(truth.xy, outcome.shape_hw),
    }


def encode_positions(xy: ArrayLike, shape_hw: tuple[int, int] | None) -> str | None:
    """Encode points (n, 2) in the image frame as base64 of uint16 fractions of the image; None if its shape is unknown.

    Points outside the image are moved to its edge.
    """
    if shape_hw is None:
        return None
    fractions = FRACTIONS.from_image(PixelMap.from_edges().from_home(xy), shape_hw=shape_hw)
    return _to_base64(np.clip(np.rint(fractions * POSITION_STEPS), 0, POSITION_STEPS).astype("<u2"))


def shrink_jpeg(jpeg: bytes, limit: int) -> bytes:
    """Return the JPEG if it has at most `limit` bytes, else the largest reduced version that does, or the smallest of all."""
    if len(jpeg) <= limit:
        return jpeg
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    if image is None:
        return jpeg
    likely = IMAGE_SIDE * math.sqrt(limit / len(jpeg)) * 1.5  # much larger sides would not fit
    for side in REDUCED_SIDES:
        if side <= likely or side == REDUCED_SIDES[-1]:
            jpeg = _reduce(np.asarray(image, np.uint8), side)
            if len(jpeg) <= limit:
                break
    return jpeg


def data_url(content: bytes, kind: str = "image/jpeg") -> str:
    """Return the content as a ``data:`` URL."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _reduce(image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], side: int) -> bytes:
    factor = min(1.0, side / max(image.shape))
    size = max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return encode_jpeg(np.asarray(small, np.uint8), quality=REDUCED_QUALITY)


def _to_base64(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")
