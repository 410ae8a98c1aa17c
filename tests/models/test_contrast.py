"""What the network sees does not depend on brightness, contrast or slow changes."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from cryopick.models.contrast import gaussian_blur, local_standardise


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.randn(2, 1, 60, 45, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("sigma", [2.0, 4.0, 12.0])
def test_the_blur_is_scipys(pictures, sigma):
    expected = ndimage.gaussian_filter(pictures[0, 0].numpy(), sigma, mode="mirror", truncate=6.0)
    np.testing.assert_allclose(gaussian_blur(pictures, sigma)[0, 0], expected, atol=5e-3)


def test_every_picture_may_have_its_own_blur(pictures):
    together = gaussian_blur(pictures, torch.tensor([1.0, 1.0]))
    torch.testing.assert_close(gaussian_blur(pictures[1:], 1.0), together[1:], atol=1e-5, rtol=1e-4)
    assert gaussian_blur(pictures, torch.tensor([0.5, 4.0])).std(dim=(1, 2, 3)).diff().item() < 0


def test_brightness_and_contrast_make_no_difference(pictures):
    torch.testing.assert_close(
        local_standardise(250 * pictures + 4000, diameter_px=8), local_standardise(pictures, diameter_px=8), atol=2e-3, rtol=1e-3
    )


def test_a_flat_border_stays_flat():
    picture = torch.randn(1, 1, 64, 128, generator=torch.Generator().manual_seed(1))
    picture[..., 64:] = 0
    evened = local_standardise(picture, diameter_px=4)
    assert evened[..., :48].std() == pytest.approx(1.0, abs=0.1)
    assert evened[..., 110:].abs().max() < 0.3


def test_a_constant_picture_becomes_zeros():
    assert local_standardise(torch.full((1, 1, 32, 32), 7.0), diameter_px=8).abs().max() < 1e-2
