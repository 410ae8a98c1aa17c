"""Coordinates, with answers worked out by hand on images small enough to draw."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryopick.coordinates import Frame, PixelMap, inside, length_from_px, length_to_px, relion_rows
from cryopick.errors import CryopickError

number = st.floats(-1e4, 1e4)
factor = st.floats(0.1, 20)


def test_block_mean_of_two_puts_the_first_block_between_the_first_two_pixels():
    # Block 0 covers pixels 0 and 1: its centre is at 0.5. Block 3 covers 6 and 7.
    assert PixelMap.resize((2, 2)).to_home([[0, 3]]).tolist() == [[0.5, 6.5]]


def test_block_mean_of_three_puts_the_first_block_on_its_middle_pixel():
    assert PixelMap.resize((3, 3)).to_home([[0, 1]]).tolist() == [[1.0, 4.0]]


def test_bilinear_enlargement_by_two_starts_a_quarter_pixel_before_the_first():
    assert PixelMap.resize((0.5, 0.5)).to_home([[0, 1]]).tolist() == [[-0.25, 0.25]]


def test_a_resize_may_differ_between_the_axes():
    # 4 columns to 1, 2 rows to 1: the one pixel is at the middle, column 1.5 and row 0.5.
    assert PixelMap.resize((4, 2)).to_home([[0, 0]]).tolist() == [[1.5, 0.5]]


def test_a_length_is_that_of_a_square_of_the_same_area():
    assert PixelMap.resize((4, 9)).length == 6
    assert PixelMap.flip_rows(10).length == 1


def test_fourier_crop_keeps_the_first_pixel_where_it_is():
    assert PixelMap.fourier_crop((2, 2)).to_home([[0, 0], [3, 5]]).tolist() == [[0, 0], [6, 10]]


def test_a_fourier_cropped_wave_has_its_maximum_where_the_map_says():
    wave = np.cos(2 * np.pi * (np.arange(16) - 6) / 16)
    spectrum = np.fft.rfft(wave)[:5]
    spectrum[-1] = 0
    small = np.fft.irfft(spectrum, 8) * 8 / 16
    assert int(small.argmax()) == 3
    assert PixelMap.fourier_crop((2, 2)).to_home([[3, 0]])[0, 0] == 6


def test_a_tile_adds_its_corner():
    assert PixelMap.crop(100, 40).to_home([[1, 2]]).tolist() == [[101, 42]]


def test_padding_takes_its_margin_away():
    assert PixelMap.pad(8, 3).to_home([[8, 3]]).tolist() == [[0, 0]]


def test_the_last_row_is_the_first_when_flipped():
    assert PixelMap.flip_rows(10).to_home([[4, 0], [4, 9]]).tolist() == [[4, 9], [4, 0]]


def test_the_last_column_is_the_first_when_mirrored():
    assert PixelMap.flip_columns(10).to_home([[0, 4], [9, 4]]).tolist() == [[9, 4], [0, 4]]


def test_a_pixels_centre_lies_half_a_pixel_from_its_edges():
    # The only pixel of an image spans 0 to 1 counted from the edges; its centre is the image frame's (0, 0).
    assert PixelMap.from_edges().to_home([[0, 0], [0.5, 0.5], [1, 1]]).tolist() == [[-0.5, -0.5], [0, 0], [0.5, 0.5]]


def test_a_tile_of_a_binned_picture():
    # Pixel 3 of a tile that starts at block 10 is block 13: pixels 26 and 27, centre 26.5.
    binned_tile = PixelMap.resize((2, 2)).then(PixelMap.crop(10, 20))
    assert binned_tile.to_home([[3, 0]]).tolist() == [[26.5, 40.5]]


@given(st.lists(st.tuples(number, number), max_size=4), factor, factor, number, number)
def test_maps_there_and_back_and_joined(points, fx, fy, left, top):
    first, second = PixelMap.resize((fx, fy)), PixelMap.crop(left, top)
    joined = first.then(second)
    np.testing.assert_allclose(joined.from_home(joined.to_home(points)), np.reshape(points, (-1, 2)), atol=1e-6)
    np.testing.assert_allclose(joined.to_home(points), first.to_home(second.to_home(points)), atol=1e-6)


@pytest.mark.parametrize(
    ("size", "corner", "centre"),
    [(4, (10, 20), (12, 22)), (5, (10, 20), (12, 22)), (1, (10, 20), (10, 20)), (180, (0, 0), (90, 90)), (181, (0, 0), (90, 90))],
)
def test_a_box_corner_is_half_its_size_before_the_centre_rounded_down(size, corner, centre):
    frame = Frame(anchor="corner", quantum=1.0)
    assert frame.to_image([corner], box=size).tolist() == [list(centre)]
    assert frame.from_image([centre], box=size).tolist() == [list(corner)]


def test_an_exact_box_centre_keeps_the_half_pixel():
    frame = Frame(anchor="corner", box_centre="middle")
    assert frame.to_image([[10.25, 20]], box=[[5, 4]]).tolist() == [[12.75, 22]]


def test_writing_a_corner_rounds_the_centre_as_formats_of_centres_do():
    # 12.6 rounds to the pixel 13; a box of 5 around it starts at 11.
    assert Frame(anchor="corner", quantum=1.0).from_image([[12.6, 12.4]], box=5).tolist() == [[11, 10]]
    # 2.5 rounds up to 3, and a box of 10 starts at -2; its corner, -2.5, would have been rounded down to -3.
    assert Frame(anchor="corner", quantum=1.0).from_image([[2.5, 0.5]], box=10).tolist() == [[-2, -4]]


def test_fractions_are_of_width_and_height():
    frame = Frame(unit="fraction")
    assert frame.to_image([[0.25, 0.5]], shape_hw=(200, 400)).tolist() == [[100, 100]]
    assert frame.from_image([[100, 100]], shape_hw=(200, 400)).tolist() == [[0.25, 0.5]]


def test_angstroms_are_pixels_times_the_pixel_size():
    frame = Frame(unit="angstrom")
    assert frame.to_image([[177, 88.5]], pixel_size=1.77).tolist() == [[100, 50]]


def test_rows_from_the_bottom():
    # CryoPPP: y = H - 1 - y. In an image of 4096 rows, its row 4095 is our row 0.
    assert Frame(rows="up").to_image([[7, 4095], [7, 0]], shape_hw=(4096, 4000)).tolist() == [[7, 0], [7, 4095]]


def test_rounding_goes_away_from_zero_at_a_half():
    assert Frame(quantum=1.0).from_image([[0.5, 1.5], [2.4999, -0.5]]).tolist() == [[1, 2], [2, -1]]


@pytest.mark.parametrize("frame", [Frame(unit="fraction"), Frame(unit="angstrom"), Frame(anchor="corner"), Frame(rows="up")])
def test_a_frame_names_the_value_that_is_missing(frame):
    with pytest.raises(CryopickError, match="is needed"):
        frame.to_image([[1, 1]])


@given(
    st.lists(st.tuples(number, number), max_size=4),
    st.sampled_from(["px", "fraction", "angstrom"]),
    st.sampled_from(["down", "up"]),
)
def test_frames_there_and_back(points, unit, rows):
    frame = Frame(unit=unit, rows=rows)
    known = {"shape_hw": (311, 500), "pixel_size": 1.3}
    np.testing.assert_allclose(frame.to_image(frame.from_image(points, **known), **known), np.reshape(points, (-1, 2)), atol=1e-6)


def test_relion_reads_tiffs_from_the_bottom():
    assert [relion_rows(name) for name in ("a.mrc", "Micrographs/a.tif", "a.TIFF")] == ["down", "up", "up"]


def test_inside_counts_from_the_outermost_pixels():
    assert inside([[0, 0], [9, 4], [9.1, 4], [-0.1, 0]], (5, 10)).tolist() == [True, True, False, False]
    assert inside([[2, 2], [1.9, 2]], (5, 10), border=2).tolist() == [True, False]
    assert inside(np.zeros((0, 2)), (5, 10)).tolist() == []


@pytest.mark.parametrize(("pixel_size", "length", "pixels"), [(2.0, 190.0, 95.0), (None, 190.0, 190.0)])
def test_lengths_are_in_angstrom_where_the_pixel_size_is_known(pixel_size, length, pixels):
    assert length_to_px(length, pixel_size) == pixels
    assert length_from_px(pixels, pixel_size) == length
