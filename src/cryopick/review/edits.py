"""Edits of picks, and the journal entries that record them.

Points are in the image frame. A pick is identified by its index among the original picks or, if it was added by hand, by a number
that the review assigns; no number is used twice.
"""

import math
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from cryopick.errors import SettingError

LARGEST_SHAPE = 1_000_000
"""Pixels along a side that no micrograph has."""
STROKE_SIDES = 20
"""Sides of the micrograph beyond which no point of a stroke lies: the page shows less around a micrograph."""
LARGEST_SCORE = 3e38
"""Largest threshold that float32, in which scores are compared, can hold."""
Number = Annotated[int, Meta(ge=0)]
Point = tuple[float, float]


class Add(Struct, frozen=True, tag="add"):
    """Add a pick by hand; the review assigns its number."""

    x: float
    y: float
    pick: Number = 0


class Move(Struct, frozen=True, tag="move"):
    """Move a pick; it then counts as set by hand."""

    pick: Number
    x: float
    y: float


class Remove(Struct, frozen=True, tag="remove"):
    """Remove picks, a single one or all inside a lasso."""

    picks: Annotated[list[Number], Meta(min_length=1)]


class Paint(Struct, frozen=True, tag="paint"):
    """Mark everything within `radius` pixels of a line as a bad area. Its picks are removed; picks added there later stay."""

    radius: Annotated[float, Meta(gt=0)]
    points: Annotated[list[Point], Meta(min_length=1, max_length=20_000)]
    area: Number = 0


class Erase(Struct, frozen=True, tag="erase"):
    """Remove a bad area; the picks that it removed come back."""

    area: Number


class MarkBad(Struct, frozen=True, tag="bad"):
    """Mark a micrograph as bad, or as good again."""

    value: bool


class MarkReviewed(Struct, frozen=True, tag="reviewed"):
    """Mark a micrograph as reviewed: its picks are exactly its particles. It keeps the threshold of this moment."""

    value: bool
    threshold: float | None = None


class SetThreshold(Struct, frozen=True, tag="threshold"):
    """Hide picks with a lower score, on one micrograph or on all that have no threshold of their own."""

    value: float


Edit = Add | Move | Remove | Paint | Erase | MarkBad | MarkReviewed | SetThreshold


class OriginalEntry(Struct, frozen=True, tag="original"):
    """The picks of a micrograph before its first edit, so that the journal does not depend on the file of picks."""

    micrograph: str
    xy: list[Point]
    scores: list[float] | None = None


class EditEntry(Struct, frozen=True, tag="step"):
    """An edit of a micrograph, or of all if the name is empty. `key` identifies the request, in case it is sent twice."""

    micrograph: str
    edit: Edit
    key: str = ""
    at: float = 0.0


class UndoEntry(Struct, frozen=True, tag="undo"):
    """Undo of the last edit of a micrograph, or of all if the name is empty."""

    micrograph: str
    key: str = ""
    at: float = 0.0


class RedoEntry(Struct, frozen=True, tag="redo"):
    """Redo of the edit that was undone last."""

    micrograph: str
    key: str = ""
    at: float = 0.0


JournalEntry = OriginalEntry | EditEntry | UndoEntry | RedoEntry


class EditRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A request from a page: an edit, or an undo or redo of what the page shows at `revision`."""

    key: Annotated[str, Meta(min_length=8, max_length=64)]
    edit: Edit | None = None
    undo: bool = False
    redo: bool = False
    revision: int = 0


@dataclass(frozen=True)
class Limits:
    """Area in which edits of a micrograph are allowed.

    Attributes
    ----------
    shape_hw : of the micrograph; None where it is unknown.
    margin : distance in pixels from the micrograph's edges at which a pick may lie outside.
    """

    shape_hw: tuple[int, int] | None = None
    margin: float = 0.0

    def holds_pick(self, x: float, y: float) -> bool:
        """Return whether a pick may be at this point."""
        height, width = self.shape_hw or (LARGEST_SHAPE, LARGEST_SHAPE)
        return -self.margin <= x <= width - 1 + self.margin and -self.margin <= y <= height - 1 + self.margin

    def holds_stroke(self, length: float) -> bool:
        """Return whether a coordinate or the radius of a stroke may be so large; strokes may leave the micrograph."""
        return abs(length) <= STROKE_SIDES * max(self.shape_hw or (LARGEST_SHAPE,))


ANYWHERE = Limits(margin=LARGEST_SHAPE)
"""Limits of edits in a journal, which were checked when they were made."""


def check_edit(edit: Edit, limits: Limits = ANYWHERE) -> str | None:
    """Say why an edit is invalid; None for a valid one. Ranges are checked when the JSON is decoded, others here."""
    numbers: list[float] = []
    match edit:
        case Add(x=x, y=y) | Move(x=x, y=y):
            numbers = [x, y]
        case Paint(radius=radius, points=points):
            numbers = [radius, *(value for point in points for value in point)]
        case SetThreshold(value=value) | MarkReviewed(threshold=float(value)):
            numbers = [value]
    if not all(map(math.isfinite, numbers)):
        return "coordinates, radii and thresholds must be finite numbers"
    match edit:
        case Add(x=x, y=y) | Move(x=x, y=y) if not limits.holds_pick(x, y):
            return f"the pick would be outside the micrograph, at ({x:g}, {y:g})"
        case Paint() if not all(map(limits.holds_stroke, numbers)):
            return "the painted area would be far outside the micrograph"
        case SetThreshold() | MarkReviewed() if any(abs(value) > LARGEST_SCORE for value in numbers):
            return f"the threshold is beyond all scores: {numbers[0]:g}"
    return None


def decode_request(body: bytes) -> EditRequest:
    """Decode a request from JSON. Raises `SettingError` for anything else."""
    try:
        return msgspec.json.decode(body, type=EditRequest)
    except RecursionError:
        raise SettingError("the request is nested too deeply") from None
    except (msgspec.MsgspecError, ValueError) as error:  # numbers of thousands of digits, bytes that are not UTF-8
        raise SettingError(f"the request is invalid: {error}") from None
