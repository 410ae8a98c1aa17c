"""The mask generator, on a segmenter whose answers can be worked out by hand."""

import cv2
import numpy as np
import pytest
import torch
from component_segmenter import ComponentSegmenter

from cryopick.detection.components import prompts
from cryopick.detection.sam_masks import MaskSettings, generate_masks, suppress_boxes


def picture_of_discs(shape, centres, radius):
    image = np.zeros(shape, np.uint8)
    for x, y in centres:
        cv2.circle(image, (x, y), radius, 255, -1)
    return image


CENTRES = [(40, 40), (120, 48), (200, 40), (56, 136), (152, 144), (216, 200), (72, 216)]


def as_set(masks):
    return {tuple(box) for box in masks.boxes.tolist()}


def test_a_grid_finds_every_disc_once():
    image = picture_of_discs((256, 256), CENTRES, 20)
    segmenter = ComponentSegmenter()
    masks = generate_masks(image, segmenter)
    assert len(segmenter.points) == 1024
    assert len(masks) == len(CENTRES)
    np.testing.assert_allclose(masks.scores, 0.95)
    middles = (masks.boxes[:, :2] + masks.boxes[:, 2:]) / 2
    for centre in CENTRES:
        assert np.abs(middles - centre).max(axis=1).min() <= 2
    assert (masks.labels(image.shape) > 0)[image > 0].mean() > 0.95


def test_the_grid_is_the_published_one():
    asked = []

    class Recorder:
        side = 1024

        def encode(self, image):
            return None

        def decode(self, code, points):
            asked.append(points)
            return torch.full((len(points), 1, 4, 4), -20.0), torch.zeros(len(points), 1)

    generate_masks(np.zeros((1024, 1024), np.uint8), Recorder())
    assert [len(batch) for batch in asked] == [64] * 16
    points = np.concatenate(asked)
    assert points[[0, 1, 32, -1]].tolist() == [[16, 16], [48, 16], [16, 48], [1008, 1008]]


def test_prompts_on_the_map_give_the_same_masks_in_a_fraction_of_the_points():
    image = picture_of_discs((256, 256), CENTRES, 20)
    everywhere, chosen = ComponentSegmenter(), ComponentSegmenter()
    grid = generate_masks(image, everywhere)
    points = prompts(image.astype(np.float32) / 255)
    few = generate_masks(image, chosen, MaskSettings(early_stability=True), points=points)
    assert as_set(few) == as_set(grid)
    assert len(few) == len(CENTRES)
    assert len(chosen.points) == len(CENTRES)
    assert len(everywhere.points) == 1024


def test_prompts_on_the_map_find_particles_that_fall_between_the_points_of_the_grid():
    # A grid of 8 in 256 pixels has points at 16, 48, …; these discs of 5 pixels' radius lie half-way between.
    centres = [(32 + 32 * i, 32 + 32 * j) for i in range(7) for j in range(7)]
    image = picture_of_discs((256, 256), centres, 5)
    assert len(generate_masks(image, ComponentSegmenter(), MaskSettings(grid=8))) == 0
    points = prompts(image.astype(np.float32) / 255)
    assert len(generate_masks(image, ComponentSegmenter(), MaskSettings(grid=8), points=points)) == 49


def test_batches_do_not_change_the_masks():
    image = picture_of_discs((256, 256), CENTRES, 20)
    one, many = (generate_masks(image, ComponentSegmenter(), MaskSettings(grid=16, batch=size)) for size in (7, 256))
    assert one.boxes.tolist() == many.boxes.tolist()


def test_masks_below_either_threshold_are_dropped():
    image = picture_of_discs((256, 256), CENTRES, 20)
    assert len(generate_masks(image, ComponentSegmenter(), MaskSettings(grid=16, min_iou=0.96))) == 0
    # The soft mask lies between logits of −1 and 1, so that its stability is 0: only without that filter is it found.
    unstable = generate_masks(image, ComponentSegmenter(), MaskSettings(grid=16, min_stability=0.0, max_overlap=1.0))
    assert 0.9 in np.round(unstable.scores, 4)
    everything = generate_masks(image, ComponentSegmenter(), MaskSettings(grid=16, min_iou=0.4))
    assert [0, 0, 255, 255] in everything.boxes.tolist()


def test_an_image_that_is_not_square_and_not_of_the_networks_size():
    # 128 × 96 pixels are enlarged twice for a square of 256.
    image = picture_of_discs((96, 128), [(30, 30), (90, 60)], 14)
    masks = generate_masks(image, ComponentSegmenter(), MaskSettings(grid=16))
    assert len(masks) == 2
    middles = sorted(((masks.boxes[:, :2] + masks.boxes[:, 2:]) / 2).tolist())
    np.testing.assert_allclose(middles, [[30, 30], [90, 60]], atol=1)


def test_an_empty_image_has_no_masks():
    assert len(generate_masks(np.zeros((64, 80), np.uint8), ComponentSegmenter())) == 0
    no_points = np.zeros((0, 2))
    assert len(generate_masks(np.zeros((64, 80), np.uint8), ComponentSegmenter(), points=no_points)) == 0


def test_crops_find_what_the_whole_image_is_too_coarse_for():
    # The decoder sees every eighth pixel of the whole image, and the disc lies on the corner of four of those; in the first
    # crop, 343 pixels wide, it covers one. The square is cut by some crops, and whole in the last.
    image = picture_of_discs((512, 512), [(72, 72)], 4)
    image[300:400, 300:400] = 255
    points = np.array([[72.0, 72.0], [320.0, 320.0]])
    whole = generate_masks(image, ComponentSegmenter(), points=points)
    segmenter = ComponentSegmenter()
    cropped = generate_masks(image, segmenter, MaskSettings(crop_layers=1), points=points)
    assert segmenter.encoded == 5
    assert len(whole) == 1
    assert len(cropped) == 2


