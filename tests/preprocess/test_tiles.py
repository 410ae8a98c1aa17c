"""Tiles overlap at their seams, and their own parts cover the image once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryopick.preprocess.tiles import tiles


def test_three_tiles_of_ten_over_twenty_six_pixels():
    # Starts 0, 8 and 16; overlaps are columns 8–9 and 16–17, parted in the middle, at 9 and 17.
    cut = list(tiles((5, 26), size=10, overlap=2))
    assert [(tile.columns.start, tile.columns.stop) for tile in cut] == [(0, 10), (8, 18), (16, 26)]
    assert [(tile.own_columns.start, tile.own_columns.stop) for tile in cut] == [(0, 9), (9, 17), (17, 26)]
    assert [tile.own[1] for tile in cut] == [slice(0, 9), slice(1, 9), slice(1, 10)]
    assert {(tile.rows.start, tile.rows.stop) for tile in cut} == {(0, 5)}


def test_a_small_image_is_one_tile():
    [tile] = tiles((10, 7), size=10, overlap=4)
    assert tile.own == (slice(0, 10), slice(0, 7))


@given(st.integers(1, 90), st.integers(1, 90), st.integers(2, 30), st.data())
def test_own_parts_cover_the_image_once_and_lie_half_an_overlap_from_seams(height, width, size, data):
    overlap = data.draw(st.integers(0, size - 1))
    covered = np.zeros((height, width), int)
    for tile in tiles((height, width), size=size, overlap=overlap):
        covered[tile.own_rows, tile.own_columns] += 1
        for seen, own, length in ((tile.rows, tile.own_rows, height), (tile.columns, tile.own_columns, width)):
            assert seen.stop - seen.start == min(size, length)
            assert own.start == 0 or own.start - seen.start >= overlap // 2
            assert own.stop == length or seen.stop - own.stop >= overlap // 2
    assert (covered == 1).all()


def test_an_overlap_as_wide_as_the_tile_raises():
    with pytest.raises(ValueError, match="overlap must be less"):
        list(tiles((9, 9), size=4, overlap=4))
