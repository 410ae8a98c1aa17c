"""Grey values for display."""

import numpy as np
import pytest

from cryopick.display.contrast import for_display


def test_displayed_values_span_the_whole_range_and_keep_their_order():
    ramp = np.tile(np.linspace(-7, 5, 400, dtype=np.float32), (300, 1))
    grey = for_display(ramp)
    assert grey.dtype == np.uint8
    assert grey.shape == ramp.shape
    assert grey.min() == 0
    assert grey.max() == 255
    assert (np.diff(grey[150].astype(int)) >= 0).all()
    assert grey[150, 200] == pytest.approx(127.5, abs=2)


def test_one_hot_pixel_does_not_darken_the_rest(rng):
    pixels = rng.normal(size=(300, 300)).astype(np.float32)
    calm = for_display(pixels)
    pixels[10, 10] = 1e6
    assert abs(for_display(pixels)[50:].mean() - calm[50:].mean()) < 10


def test_a_constant_image_is_middle_grey():
    assert (for_display(np.full((20, 30), 4, np.float32)) == 128).all()