def test_of_the_same_mask_the_finer_one_from_a_crop_is_kept():
    image = picture_of_discs((512, 512), [(72, 75)], 21)
    points = np.array([[72.0, 75.0]])
    whole, crop = (generate_masks(part, ComponentSegmenter(), points=points) for part in (image, image[:343, :343]))
    both = generate_masks(image, ComponentSegmenter(), MaskSettings(crop_layers=1), points=points)
    assert whole.boxes.tolist() != crop.boxes.tolist()
    assert both.boxes.tolist() == crop.boxes.tolist()


def test_small_regions_go_and_small_holes_are_filled():
    image = picture_of_discs((256, 256), [(80, 80)], 40)
    cv2.circle(image, (80, 80), 6, 0, -1)
    rough = generate_masks(image, ComponentSegmenter(), MaskSettings(grid=16))
    tidy = generate_masks(image, ComponentSegmenter(), MaskSettings(grid=16, smallest_region=300))
    assert not rough.labels((256, 256))[80, 80]
    assert tidy.labels((256, 256))[80, 80]
    assert rough.boxes.tolist() == tidy.boxes.tolist()
    assert tidy.bitmaps[0][0].sum() < tidy.bitmaps[0].shape[1] / 2  # the background in the box's corners is no hole


def test_of_overlapping_boxes_the_better_stays():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [30, 30, 40, 40], [0, 0, 10, 10]])
    # The first two share 9 × 10 of 110: 0.82.
    scores = np.array([0.5, 0.9, 0.7, 0.9])
    assert suppress_boxes(boxes, scores, 0.7).tolist() == [1, 2]
    assert suppress_boxes(boxes, scores, 0.9).tolist() == [1, 3, 2]
    assert suppress_boxes(boxes[:0], scores[:0], 0.7).tolist() == []


@pytest.mark.parametrize("overlap", [0.0, 0.5])
def test_boxes_of_one_pixel_do_not_suppress_each_other(overlap):
    assert len(suppress_boxes(np.array([[5, 5, 5, 5], [5, 5, 5, 5]]), np.array([1.0, 0.9]), overlap)) == 2


class Noise:
    """A segmenter that answers with smooth noise, and keeps what it was asked."""

    side = 128

    def __init__(self):
        self.rng = np.random.default_rng(5)
        self.parts, self.points, self.logits, self.iou = [], [], [], []

    def encode(self, image):
        self.parts.append(image)

    def decode(self, code, points):
        noise = self.rng.normal(0, 60, (len(points) * 3, 32, 32)).astype(np.float32)
        smooth = np.stack([cv2.GaussianBlur(each, (0, 0), 4) for each in noise])
        self.points.append(points)
        self.logits.append(torch.from_numpy(smooth).reshape(len(points), 3, 32, 32))
        self.iou.append(torch.from_numpy(self.rng.uniform(0.7, 1, (len(points), 3)).astype(np.float32)))
        return self.logits[-1], self.iou[-1]


def test_filters_and_boxes_are_those_of_transformers():
    library = pytest.importorskip("transformers.models.sam.image_processing_pil_sam")
    segmenter = Noise()
    settings = MaskSettings(grid=6, batch=16, min_iou=0.88, min_stability=0.8, max_overlap=1.0)
    found = generate_masks(np.zeros((128, 128), np.uint8), segmenter, settings)
    logits, iou = torch.cat(segmenter.logits).flatten(0, 1), torch.cat(segmenter.iou).flatten()
    large = torch.nn.functional.interpolate(logits[:, None], (128, 128), mode="bilinear", align_corners=False)[:, 0]
    good = (iou > 0.88) & (library._compute_stability_score(large, 0.0, 1) >= 0.8)
    boxes, scores = library._batched_mask_to_box(large[good] > 0), iou[good]
    assert 5 < len(boxes) < 60
    order = torch.argsort(-scores)
    assert found.boxes.tolist() == boxes[order].tolist()
    np.testing.assert_array_equal(found.scores, scores[order])


@pytest.mark.parametrize("shape", [(120, 120), (90, 141)])
def test_crops_and_their_grids_are_those_of_transformers(shape):
    library = pytest.importorskip("transformers.models.sam.image_processing_pil_sam")
    image = np.arange(shape[0] * shape[1]).reshape(shape)
    segmenter = Noise()
    settings = MaskSettings(grid=4, crop_layers=2, crop_grid_divisor=2, min_iou=2.0)
    generate_masks(image, segmenter, settings)
    boxes, layers = library._generate_per_layer_crops(2, 512 / 1500, shape)
    assert len(boxes) == 1 + 4 + 16
    for part, points, (left, top, right, bottom), layer in zip(segmenter.parts, segmenter.points, boxes, layers, strict=True):
        np.testing.assert_array_equal(part, image[top:bottom, left:right])
        height, width = part.shape
        expected = library._build_point_grid(4 // 2**layer).reshape(-1, 2) * (width, height)
        # Fitting a part of `width` pixels into 128 keeps its edges, so a point at x lies at (x + ½) · 128 / width − ½.
        factor = np.round(np.array([width, height]) * 128 / max(width, height)) / (width, height)
        np.testing.assert_allclose(points, (expected + 0.5) * factor - 0.5, atol=1e-9)
