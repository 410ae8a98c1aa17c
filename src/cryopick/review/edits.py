"""What a person can do to the picks of a micrograph, and how it stands in the journal.

Points are in the image frame. A pick's number is its place among the original picks, or, for one set by hand, a number that the
review gave it; no number is given twice.
"""

import math
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

Number = Annotated[int, Meta(ge=0)]
Point = tuple[float, float]


class Add(Struct, frozen=True, tag="add"):
    """Set a pick by hand; the review chooses its number."""

    x: float
    y: float
    pick: Number = 0


class Move(Struct, frozen=True, tag="move"):
    """Put a pick elsewhere; from then on it counts as set by hand."""

    pick: Number
    x: float
    y: float


class Remove(Struct, frozen=True, tag="remove"):
    """Take picks away, one or all within a lasso."""

    picks: Annotated[list[Number], Meta(min_length=1)]


class Paint(Struct, frozen=True, tag="paint"):
    """Declare an area bad: all that is nearer than `radius` to a line. Its picks go, those set there later stay."""

    radius: Annotated[float, Meta(gt=0)]
    points: Annotated[list[Point], Meta(min_length=1, max_length=20_000)]
    area: Number = 0


class Erase(Struct, frozen=True, tag="erase"):
    """Take back a bad area; the picks that went with it return."""

    area: Number


class MarkBad(Struct, frozen=True, tag="bad"):
    """Say that a whole micrograph is of no use, or that it is after all."""

    value: bool


class MarkReviewed(Struct, frozen=True, tag="reviewed"):
    """Say that every particle of a micrograph is picked now and nothing else; it keeps the threshold of this moment."""

    value: bool
    threshold: float | None = None


class SetThreshold(Struct, frozen=True, tag="threshold"):
    """Hide picks with a lower score, on one micrograph or on all that have no threshold of their own."""

    value: float


Edit = Add | Move | Remove | Paint | Erase | MarkBad | MarkReviewed | SetThreshold


class Original(Struct, frozen=True, tag="original"):
    """The picks of a micrograph before its first edit, so that the journal holds true whatever becomes of their file."""

    micrograph: str
    xy: list[Point]
    scores: list[float] | None = None


class Step(Struct, frozen=True, tag="step"):
    """One edit, of a micrograph or, with an empty name, of all; `key` tells a request that was sent twice."""

    micrograph: str
    edit: Edit
    key: str = ""
    at: float = 0.0


class Undo(Struct, frozen=True, tag="undo"):
    """The last edit of a micrograph, or with an empty name of all, is taken back."""

    micrograph: str
    key: str = ""
    at: float = 0.0


class Redo(Struct, frozen=True, tag="redo"):
    """The edit that was taken back last is made again."""

    micrograph: str
    key: str = ""
    at: float = 0.0


Entry = Original | Step | Undo | Redo


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    """What the page sends: an edit, or an undo or redo of what it shows at `revision`."""

    key: Annotated[str, Meta(min_length=8, max_length=64)]
    edit: Edit | None = None
    undo: bool = False
    redo: bool = False
    revision: int = 0


def fault(edit: Edit) -> str | None:
    """Why an edit cannot be kept: numbers that are none; JSON's own range is checked when it is read."""
    match edit:
        case Add(x=x, y=y) | Move(x=x, y=y):
            numbers = [x, y]
        case Paint(radius=radius, points=points):
            numbers = [radius, *(value for point in points for value in point)]
        case SetThreshold(value=value):
            numbers = [value]
        case _:
            numbers = []
    return None if all(map(math.isfinite, numbers)) else "an edit has a number that is not finite"


def decode_request(body: bytes) -> Request:
    """Read a request; raises `msgspec.DecodeError` for anything else."""
    return msgspec.json.decode(body, type=Request)
