"""Corrections that were made elsewhere, in napari or with 2D classes, as the edits of a review that lead to them."""

import secrets
from collections.abc import Iterator, Sequence

import numpy as np

from cryopick.evaluate.matching import match_points
from cryopick.review.compare import UNKNOWN_RADIUS
from cryopick.review.edits import Add, Edit, MarkReviewed, Move, Remove, Request
from cryopick.review.session import Review
from cryopick.types import Picks

FAR = 1.0
"""Pixels; a pick that lies no further from its place than this stays where it is, since many formats round."""


def take_corrections(review: Review, corrected: Sequence[Picks]) -> list[int]:
    """Edit micrographs until their picks are the corrected ones, mark them as reviewed, and tell which they are.

    A pick nearer than half a diameter to a corrected one, one to one, is moved there; the others are removed, and what is missing
    is set. Nothing is done to micrographs that are marked as bad, nor a second time.
    """
    by_name = {picks.micrograph: picks for picks in corrected}
    taken = []
    for index, subject in enumerate(review.subjects):
        picks = by_name.get(subject.source.name)
        if picks is None or review.sheet(index).state.bad:
            continue
        for edit in [*_edits(review, index, picks), MarkReviewed(True)]:
            if not (isinstance(edit, MarkReviewed) and review.sheet(index).state.reviewed):
                review.submit(index, Request(secrets.token_hex(8), edit))
        taken.append(index)
    return taken


def _edits(review: Review, index: int, corrected: Picks) -> Iterator[Edit]:
    state = review.sheet(index).state
    shown = np.flatnonzero(state.kept(review.threshold))
    diameter_px = corrected.diameter_px or review.subjects[index].picks.diameter_px
    match = match_points(state.xy[shown], corrected.xy, radius_px=diameter_px / 2 if diameter_px else UNKNOWN_RADIUS)
    if len(match.extra):
        yield Remove(state.numbers[shown[match.extra]].tolist())
    for (found, place), distance in zip(match.pairs.tolist(), match.distances.tolist(), strict=True):
        if distance > FAR:
            yield Move(int(state.numbers[shown[found]]), *corrected.xy[place].tolist())
    for x, y in corrected.xy[match.missed].tolist():
        yield Add(x, y)
