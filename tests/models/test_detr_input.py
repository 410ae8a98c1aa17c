"""Input of DETR as in the published program."""

import numpy as np
import pytest
import torch

from cryopick.models.detr_input import as_batch, fitted_hw, resized


@pytest.mark.parametrize(
    ("shape_hw", "expected"),
    [
        ((4096, 4096), (800, 800)),
        ((640, 800), (800, 1000)),  # the size that the released program made of such an image, see the golden numbers
        ((3838, 3710), (827, 800)),  # 800 · 3838 / 3710 = 827.6, rounded down
        ((100, 300), (444, 1332)),  # 2400 is too long: 1333 / 3 = 444.3, and three times that
        ((300, 100), (1332, 444)),
    ],
)
def test_the_shorter_side_is_800_unless_the_longer_would_exceed_1333(shape_hw, expected):
    assert fitted_hw(shape_hw, short_side=800, long_side=1333) == expected


def test_without_a_limit_the_longer_side_follows():
    assert fitted_hw((100, 300), short_side=400) == (400, 1200)


@pytest.mark.parametrize("shape_hw", [(50, 61), (333, 200)])
def test_resizing_matches_pillow(rng, shape_hw):
    image = pytest.importorskip("PIL.Image")
    grey = rng.integers(0, 256, (200, 161), dtype=np.uint8)
    theirs = np.asarray(image.fromarray(grey).resize(shape_hw[::-1], image.Resampling.BILINEAR))
    ours = resized(torch.from_numpy(grey), shape_hw).numpy()
    assert np.abs(ours.astype(int) - theirs).max() <= 1
    assert (ours == theirs).mean() > 0.9


def test_images_are_normalised_as_imagenet_and_padded():
    images, padding = as_batch([torch.full((2, 3), 255, dtype=torch.uint8), torch.zeros(3, 1, dtype=torch.uint8)])
    assert images.shape == (2, 3, 3, 3)
    # (1 − 0.485) / 0.229 and (0 − 0.406) / 0.225, worked out by hand; zeros where there is no image.
    assert images[0, 0, 1, 2].item() == pytest.approx(2.24891, abs=1e-5)
    assert images[1, 2, 2, 0].item() == pytest.approx(-1.80444, abs=1e-5)
    assert images[0, :, 2].abs().max() == 0
    assert (~padding).sum(dim=(1, 2)).tolist() == [6, 3]
    assert padding[1, 0].tolist() == [False, True, True]
