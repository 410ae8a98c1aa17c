"""Overlapping tiles of an image, each responsible for a part of its own, so that no seams show."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Tile:
    """One tile of an image.

    Attributes
    ----------
    rows, columns : extent of the tile in the image.
    own_rows, own_columns : part of the image that this tile is responsible for; the parts of all tiles cover the image once.
    """

    rows: slice
    columns: slice
    own_rows: slice
    own_columns: slice

    @property
    def own(self) -> tuple[slice, slice]:
        """Rows and columns of the own part, in the tile's pixels."""
        return (
            slice(self.own_rows.start - self.rows.start, self.own_rows.stop - self.rows.start),
            slice(self.own_columns.start - self.columns.start, self.own_columns.stop - self.columns.start),
        )


def tiles(shape_hw: tuple[int, int], *, size: int, overlap: int) -> Iterator[Tile]:
    """Divide an image into tiles of `size` pixels a side that overlap by at least `overlap` pixels.

    All tiles have the same size, and that of the image along a side that is shorter than `size`. Neighbours divide their overlap
    in the middle. Raises `ValueError` unless `overlap` is less than `size`.
    """
    if not 0 <= overlap < size:
        raise ValueError(f"overlap must be less than the size of a tile ({size} pixels), got {overlap}")
    for rows, own_rows in _spans(shape_hw[0], size, overlap):
        for columns, own_columns in _spans(shape_hw[1], size, overlap):
            yield Tile(rows, columns, own_rows, own_columns)


def _spans(length: int, size: int, overlap: int) -> list[tuple[slice, slice]]:
    """Return the extents of the tiles and of their own parts along one axis, evenly spread."""
    if length <= size:
        return [(slice(0, length), slice(0, length))]
    count = -(-(length - overlap) // (size - overlap))
    starts = [round(index * (length - size) / (count - 1)) for index in range(count)]
    seams = [0, *((start + size + after) // 2 for start, after in itertools.pairwise(starts)), length]
    return [
        (slice(start, start + size), slice(first, last)) for start, first, last in zip(starts, seams[:-1], seams[1:], strict=True)
    ]
