"""Training crops: shapes, labels and contrast."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cryopick.simulate import SimulationSettings, load_settings, random_structures, simulate_crops, structure_bank
from cryopick.simulate.exposure import band


@pytest.fixture(scope="module")
def bank():
    return structure_bank(random_structures(4, seed=1, diameter=(100.0, 300.0)))


def test_crops_have_labels_in_their_own_pixels(bank, rng):
    crops = simulate_crops(bank, 3, size=96, diameter_px=(16.0, 33.0), rng=rng)
    assert crops.pixels.shape == crops.cover.shape == (3, 96, 96)
    assert torch.isfinite(crops.pixels).all()
    assert ((crops.diameter_px >= 15.9) & (crops.diameter_px <= 33.1)).all()
    assert len(crops.xy) == len(crops.image) == len(crops.visibility)
    assert set(crops.image.tolist()) <= {0, 1, 2}
    reach = crops.diameter_px[crops.image] / 2 + 0.5
    assert (crops.xy >= -reach[:, None]).all()
    assert (crops.xy <= 95 + reach[:, None] + 0.5).all()


def test_particles_are_dark_at_their_labels(bank, rng):
    settings = replace(load_settings("easy"), contrast=(6.0, 6.0))
    crops = simulate_crops(bank, 4, size=128, settings=settings, rng=rng)
    k = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.rfftfreq(128)[None])
    factor = band(torch.from_numpy(k).float()[None].expand(4, -1, -1), crops.diameter_px)
    filtered = torch.fft.irfft2(torch.fft.rfft2(crops.pixels / crops.pixels.mean((1, 2), keepdim=True)) * factor, s=(128, 128))
    inside = ((crops.xy > 0) & (crops.xy < 127)).all(1)
    x, y = crops.xy[inside].round().long().unbind(1)
    values = filtered[crops.image[inside], y, x]
    spread = filtered.std((1, 2))[crops.image[inside]]
    assert len(values) > 8
    assert (values / spread).mean() < -1


def test_crops_depend_only_on_the_generator(bank):
    first, again = (simulate_crops(bank, 2, size=64, rng=np.random.default_rng(3)) for _ in range(2))
    assert torch.equal(first.pixels, again.pixels)
    assert torch.equal(first.xy, again.xy)
    assert not torch.equal(first.pixels, simulate_crops(bank, 2, size=64, rng=np.random.default_rng(4)).pixels)


def test_a_batch_may_have_no_particles(bank, rng):
    settings = SimulationSettings(empty=1.0, fragments=0.0, aggregates=0.0, filaments=0.0)
    crops = simulate_crops(bank, 2, size=64, settings=settings, rng=rng)
    assert len(crops.xy) == len(crops.junk_xy) == 0
    assert torch.isfinite(crops.pixels).all()


def test_a_longer_list_of_structures_starts_with_the_shorter_one():
    short, long = random_structures(2, seed=7), random_structures(3, seed=7)
    assert [one.name for one in short] == [one.name for one in long[:2]]
    np.testing.assert_array_equal(short[1].beads, long[1].beads)
