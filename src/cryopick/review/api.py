"""What the server tells its pages, as plain dictionaries for JSON."""

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryopick.display.pyramid import LONGEST_DENOISED, TILE, level_count
from cryopick.errors import CryopickError
from cryopick.io.micrographs.headers import read_shape
from cryopick.io.picks.formats import FORMATS
from cryopick.review.session import Review, Subject

BINS = 60


def overview(review: Review, title: str) -> dict[str, Any]:
    """All that a page needs to begin: a row for each micrograph, the scores, the formats."""
    return {
        "title": title,
        "number": review.number,
        "threshold": review.threshold,
        "scores": histogram(review.scores),
        "rows": [row(review, index) for index in range(len(review.subjects))],
        "formats": FORMATS.names,
        "tile": TILE,
    }


def row(review: Review, index: int) -> dict[str, Any]:
    """A micrograph's line in the list."""
    sheet = review.sheet(index)
    state = sheet.state
    return {
        "name": review.subjects[index].source.name,
        "picks": int(state.kept(review.threshold).sum()),
        "bad": state.bad,
        "reviewed": state.reviewed,
        "touched": sheet.touched,
        "revision": review.revision(index),
    }


def changes(review: Review, after: int) -> dict[str, Any]:
    """What has changed since a page last asked; `rows` by index, all of them when the threshold of all moved."""
    number = review.number
    changed, everything = review.changed_since(after)
    indices = range(len(review.subjects)) if everything else sorted(changed)
    rows = {str(index): row(review, index) for index in indices}
    return {"number": number, "threshold": review.threshold, "everything": everything, "rows": rows}


def detail(review: Review, index: int) -> dict[str, Any]:
    """One micrograph with every pick that has not been taken away; those below the threshold too."""
    number, revision = review.number, review.revision(index)
    sheet, subject = review.sheet(index), review.subjects[index]
    state = sheet.state
    rows = np.flatnonzero(state.present)
    return {
        "index": index,
        "number": number,
        "revision": revision,
        **_geometry(subject),
        "picks": {
            "number": state.numbers[rows].tolist(),
            "x": state.xy[rows, 0].round(2).tolist(),
            "y": state.xy[rows, 1].round(2).tolist(),
            "score": [None if math.isnan(score) else score for score in state.scores[rows].tolist()],  # held against thresholds
            "hand": state.by_hand[rows].tolist(),
        },
        "areas": [{"area": area, "radius": one.radius, "points": one.points} for area, one in state.areas.items()],
        "bad": state.bad,
        "reviewed": state.reviewed,
        "threshold": state.threshold,
        "general": review.threshold,
        "canUndo": review.can_undo(index),
        "canRedo": review.can_redo(index),
        "found": len(sheet.original),
        "row": row(review, index),
    }


def _geometry(subject: Subject) -> dict[str, Any]:
    """Shape, scale and levels of a micrograph; an error in their place when its file cannot be read."""
    picks = subject.picks
    try:
        shape, own_size = _shape(subject)
    except (CryopickError, OSError) as error:
        return {"error": str(error), "shape": None}
    first = 0
    while math.ceil(max(shape) / 2**first) > LONGEST_DENOISED:
        first += 1
    return {
        "shape": shape,
        "pixelSize": picks.pixel_size or subject.source.pixel_size or own_size,
        "diameter": picks.diameter_px,
        "levels": level_count(shape),
        "denoisedFrom": first,
    }


@lru_cache(maxsize=4096)
def _shape(subject: Subject) -> tuple[tuple[int, int], float | None]:
    return read_shape(subject.source.path)


def histogram(scores: NDArray[np.float32]) -> dict[str, Any] | None:
    """How scores are spread, None where there are none or all are the same."""
    if len(scores) == 0 or scores.min() == scores.max():
        return None
    counts, edges = np.histogram(scores, BINS)
    return {"low": float(edges[0]), "high": float(edges[-1]), "counts": counts.tolist()}
