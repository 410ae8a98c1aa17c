"""Thumbnails of picked micrographs for reports."""

import cv2
import numpy as np
import pytest

from cryopick.display.thumbnails import BANDS, CROP_SIDE, CROPS, make_thumbnail, read_thumbnail, write_thumbnail
from cryopick.errors import FileError
from cryopick.types import Micrograph, Picks


def spots(xy, *, shape=(400, 600), diameter=60.0, noise=1.0, seed=1):
    """Dark discs in noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    pixels = rng.normal(0, noise, shape)
    for a, b in xy:
        pixels -= 2 * (np.hypot(x - a, y - b) < diameter / 2)
    return Micrograph(pixels, None, "m.mrc")


def test_a_mean_shows_a_particle_darker_than_its_surroundings_in_the_middle():
    xy = [[100.25, 100.75], [300, 150], [450, 250], [200, 300]]
    seen = make_thumbnail(spots(xy), Picks("m.mrc", xy, [0.9, 0.8, 0.7, 0.6], 60.0))
    assert seen.counts.tolist() == [1, 1, 1, 1]
    mean = seen.means.mean(0)
    y, x = np.mgrid[:CROP_SIDE, :CROP_SIDE]
    weight = np.clip(-mean - 0.5, 0, None)
    middle = (CROP_SIDE - 1) / 2
    assert (weight * x).sum() / weight.sum() == pytest.approx(middle, abs=0.3)
    assert (weight * y).sum() / weight.sum() == pytest.approx(middle, abs=0.3)
    # 60 px in a box of 1.6 diameters is 30 px of the 48
    assert (mean < mean.min() / 2).sum() == pytest.approx(np.pi * 15**2, rel=0.05)


def test_bands_hold_the_best_scores_first():
    xy = [[100, 100], [300, 100], [100, 300], [300, 300], [450, 200]]
    micrograph = spots(xy[:2])  # only the first two picks are particles
    seen = make_thumbnail(micrograph, Picks("m.mrc", xy, [0.8, 0.9, 0.1, 0.2, 0.3], 60.0))
    assert seen.counts.tolist() == [2, 1, 1, 1]
    middles = seen.means[:, CROP_SIDE // 2 - 4 : CROP_SIDE // 2 + 4, CROP_SIDE // 2 - 4 : CROP_SIDE // 2 + 4].mean((1, 2))
    assert middles[0] < -2
    assert abs(middles[1:]).max() < 1


def test_particles_that_cross_the_edge_are_in_no_crop_and_no_mean():
    xy = [[20, 200], [300, 200], [300, 390]]
    seen = make_thumbnail(spots(xy), Picks("m.mrc", xy, None, 60.0))
    assert seen.cropped.tolist() == [1]
    assert seen.counts.sum() == 1


def test_crops_are_a_random_few_and_the_same_each_time():
    xy = np.random.default_rng(2).uniform([60, 60], [540, 340], (200, 2))
    micrograph, picks = spots(xy[:5]), Picks("m.mrc", xy, None, 60.0)
    one, other = make_thumbnail(micrograph, picks), make_thumbnail(micrograph, picks)
    assert len(one.crops) == len(one.cropped) == CROPS
    assert len(set(one.cropped.tolist())) == CROPS
    assert one.cropped.tolist() == other.cropped.tolist()
    assert one.crops.tobytes() == other.crops.tobytes()


@pytest.mark.parametrize(("xy", "diameter"), [([], 60.0), ([[100.0, 100.0]], None)])
def test_without_particles_or_diameter_there_is_still_an_image(xy, diameter):
    seen = make_thumbnail(spots([]), Picks("m.mrc", xy, None, diameter))
    assert seen.counts.tolist() == [0] * BANDS
    assert len(seen.crops) == 0
    picture = cv2.imdecode(np.frombuffer(seen.image, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture.shape == (341, 512)  # 400 × 600 with the longest side at 512


def test_a_constant_micrograph_gives_grey_crops():
    seen = make_thumbnail(Micrograph(np.ones((200, 200))), Picks("micrograph", [[100, 100]], None, 40.0))
    assert np.unique(seen.crops).tolist() == [128]


def test_a_thumbnail_comes_back_from_its_file(tmp_path):
    xy = [[100, 100], [300, 150]]
    seen = make_thumbnail(spots(xy), Picks("m.mrc", xy, [0.9, 0.8], 60.0))
    for name in ("a.npz", "b.npz"):
        write_thumbnail(seen, tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    back = read_thumbnail(tmp_path / "a.npz")
    assert back.image == seen.image
    assert back.crops.tolist() == seen.crops.tolist()
    assert back.cropped.tolist() == [0, 1]
    assert np.abs(back.means - seen.means).max() < 0.01  # kept in half precision


def test_a_damaged_file_is_an_error_that_names_it(tmp_path):
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(FileError, match=r"bad\.npz"):
        read_thumbnail(tmp_path / "bad.npz")
