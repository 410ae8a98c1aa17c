"""Particles from maps: discs that touch are parted, long ones are not, and scikit-image's watershed agrees."""

import numpy as np
import pytest

from cryopick.detection.components import Instances, parts, prompts, watershed


def disc(shape, x, y, radius):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def union(shape, *discs):
    return np.any([disc(shape, *each) for each in discs], axis=0)


def test_two_discs_that_touch_are_two():
    mask = union((80, 120), (35, 40, 20), (70, 40, 20))
    labels = parts(mask)
    assert labels.max() == 2
    assert labels[40, 35] == 1
    assert labels[40, 70] == 2
    np.testing.assert_array_equal(labels > 0, mask)
    # Equal discs are parted half-way, at column 52.5.
    assert np.unique(labels[:, :52]).tolist() == [0, 1]
    assert np.unique(labels[:, 54:]).tolist() == [0, 2]


def test_discs_nearly_on_top_of_each_other_are_one():
    # Centres 0.8 radii apart: the neck is √(1 − 0.4²) = 0.92 of the radius, above 0.85.
    assert parts(union((80, 120), (40, 40, 20), (56, 40, 20))).max() == 1


def test_a_long_particle_stays_one():
    mask = np.zeros((60, 120), bool)
    mask[20:40, 10:110] = True
    assert parts(mask).max() == 1


def test_of_three_discs_in_a_row_the_wide_neck_joins_and_the_narrow_one_parts():
    # Necks: centres 16 apart √(1 − 0.4²) = 0.92 of the radius, 34 apart √(1 − 0.85²) = 0.53.
    labels = parts(union((80, 160), (40, 40, 20), (56, 40, 20), (90, 40, 20)))
    assert labels.max() == 2
    assert labels[40, 40] == labels[40, 56] != labels[40, 90]


def test_a_clump_of_seven_is_seven():
    angles = np.arange(6) * np.pi / 3
    ring = [(100 + 27 * np.cos(a), 100 + 27 * np.sin(a), 15) for a in angles]
    labels = parts(union((200, 200), (100, 100, 15), *ring))
    assert labels.max() == 7
    assert len({int(labels[round(y), round(x)]) for x, y, _ in [(100, 100, 15), *ring]}) == 7


def test_random_overlapping_discs_are_parted_as_by_another_watershed(rng):
    segmentation = pytest.importorskip("skimage.segmentation")
    ndimage = pytest.importorskip("scipy.ndimage")
    centres = [(30 + 55 * i + rng.uniform(-8, 8), 30 + 55 * j + rng.uniform(-8, 8)) for i in range(6) for j in range(6)]
    mask = union((360, 360), *((x, y, 30) for x, y in centres))
    ours = parts(mask)
    markers = np.zeros(mask.shape, int)
    for number, (x, y) in enumerate(centres, start=1):
        markers[round(y), round(x)] = number
    theirs = segmentation.watershed(-ndimage.distance_transform_edt(mask), markers, mask=mask)
    assert ours.max() == theirs.max() == 36
    pairs, counts = np.unique(np.stack([ours[mask], theirs[mask]]), axis=1, return_counts=True)
    agree = sum(counts[pairs[0] == label].max() for label in range(1, 37))
    assert agree / mask.sum() > 0.97


def test_discs_cut_by_the_edge_stay_whole():
    assert parts(union((60, 60), (0, 30, 20), (59, 30, 9))).max() == 2


@pytest.mark.parametrize(("fill", "count"), [(False, 0), (True, 1)])
def test_an_empty_mask_has_no_part_and_a_full_one_has_one(fill, count):
    assert parts(np.full((17, 30), fill)).max() == count


def test_instances_have_boxes_scores_and_bitmaps():
    shape = (50, 90)
    probability = np.where(disc(shape, 20, 25, 10), 0.9, 0.1) + np.where(disc(shape, 60, 25, 8), 0.6, 0)
    found = watershed(probability.astype(np.float32))
    assert found.boxes.tolist() == [[10, 15, 30, 35], [52, 17, 68, 33]]
    np.testing.assert_allclose(found.scores, [0.9, 0.7], atol=1e-6)
    np.testing.assert_allclose(found.centroids, [[20, 25], [60, 25]], atol=1e-9)
    np.testing.assert_array_equal(found.labels(shape), disc(shape, 20, 25, 10) + 2 * disc(shape, 60, 25, 8))


def test_specks_are_dropped():
    probability = np.zeros((40, 40), np.float32)
    probability[5, 5] = probability[20:30, 20:30] = 1
    assert watershed(probability, smallest=9).boxes.tolist() == [[20, 20, 29, 29]]


def test_nothing_above_the_level_gives_nothing():
    flat = np.full((40, 30), 0.5, np.float32)
    assert len(watershed(flat)) == 0
    assert prompts(flat).shape == (0, 2)


def test_prompts_are_the_centres_of_discs():
    mask = union((100, 140), (40, 50, 20), (76, 50, 20), (115, 20, 4)).astype(np.float32)
    found = prompts(mask)
    assert len(found) == 3
    nearest = [np.hypot(*(found - centre).T).min() for centre in [(40, 50), (76, 50), (115, 20)]]
    assert max(nearest) <= 2


def test_the_better_score_is_on_top_where_regions_overlap():
    square = np.ones((3, 3), bool)
    boxes = np.array([[0, 0, 2, 2], [1, 1, 3, 3]])
    labels = Instances(boxes, np.array([0.9, 0.8], np.float32), (square, square)).labels((4, 4))
    assert labels[1, 1] == 1
    assert labels[3, 3] == 2
