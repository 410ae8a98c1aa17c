"""Spectra of random fields, detector response and counting statistics."""

import numpy as np
import pytest
import torch

from cryopick.simulate.ctf import frequencies
from cryopick.simulate.noise import (
    carbon_spectrum,
    ice_spectrum,
    ice_structure,
    modulation_transfer,
    noise_transfer,
    poisson,
    random_field,
)


def measured_spectrum(images, pixel_size, bins):
    """Power per Å² against frequency in 1/Å, mean over rings and images, and the rings' mean frequencies."""
    _, height, width = images.shape
    power = np.abs(np.fft.fft2(images)) ** 2 * pixel_size**2 / (height * width)
    k = np.hypot(np.fft.fftfreq(height, pixel_size)[:, None], np.fft.fftfreq(width, pixel_size)[None])
    ring = np.digitize(k, bins)
    rings = range(1, len(bins))
    return np.array([k[ring == r].mean() for r in rings]), np.array([power[:, ring == r].mean() for r in rings])


@pytest.mark.parametrize("shape", [(128, 128), (96, 135)])
@pytest.mark.parametrize("spectrum", [ice_spectrum, carbon_spectrum])
def test_a_random_field_has_the_requested_spectrum(spectrum, shape):
    pixel_size = 1.1
    sizes = torch.full((16,), pixel_size)
    amplitude = spectrum(frequencies(shape, sizes).squared.sqrt()).sqrt()
    images = random_field(amplitude, shape, sizes, torch.Generator().manual_seed(7)).numpy()
    k, power = measured_spectrum(images, pixel_size, np.linspace(0.05, 0.45, 21))
    np.testing.assert_allclose(power, spectrum(torch.from_numpy(k)), rtol=0.06)


def test_a_white_field_is_white_along_both_axes():
    sizes = torch.ones(1)
    image = random_field(torch.ones(1, 512, 257), (512, 512), sizes, torch.Generator().manual_seed(8))[0]
    assert image.std().item() == pytest.approx(1, abs=0.01)
    power = torch.fft.fft2(image).abs() ** 2 / 512**2
    assert power[0].mean().item() == pytest.approx(1, abs=0.2)
    assert power[:, 0].mean().item() == pytest.approx(1, abs=0.2)


def test_ice_has_its_ring_at_2_88_angstrom():
    k = torch.linspace(0, 0.6, 601)
    assert k[ice_structure(k).argmax()].item() == pytest.approx(1 / 2.88, abs=0.005)
    # Far below the ring only the shoulder is left: 0.199 and 0.801 exp(−(1/2.88)²/(2 · 0.081²)) = 8e-5.
    assert ice_structure(torch.zeros(1)).item() == pytest.approx(0.1991, abs=1e-4)


def test_water_has_the_density_and_the_potential_of_ice():
    # 0.94 g/cm³ · 6.022e23 / 18.015 g = 0.0314 molecules per Å³, with 143 V·Å³ each: 4.5 V mean inner potential.
    assert ice_spectrum(torch.tensor([1 / 2.88])).item() == pytest.approx(0.0314 * 143**2 * (0.801 + 0.199 * 0.893), rel=1e-3)


def test_modulation_is_one_at_zero_and_the_given_value_at_nyquist():
    at_nyquist = torch.tensor([0.1, 0.6])
    values = modulation_transfer(torch.tensor([0.0, 0.25, 0.5]).view(1, 1, 3).expand(2, 1, 3), at_nyquist)
    assert values[:, 0, 0].tolist() == [1, 1]
    torch.testing.assert_close(values[:, 0, 2], at_nyquist)
    assert (values[:, 0, 1] > values[:, 0, 2]).all()


def test_a_counting_detector_leaves_shot_noise_white():
    modulation = torch.tensor([[[1.0, 0.6, 0.3]], [[1.0, 0.6, 0.3]]])
    values = noise_transfer(modulation, torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(values, torch.tensor([[[1.0, 1, 1]], [[1.0, 0.6, 0.3]]]))


@pytest.mark.parametrize("expected", [0.02, 2.0, 8.5, 20.0, 3000.0])
def test_counts_have_the_moments_of_poisson_numbers(expected):
    counts = poisson(torch.full((1000, 1000), expected), torch.Generator().manual_seed(4)).double()
    assert (counts >= 0).all()
    # Standard errors of a million numbers: √λ/1000 of the mean, about 0.15 % of the variance (more for few counts), 0.25 % of
    # the skewness 1/√λ.
    assert counts.mean().item() == pytest.approx(expected, abs=5e-3 * expected**0.5)
    assert counts.var().item() == pytest.approx(expected, rel=0.02)
    skewness = ((counts - counts.mean()) ** 3).mean().item() / counts.std().item() ** 3
    assert skewness == pytest.approx(expected**-0.5, abs=max(0.012, 0.02 * expected**-0.5))
