"""Corrections made in other programs, such as napari or 2D classification, turned into edits of a review."""

import secrets
from collections.abc import Iterator, Sequence

import numpy as np

from cryopick.evaluate.matching import match_points
from cryopick.review.compare import DEFAULT_RADIUS_PX
from cryopick.review.edits import Add, Edit, EditRequest, MarkReviewed, Move, Remove
from cryopick.review.session import Review
from cryopick.types import Picks

LEAST_MOVE_PX = 1.0
"""A pick within this distance of its corrected position is not moved, since many formats round coordinates."""


def apply_corrections(review: Review, corrected: Sequence[Picks]) -> list[int]:
    """Edit the picks of micrographs to match the corrected ones, mark the micrographs as reviewed, and return their indices.

    A pick within half a diameter of a corrected one, matched one to one, is moved there. Other picks are removed, and missing
    ones are added. Micrographs marked as bad stay unchanged, and applying the same corrections again changes nothing.
    """
    by_name = {picks.micrograph: picks for picks in corrected}
    corrected_indices = []
    for index, micrograph in enumerate(review.micrographs):
        picks = by_name.get(micrograph.source.name)
        if picks is None or review.edited_picks(index).state.bad:
            continue
        for edit in [*_edits(review, index, picks), MarkReviewed(True)]:
            if not (isinstance(edit, MarkReviewed) and review.edited_picks(index).state.reviewed):
                review.submit(index, EditRequest(secrets.token_hex(8), edit))
        corrected_indices.append(index)
    return corrected_indices


def _edits(review: Review, index: int, corrected: Picks) -> Iterator[Edit]:
    state = review.edited_picks(index).state
    shown = np.flatnonzero(state.kept(review.threshold))
    diameter_px = corrected.diameter_px or review.micrographs[index].picks.diameter_px
    match = match_points(state.xy[shown], corrected.xy, radius_px=diameter_px / 2 if diameter_px else DEFAULT_RADIUS_PX)
    if len(match.extra):
        yield Remove(state.numbers[shown[match.extra]].tolist())
    for (found, place), distance in zip(match.pairs.tolist(), match.distances.tolist(), strict=True):
        if distance > LEAST_MOVE_PX:
            yield Move(int(state.numbers[shown[found]]), *corrected.xy[place].tolist())
    for x, y in corrected.xy[match.missed].tolist():
        yield Add(x, y)
