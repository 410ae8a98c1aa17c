"""The data that the server sends to its pages, as dictionaries for JSON."""

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryopick.display.pyramid import LONGEST_DENOISED, TILE, level_count
from cryopick.errors import CryopickError
from cryopick.io.micrographs.headers import read_shape
from cryopick.io.picks.formats import FORMATS
from cryopick.review.session import Review, ReviewMicrograph

HISTOGRAM_BINS = 60


def overview(review: Review, title: str) -> dict[str, Any]:
    """Return the initial data of a page: a row per micrograph, the histogram of scores, the formats."""
    return {
        "title": title,
        "entryCount": review.entry_count,
        "threshold": review.threshold,
        "scores": histogram(review.scores),
        "rows": [row(review, index) for index in range(len(review.micrographs))],
        "formats": FORMATS.names,
        "tile": TILE,
    }


def row(review: Review, index: int) -> dict[str, Any]:
    """Return the row of a micrograph in the list."""
    edited = review.edited_picks(index)
    state = edited.state
    return {
        "name": review.micrographs[index].source.name,
        "picks": int(state.kept(review.threshold).sum()),
        "bad": state.bad,
        "reviewed": state.reviewed,
        "edited": edited.was_edited,
        "revision": review.revision(index),
    }


def changes(review: Review, after: int) -> dict[str, Any]:
    """Return changes since the journal had `after` entries: rows by index, all of them if the shared threshold has changed."""
    entry_count = review.entry_count
    changed, everything = review.changed_since(after)
    indices = range(len(review.micrographs)) if everything else sorted(changed)
    rows = {str(index): row(review, index) for index in indices}
    return {"entryCount": entry_count, "threshold": review.threshold, "rows": rows}


def detail(review: Review, index: int) -> dict[str, Any]:
    """Return one micrograph with every pick that was not removed, including those below the threshold."""
    revision = review.revision(index)
    edited, micrograph = review.edited_picks(index), review.micrographs[index]
    state = edited.state
    rows = np.flatnonzero(state.present)
    return {
        "index": index,
        "revision": revision,
        **_geometry(micrograph),
        "picks": {
            "number": state.numbers[rows].tolist(),
            "x": state.xy[rows, 0].round(2).tolist(),
            "y": state.xy[rows, 1].round(2).tolist(),
            # not rounded, because they are compared with thresholds
            "score": [None if math.isnan(score) else score for score in state.scores[rows].tolist()],
            "hand": state.by_hand[rows].tolist(),
        },
        "areas": [{"area": area, "radius": one.radius, "points": one.points} for area, one in state.areas.items()],
        "bad": state.bad,
        "reviewed": state.reviewed,
        "threshold": state.threshold,
        "sharedThreshold": review.threshold,
        "canUndo": review.can_undo(index),
        "canRedo": review.can_redo(index),
        "originalCount": len(edited.original),
        "row": row(review, index),
    }


def _geometry(micrograph: ReviewMicrograph) -> dict[str, Any]:
    """Return shape, pixel size, diameter and levels of a micrograph, or an error if its file cannot be read."""
    picks = micrograph.picks
    try:
        shape, own_size = _shape(micrograph)
    except (CryopickError, OSError) as error:
        return {"error": str(error), "shape": None}
    first = 0
    while math.ceil(max(shape) / 2**first) > LONGEST_DENOISED:
        first += 1
    return {
        "shape": shape,
        "pixelSize": picks.pixel_size or micrograph.source.pixel_size or own_size,
        "diameter": picks.diameter_px,
        "levels": level_count(shape),
        "denoisedFrom": first,
    }


@lru_cache(maxsize=4096)
def _shape(micrograph: ReviewMicrograph) -> tuple[tuple[int, int], float | None]:
    return read_shape(micrograph.source.path)


def histogram(scores: NDArray[np.float32]) -> dict[str, Any] | None:
    """Return a histogram of scores; None without scores or if all are the same."""
    if len(scores) == 0 or scores.min() == scores.max():
        return None
    counts, edges = np.histogram(scores, HISTOGRAM_BINS)
    return {"low": float(edges[0]), "high": float(edges[-1]), "counts": counts.tolist()}
