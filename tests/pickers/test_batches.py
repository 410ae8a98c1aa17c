"""Batch pickers: several micrographs together give the picks that each gives alone."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cryopick.detection import maps
from cryopick.models.anchor_detr import AnchorOutput
from cryopick.models.inference import batches
from cryopick.pickers import cryotransformer, detr, picker
from cryopick.pickers.base import BatchPicker
from cryopick.pickers.cryosegnet import CryoSegNetPicker, CryoSegNetSettings
from cryopick.pickers.detr import DetrPicker, DetrSettings
from cryopick.simulate import simulate_micrograph
from cryopick.types import Micrograph

WATERSHED = {"instances": "watershed", "rules": "robust", "threshold": 0.5}


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU takes batches as large as a GPU's."""
    for module in (maps, detr, cryotransformer):
        monkeypatch.setitem(module.AT_ONCE, "cpu", module.AT_ONCE["cuda"])


class Brightness(nn.Module):
    """A U-Net whose map is the image's brightness, and which records the shapes of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, images: Tensor) -> Tensor:
        self.shapes.append(tuple(images.shape))
        return 20 * (images - 0.5)


class NoBox(nn.Module):
    """An `AnchorDetr` that finds nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, images: Tensor) -> AnchorOutput:
        self.shapes.append(tuple(images.shape))
        boxes = torch.zeros(1, len(images), 1, 3)
        return AnchorOutput(boxes[..., 0] - 9, boxes, None)


def spots(shape: tuple[int, int], seed: int) -> Micrograph:
    rng = np.random.default_rng(seed)
    pixels = np.full(shape, 20, np.float32)
    for y, x in rng.integers(10, np.array(shape) - 20, (6, 2)):
        pixels[y : y + 9, x : x + 9] = 230
    return Micrograph(pixels, name=f"m{seed}")


def test_images_of_one_shape_form_batches_of_the_given_size():
    images = [np.zeros(shape) for shape in [(2, 3), (3, 2), (2, 3), (2, 3), (2, 3)]]
    found = [(places, len(batch)) for places, batch in batches(images, 3)]
    assert found == [([0, 2, 3], 3), ([4], 1), ([1], 1)]
    assert list(batches([], 3)) == []


@pytest.mark.usefixtures("together")
def test_tiles_of_one_size_share_a_batch_whichever_micrograph_they_are_from():
    network = Brightness()
    chosen = CryoSegNetPicker(CryoSegNetSettings(denoised=True, side=1500, **WATERSHED), network=network)
    micrographs = [spots((100, 150), 1), spots((150, 150), 2), spots((100, 150), 3)]
    alone = [chosen.pick(micrograph) for micrograph in micrographs]
    network.shapes.clear()
    prepared = [chosen.prepare(micrograph) for micrograph in micrographs]
    predicted = chosen.predict(prepared)
    assert network.shapes == [(4, 1, 1000, 1024), (4, 1, 1024, 1024)]  # two tiles each of two micrographs, four of the square one
    for one, other in zip(alone, [chosen.finish(*both) for both in zip(prepared, predicted, strict=True)], strict=True):
        assert len(one) > 0
        np.testing.assert_array_equal(one.xy, other.xy)


@pytest.mark.usefixtures("together")
def test_tiles_of_several_micrographs_share_a_batch_of_the_transformer():
    network = NoBox()
    chosen = DetrPicker(DetrSettings(), network=network)
    rng = np.random.default_rng(0)
    micrographs = [Micrograph(rng.normal(size=(240, 240)).astype(np.float32)) for _ in range(3)]
    prepared = [chosen.prepare(micrograph, diameter=24.0) for micrograph in micrographs]  # 120 pixels a side, four tiles
    assert [len(boxes) for boxes in chosen.predict(prepared)] == [0, 0, 0]
    assert network.shapes == [(12, 1, 96, 96)]


@pytest.mark.usefixtures("together")
@pytest.mark.parametrize("name", ["unet", "detr"])
def test_a_batch_gives_the_picks_of_single_micrographs_up_to_rounding(name):
    chosen = picker(name, settings={"threshold": 0.1})
    assert isinstance(chosen, BatchPicker)
    micrographs = [simulate_micrograph(seed=seed, size=(256, 320), pixel_size=6.0).micrograph for seed in (1, 2)]
    micrographs.append(Micrograph(micrographs[0].pixels[:200].copy(), 6.0, "cut"))
    micrographs.append(Micrograph(micrographs[0].pixels[:20].copy(), 6.0, "smaller than a particle"))
    prepared = [chosen.prepare(micrograph, diameter=180.0) for micrograph in micrographs]
    together = [chosen.finish(*both) for both in zip(prepared, chosen.predict(prepared), strict=True)]
    for one, other in zip([chosen.pick(micrograph, diameter=180.0) for micrograph in micrographs], together, strict=True):
        assert one.micrograph == other.micrograph
        np.testing.assert_allclose(other.xy, one.xy, atol=1e-3)
        np.testing.assert_allclose(other.scores, one.scores, atol=1e-4)
    assert [len(picks) > 0 for picks in together] == [True, True, True, False]


def test_a_cpu_takes_one_image_at_a_time():
    network = Brightness()
    chosen = CryoSegNetPicker(CryoSegNetSettings(denoised=True, side=64, **WATERSHED), network=network)
    chosen.predict([chosen.prepare(spots((64, 64), seed)) for seed in range(3)])
    assert network.shapes[-3:] == [(1, 1, 64, 64)] * 3
