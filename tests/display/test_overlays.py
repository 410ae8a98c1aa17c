"""Images with circles in the right place and of the right size."""

import cv2
import numpy as np
import pytest

from cryopick.display.overlays import GREEN, MAGENTA, Marks, contact_sheet, draw, write_png
from cryopick.types import Micrograph, Picks


@pytest.fixture
def noise(rng):
    return Micrograph(rng.normal(size=(300, 400)).astype(np.float32), pixel_size=2.0, name="m.mrc")


def coloured(picture):
    """Rows and columns where a picture is not grey."""
    return np.nonzero(np.ptp(picture.astype(int), axis=2) > 60)


@pytest.mark.parametrize("longest_side", [400, 200, 131])
def test_a_circle_has_the_place_and_diameter_of_its_particle_at_any_image_size(noise, longest_side):
    picks = Picks("m.mrc", [[120.0, 200.0]], diameter=120.0, shape_hw=(300, 400), pixel_size=2.0)
    picture = draw(noise, [Marks(picks)], longest_side=longest_side)
    assert max(picture.shape) == longest_side
    rows, columns = coloured(picture)
    scale = longest_side / 400
    centre = (120.5 * scale - 0.5, 200.5 * scale - 0.5)
    radii = np.hypot(columns - centre[0], rows - centre[1])
    assert len(radii) > 30
    assert np.abs(radii - 30 * scale).max() < 2.5  # 120 Å are 60 px across
    assert abs(np.median(radii) - 30 * scale) < 1


def test_small_images_are_not_enlarged(noise):
    assert draw(noise, [], longest_side=1024).shape == (300, 400, 3)


def test_a_cross_covers_the_centre_and_a_circle_does_not(noise):
    picks = Picks("m.mrc", [[200.0, 150.0]], diameter=120.0, pixel_size=2.0)
    cross = draw(noise, [Marks(picks, MAGENTA, cross=True)])
    circle = draw(noise, [Marks(picks, GREEN)])
    assert tuple(cross[150, 200]) == MAGENTA
    assert np.ptp(circle[150, 200].astype(int)) == 0


def test_picks_without_a_diameter_or_at_the_edge_are_drawn_too(noise):
    picks = Picks("m.mrc", [[0.0, 0.0], [399.0, 299.0]])
    rows, columns = coloured(draw(noise, [Marks(picks)]))
    assert ((rows < 20) & (columns < 20)).any()
    assert ((rows > 280) & (columns > 380)).any()


@pytest.mark.parametrize("shape", [(1, 1), (7, 5000), (5000, 3)])
def test_an_image_has_the_proportions_of_its_micrograph(shape, rng):
    picture = draw(Micrograph(rng.normal(size=shape).astype(np.float32)), [Marks(Picks("m"))])
    assert picture.shape[0] == max(1, round(shape[0] * min(1, 1024 / max(shape))))
    assert picture.shape[1] == max(1, round(shape[1] * min(1, 1024 / max(shape))))


def test_a_png_holds_the_colours_that_were_drawn(tmp_path, noise):
    picture = draw(noise, [Marks(Picks("m.mrc", [[200.0, 150.0]], diameter=120.0, pixel_size=2.0), (250, 10, 20))])
    write_png(picture, tmp_path / "a.png")
    write_png(picture, tmp_path / "b.png")
    again = cv2.imread(str(tmp_path / "a.png"))[..., ::-1]
    np.testing.assert_array_equal(again, picture)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_sheet_shows_every_image_whole_and_no_two_overlap():
    pictures = [np.full((30 + 10 * index, 50, 3), 40 * index + 10, np.uint8) for index in range(5)]
    sheet = contact_sheet(pictures, ["a", "b", "c", "d", "e"], columns=2, gap=4)
    counts = [int((sheet == picture[0, 0]).all(axis=2).sum()) for picture in pictures]
    assert all(count >= picture.shape[0] * 50 for count, picture in zip(counts, pictures, strict=True))
    assert sheet.shape[1] == 2 * (50 + 4) + 4
