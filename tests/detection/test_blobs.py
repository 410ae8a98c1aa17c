"""What blobs look like on average."""

import numpy as np
import pytest

from cryopick.detection.blobs import EXAMPLES, radial_profile


@pytest.mark.parametrize("count", [1, 2 * EXAMPLES])
def test_the_mean_of_blobs_that_are_all_alike_is_one_of_them_however_many_there_are(count):
    pixels = np.zeros((9, 9), np.float32)
    pixels[4, 4] = -1  # mean −1/9 in the 3 × 3 pixels about it, deviation √8 / 9
    profile = radial_profile(pixels, np.full((count, 2), 4.0), 1)
    assert profile == pytest.approx([-8 / np.sqrt(8), 1 / np.sqrt(8)], abs=1e-6)
