"""References: projections of a map whose shape is known, turned and scaled templates."""

import mrcfile
import numpy as np
import pytest

from cryopick.detection.correlation import disc
from cryopick.detection.references import References, even_views, load_references, make_templates, project


def ball(shape, centre, radius):
    grid = np.indices(shape)
    distance = np.sqrt(sum((axis - middle) ** 2 for axis, middle in zip(grid, centre, strict=True)))
    return np.clip(radius + 0.5 - distance, 0, 1).astype(np.float32)


def write(path, data, pixel_size):
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(data)
        file.voxel_size = pixel_size
    return path


def middle(image):
    rows, columns = np.indices(image.shape)
    return np.array([(columns * image).sum(), (rows * image).sum()]) / image.sum()


def test_views_are_unit_vectors_of_the_upper_half_evenly_spaced():
    views = even_views(20)
    assert len(views) == 52  # 2π / (20°)²
    np.testing.assert_allclose(np.linalg.norm(views, axis=1), 1)
    assert (views[:, 2] > 0).all()
    between = np.degrees(np.arccos(np.clip(views @ views.T, -1, 1))) + 360 * np.eye(len(views))
    assert between.min(axis=1).min() > 12
    assert between.min(axis=1).max() < 26


def test_a_view_along_z_sums_the_sections():
    density = ball((20, 20, 20), (10, 13, 6), 3)
    straight, mirrored = project(density, np.array([[0.0, 0, 1]]))
    # In the plane the image may be turned about the centre pixel (10, 10): the ball is 5 from it, as sqrt(4² + 3²).
    assert straight.sum() == pytest.approx(density.sum(), rel=1e-3)
    assert np.linalg.norm(middle(straight) - 10) == pytest.approx(5, abs=0.02)
    assert np.linalg.norm(middle(mirrored) - 10) == pytest.approx(5, abs=0.02)


@pytest.mark.parametrize("view", [(1, 0, 0), (0, 1, 0), (0.6, 0, 0.8), (0.48, 0.6, 0.64)])
def test_a_projection_shows_how_far_things_are_from_the_axis_of_view(view):
    offset = np.array([4.0, -3, 5])  # x, y, z from the centre voxel 12
    density = ball((24, 24, 24), (12 + 5, 12 - 3, 12 + 4), 2.5)
    straight, _ = project(density, np.array([view], float))
    expected = np.linalg.norm(offset - (offset @ view) * np.array(view))
    assert np.linalg.norm(middle(straight) - 12) == pytest.approx(expected, abs=0.1)


def test_a_cube_is_a_map_and_other_stacks_are_images(tmp_path):
    density = ball((16, 16, 16), (8, 8, 8), 4)
    projections = load_references(write(tmp_path / "map.mrc", density, 3.0), light=True, view_step=40)
    assert projections.images.shape == (2 * len(even_views(40)), 16, 16)
    assert projections.pixel_size == pytest.approx(3.0)
    images = load_references(write(tmp_path / "classes.mrcs", density[:5], 2.0), light=False, view_step=40)
    np.testing.assert_array_equal(images.images, -density[:5])


def test_a_large_map_is_shrunk_and_its_pixels_grow(tmp_path):
    density = ball((96, 96, 96), (48, 48, 48), 20)
    references = load_references(write(tmp_path / "map.mrc", density, 2.0), light=True, view_step=60)
    assert references.images.shape[1:] == (64, 64)
    assert references.pixel_size == pytest.approx(3.0)
    assert references.diameter_px * references.pixel_size == pytest.approx(80, rel=0.1)


def test_templates_are_scaled_about_the_centre_pixel():
    image = ball((41, 41), (20, 26), 4)[None]  # 6 columns right of the centre pixel
    templates = make_templates(References(image, None), factor=2.0, mask=disc(8), angular_step=360)
    assert templates.shape == (1, 19, 19)
    bright = np.clip(templates[0] - np.median(templates[0]), 0, None)
    np.testing.assert_allclose(middle(bright * (bright > 0.5 * bright.max())), [9 + 3, 9], atol=0.1)


def test_turns_of_a_long_particle_are_kept_and_those_of_a_round_one_are_one():
    rows, columns = np.indices((33, 33)) - 16
    rod = ((abs(rows) <= 2) & (abs(columns) <= 12)).astype(np.float32)
    count = [len(make_templates(References(p[None], None), factor=1, mask=disc(14), angular_step=15))
             for p in (rod, ball((33, 33), (16, 16), 9))]  # fmt: skip
    assert count == [12, 1]  # a rod is the same after half a turn


def test_references_without_contrast_make_no_templates():
    assert len(make_templates(References(np.ones((2, 9, 9), np.float32), None), factor=1, mask=disc(3), angular_step=90)) == 0
