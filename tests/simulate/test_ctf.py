"""Contrast transfer against tabulated constants, closed forms and `torch-ctf`."""

import math

import numpy as np
import pytest
import torch

from cryopick.simulate.ctf import Optics, frequencies, interaction_constant, transfer, wavelength


def optics(
    *, defocus=0.0, astigmatism=0.0, azimuth=0.0, cs=0.0, amplitude_contrast=0.0, phase_shift=0.0, b_factor=0.0, voltage=3e5
):
    values = (defocus, astigmatism, azimuth, cs, amplitude_contrast, phase_shift, b_factor, voltage)
    return Optics(*(torch.tensor([value], dtype=torch.float64) for value in values))


def test_wavelengths_match_tabulated_values():
    lengths = wavelength(torch.tensor([1e5, 2e5, 3e5], dtype=torch.float64))
    np.testing.assert_allclose(lengths, [0.03701, 0.02508, 0.01969], atol=6e-6)


def test_interaction_constants_match_tabulated_values():
    constants = interaction_constant(torch.tensor([1e5, 2e5, 3e5], dtype=torch.float64))
    np.testing.assert_allclose(constants, [9.244e-4, 7.288e-4, 6.526e-4], rtol=1e-3)  # Kirkland, Advanced Computing in EM


def test_the_first_zero_is_where_the_phase_is_pi():
    # π λ Δf k² = π without aberration: k = 1/√(λ Δf) = 1/√(0.01969 · 20000) = 0.0504 1/Å.
    at = frequencies((4, 40000), torch.tensor([1.0], dtype=torch.float64))
    values = transfer(optics(defocus=2e4), at)[0, 0]
    k = at.x[0, 0]
    first = k[1:][values[1:] < 0][0].item()
    assert first == pytest.approx(1 / math.sqrt(0.019687 * 2e4), abs=5e-5)


def test_underfocus_makes_protein_dark_and_overfocus_bright():
    at = frequencies((4, 400), torch.tensor([1.0], dtype=torch.float64))
    low = slice(1, 15)
    assert (transfer(optics(defocus=2e4), at)[0, 0, low] > 0).all()
    assert (transfer(optics(defocus=-2e4), at)[0, 0, low] < 0).all()


def test_transfer_at_zero_frequency_is_the_amplitude_contrast():
    at = frequencies((8, 8), torch.tensor([1.0], dtype=torch.float64))
    assert transfer(optics(defocus=2e4, amplitude_contrast=0.07), at)[0, 0, 0].item() == pytest.approx(0.07)
    assert transfer(optics(defocus=2e4, phase_shift=math.pi / 2), at)[0, 0, 0].item() == pytest.approx(1.0)


def test_the_envelope_is_that_of_a_b_factor():
    at = frequencies((8, 8), torch.tensor([1.0], dtype=torch.float64))
    with_b = transfer(optics(phase_shift=math.pi / 2, b_factor=100.0), at)[0, 0]
    np.testing.assert_allclose(with_b, np.exp(-25 * (np.arange(5) / 8) ** 2), atol=1e-12)


def test_astigmatism_is_stronger_along_its_azimuth():
    at = frequencies((8, 8), torch.tensor([10.0], dtype=torch.float64))
    along_x = transfer(optics(defocus=5e3, astigmatism=1e3, azimuth=0.0), at)[0]
    along_y = transfer(optics(defocus=5e3, astigmatism=1e3, azimuth=math.pi / 2), at)[0]
    along_diagonal = transfer(optics(defocus=5e3, astigmatism=1e3, azimuth=math.pi / 4), at)[0]
    k2 = (1 / 80) ** 2
    length = 0.019687
    for values, x_defocus, y_defocus in ((along_x, 6e3, 4e3), (along_y, 4e3, 6e3), (along_diagonal, 5e3, 5e3)):
        assert values[0, 1].item() == pytest.approx(math.sin(math.pi * length * x_defocus * k2), rel=1e-3)
        assert values[1, 0].item() == pytest.approx(math.sin(math.pi * length * y_defocus * k2), rel=1e-3)
    # At 45 degrees from x towards y the full 6000 Å act, across it 4000 Å.
    assert along_diagonal[1, 1].item() == pytest.approx(math.sin(math.pi * length * 6e3 * 2 * k2), rel=1e-3)
    assert along_diagonal[-1, 1].item() == pytest.approx(math.sin(math.pi * length * 4e3 * 2 * k2), rel=1e-3)


def test_transfer_agrees_with_torch_ctf():
    torch_ctf = pytest.importorskip("torch_ctf")
    ours = transfer(
        optics(defocus=18e3, astigmatism=800.0, azimuth=0.6, cs=2.7e7, amplitude_contrast=0.07, b_factor=0.0),
        frequencies((64, 64), torch.tensor([1.3], dtype=torch.float64)),
    )[0]
    theirs = torch_ctf.calculate_ctf_2d(
        defocus=1.8,
        astigmatism=0.08,
        astigmatism_angle=math.degrees(0.6),
        voltage=300,
        spherical_aberration=2.7,
        amplitude_contrast=0.07,
        phase_shift=0,
        pixel_size=1.3,
        image_shape=(64, 64),
        rfft=True,
        fftshift=False,
    )
    theirs = torch.as_tensor(theirs).double().reshape(ours.shape)
    assert (ours - theirs).abs().max() < 5e-3
