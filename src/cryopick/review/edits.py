"""Edits of picks, and the journal entries that record them.

Points are in the image frame. A pick is identified by its index among the original picks or, if it was added by hand, by a number
that the review assigns; no number is used twice.
"""

import math
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

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


def check_edit(edit: Edit) -> str | None:
    """Say why an edit is invalid; None for a valid one. Ranges are checked when the JSON is decoded; finite numbers are not."""
    match edit:
        case Add(x=x, y=y) | Move(x=x, y=y):
            numbers = [x, y]
        case Paint(radius=radius, points=points):
            numbers = [radius, *(value for point in points for value in point)]
        case SetThreshold(value=value):
            numbers = [value]
        case _:
            numbers = []
    return None if all(map(math.isfinite, numbers)) else "coordinates, radii and thresholds must be finite numbers"


def decode_request(body: bytes) -> EditRequest:
    """Decode a request from JSON. Raises `msgspec.DecodeError` for anything else."""
    return msgspec.json.decode(body, type=EditRequest)
