"""From a model's detections to picks."""

import numpy as np
import pytest

from cryopick.coordinates import PixelMap
from cryopick.detection.detections import Detections, to_picks
from cryopick.errors import CryopickError
from cryopick.pickers import picker
from cryopick.types import Micrograph

MICROGRAPH = Micrograph(np.ones((10, 20)), pixel_size=2.0, name="m.mrc")


def test_detections_become_picks_best_first_and_those_outside_are_dropped():
    # Binned by two: model pixel 4 is at 8.5. Row 5 would be at 10.5, below the last row, 9.
    detections = Detections(np.array([[1.0, 1], [4, 2], [0, 5]]), np.array([0.2, 0.8, 0.9], np.float32))
    picks = to_picks(detections, PixelMap.resize((2, 2)), MICROGRAPH, diameter=30)
    assert picks.xy.tolist() == [[8.5, 4.5], [2.5, 2.5]]
    assert picks.scores is not None
    assert picks.scores.tolist() == np.array([0.8, 0.2], np.float32).tolist()
    assert (picks.micrograph, picks.shape_hw, picks.pixel_size, picks.diameter) == ("m.mrc", (10, 20), 2.0, 30)


def test_equal_scores_are_ordered_by_row_then_column():
    detections = Detections(np.array([[5.0, 3], [1, 3], [9, 0]]), np.full(3, 0.5, np.float32))
    assert to_picks(detections, PixelMap(), MICROGRAPH, diameter=None).xy.tolist() == [[9, 0], [1, 3], [5, 3]]


def test_no_detections_are_no_picks():
    assert len(to_picks(Detections(np.zeros((0, 2)), np.zeros(0, np.float32)), PixelMap(), MICROGRAPH, diameter=None)) == 0


@pytest.mark.parametrize("name", ["log", "unet", "detr"])
def test_a_particle_of_less_than_four_pixels_is_refused_before_the_image_is_enlarged(name):
    with pytest.raises(CryopickError, match=r"at least 4 pixels, got 0\.9.*the diameter is in Å"):
        picker(name).pick(MICROGRAPH, diameter=1.8)  # Å, of 2 Å a pixel
