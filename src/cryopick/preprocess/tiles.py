"""A picture in overlapping tiles, each of which answers for a part of its own, so that no seam shows."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Tile:
    """One tile of a picture: what is looked at, and which part of it counts.

    Attributes
    ----------
    rows, columns : of the picture, what is looked at.
    own_rows, own_columns : of the picture, what this tile answers for; the own parts of all tiles cover the picture once.
    """

    rows: slice
    columns: slice
    own_rows: slice
    own_columns: slice

    @property
    def own(self) -> tuple[slice, slice]:
        """The own part, in the tile's pixels."""
        return (
            slice(self.own_rows.start - self.rows.start, self.own_rows.stop - self.rows.start),
            slice(self.own_columns.start - self.columns.start, self.own_columns.stop - self.columns.start),
        )


def tiles(shape_hw: tuple[int, int], *, size: int, overlap: int) -> Iterator[Tile]:
    """Tiles of `size` pixels a side, or the whole side where it is shorter, that share `overlap` pixels or more.

    All tiles of a picture have one size. Neighbours part their overlap in the middle. `overlap` must be less than `size`.
    """
    if not 0 <= overlap < size:
        raise ValueError(f"tiles of {size} pixels cannot overlap by {overlap}")
    for rows, own_rows in _spans(shape_hw[0], size, overlap):
        for columns, own_columns in _spans(shape_hw[1], size, overlap):
            yield Tile(rows, columns, own_rows, own_columns)


def _spans(length: int, size: int, overlap: int) -> list[tuple[slice, slice]]:
    """What is looked at and what counts, along one axis; starts are spread evenly."""
    if length <= size:
        return [(slice(0, length), slice(0, length))]
    count = -(-(length - overlap) // (size - overlap))
    starts = [round(index * (length - size) / (count - 1)) for index in range(count)]
    seams = [0, *((start + size + after) // 2 for start, after in itertools.pairwise(starts)), length]
    return [
        (slice(start, start + size), slice(first, last)) for start, first, last in zip(starts, seams[:-1], seams[1:], strict=True)
    ]
