"""Local contrast normalisation: independent of brightness and contrast, flat where there is no data."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from cryopick.models.contrast import gaussian_blur, local_standardise


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(2, 1, 60, 45, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("sigma", [2.0, 4.0, 12.0])
def test_the_blur_matches_scipy(images, sigma):
    expected = ndimage.gaussian_filter(images[0, 0].numpy(), sigma, mode="mirror", truncate=6.0)
    np.testing.assert_allclose(gaussian_blur(images, sigma)[0, 0], expected, atol=5e-3)


def test_every_image_may_have_its_own_sigma(images):
    together = gaussian_blur(images, torch.tensor([1.0, 1.0]))
    torch.testing.assert_close(gaussian_blur(images[1:], 1.0), together[1:], atol=1e-5, rtol=1e-4)
    assert gaussian_blur(images, torch.tensor([0.5, 4.0])).std(dim=(1, 2, 3)).diff().item() < 0


def test_the_result_does_not_depend_on_brightness_and_contrast(images):
    torch.testing.assert_close(
        local_standardise(250 * images + 4000, diameter_px=8), local_standardise(images, diameter_px=8), atol=2e-3, rtol=1e-3
    )


def test_a_flat_border_stays_flat():
    image = torch.randn(1, 1, 64, 128, generator=torch.Generator().manual_seed(1))
    image[..., 64:] = 0
    evened = local_standardise(image, diameter_px=4)
    assert evened[..., :48].std() == pytest.approx(1.0, abs=0.1)
    assert evened[..., 110:].abs().max() < 0.3


def test_a_constant_image_becomes_zeros():
    assert local_standardise(torch.full((1, 1, 32, 32), 7.0), diameter_px=8).abs().max() < 1e-2
