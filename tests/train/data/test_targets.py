"""Masks counted by hand: at edges, between pixels and on resized images."""

import numpy as np
import pytest

from cryopick.coordinates import PixelMap
from cryopick.errors import CryopickError
from cryopick.train.data.targets import disc_mask
from cryopick.types import Picks


def picks(*xy, diameter=4.0, shape=(7, 9), **more):
    return Picks("m", np.array(xy, float).reshape(-1, 2), diameter=diameter, shape_hw=shape, **more)


def test_a_disc_holds_the_pixels_whose_centres_are_within_the_radius():
    expected = np.zeros((7, 9), np.float32)
    expected[2, 6] = expected[4, 6] = expected[3, 4:9] = expected[1, 6] = expected[5, 6] = 1
    expected[2, 5:8] = expected[4, 5:8] = 1
    mask = disc_mask(picks((6, 3)))
    assert mask.dtype == np.float32
    np.testing.assert_array_equal(mask, expected)


def test_a_disc_between_pixels_fills_the_pixels_around_it():
    # Radius 1 around (2.5, 2.5): the four pixels at a distance of 0.71; the next are at 1.58.
    mask = disc_mask(picks((2.5, 2.5), diameter=2.0))
    assert mask.sum() == 4
    assert mask[2:4, 2:4].all()


def test_discs_are_clipped_at_the_edge_and_absent_beyond_it():
    # A quarter of the disc of radius 2, whose rows have 1, 3, 5, 3 and 1 pixels: 3 + 2 + 1.
    assert disc_mask(picks((0, 0))).sum() == 6
    assert disc_mask(picks((8, 6))).sum() == 6
    assert disc_mask(picks((-2, 3))).sum() == 1
    assert disc_mask(picks((-50, 3), (3, 900))).sum() == 0


def test_no_picks_give_an_empty_mask():
    mask = disc_mask(picks())
    assert mask.shape == (7, 9)
    assert not mask.any()


def test_centre_discs_are_a_fraction_of_the_diameter():
    np.testing.assert_array_equal(disc_mask(picks((4, 3)), fraction=0.5), disc_mask(picks((4, 3), diameter=2.0)))


def test_a_diameter_in_angstroms_is_drawn_in_pixels():
    np.testing.assert_array_equal(disc_mask(picks((4, 3), diameter=6.0, pixel_size=1.5)), disc_mask(picks((4, 3))))


def test_a_soft_edge_falls_linearly_through_a_half_at_the_radius():
    row = disc_mask(picks((10, 1), diameter=8.0, shape=(3, 30)), edge=4.0)[1]
    # Distances 0 … 6 from the centre; radius 4: 1 up to 2, a half at 4, 0 from 6 on.
    np.testing.assert_allclose(row[10:17], [1, 1, 1, 0.75, 0.5, 0.25, 0])
    np.testing.assert_allclose(row[10:3:-1], row[10:17])


def test_where_soft_discs_overlap_the_larger_value_counts():
    pair = disc_mask(picks((3, 3), (6, 3)), edge=2.0)
    np.testing.assert_array_equal(pair, np.maximum(disc_mask(picks((3, 3)), edge=2.0), disc_mask(picks((6, 3)), edge=2.0)))


def test_a_resized_image_gets_scaled_discs_at_the_mapped_positions():
    # Half the width and height: mask pixel (x, y) covers micrograph pixels 2x and 2x + 1, its centre is 2x + ½.
    to_home = PixelMap.resize((2, 2))
    mask = disc_mask(picks((8.5, 4.5), diameter=8.0), shape_hw=(6, 9), to_home=to_home)
    np.testing.assert_array_equal(mask, disc_mask(picks((4, 2), diameter=4.0, shape=(6, 9))))


def test_a_squeezed_image_gets_ellipses():
    mask = disc_mask(picks((8, 8), diameter=8.0), shape_hw=(17, 9), to_home=PixelMap(scale=(2.0, 1.0)))
    assert mask[8].sum() == 5  # 4 px to either side at 2 px a column
    assert mask[:, 4].sum() == 9


@pytest.mark.parametrize("edge", [0.0, 3.0])
def test_a_mask_of_five_hundred_particles_equals_that_from_nearest_distances(rng, edge):
    from scipy.spatial import cKDTree

    centres = rng.uniform(-5, 261, (500, 2))
    mask = disc_mask(picks(*centres, diameter=11.0, shape=(256, 256)), edge=edge)
    rows, columns = np.mgrid[:256, :256]
    distance, _ = cKDTree(centres).query(np.stack([columns, rows], axis=-1))
    expected = distance <= 5.5 if edge == 0 else np.clip((5.5 - distance) / edge + 0.5, 0, 1)
    np.testing.assert_allclose(mask, expected, atol=1e-6)


def test_an_unknown_diameter_or_shape_raises():
    with pytest.raises(CryopickError, match="diameter"):
        disc_mask(picks((1, 1), diameter=None))
    with pytest.raises(CryopickError, match="shape"):
        disc_mask(picks((1, 1), shape=None))
