"""Pickers in parts: a look at several micrographs together says of each what a look at it alone says."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cryopick.models.anchor_detr import AnchorOutput
from cryopick.models.inference import batches
from cryopick.pickers import cryotransformer, detr, picker, unet
from cryopick.pickers.base import BatchPicker
from cryopick.pickers.detr import TiledRoute, TransformerSettings
from cryopick.pickers.unet import SegnetPicker
from cryopick.pickers.unet_settings import SegnetSettings
from cryopick.simulate import simulate_micrograph
from cryopick.types import Micrograph


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU looks at as many as a GPU does."""
    for module in (unet, detr, cryotransformer):
        monkeypatch.setitem(module.AT_ONCE, "cpu", module.AT_ONCE["cuda"])


class Brightness(nn.Module):
    """A U-Net that calls bright what is bright, and remembers the sizes of what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.saw: list[tuple[int, ...]] = []

    def forward(self, pictures: Tensor) -> Tensor:
        self.saw.append(tuple(pictures.shape))
        return 20 * (pictures - 0.5)


class NoBox(nn.Module):
    """An `AnchorDetr` that sees nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.saw: list[tuple[int, ...]] = []

    def forward(self, pictures: Tensor) -> AnchorOutput:
        self.saw.append(tuple(pictures.shape))
        boxes = torch.zeros(1, len(pictures), 1, 3)
        return AnchorOutput(boxes[..., 0] - 9, boxes, None)


def spots(shape: tuple[int, int], seed: int) -> Micrograph:
    rng = np.random.default_rng(seed)
    pixels = np.full(shape, 20, np.float32)
    for y, x in rng.integers(10, np.array(shape) - 20, (6, 2)):
        pixels[y : y + 9, x : x + 9] = 230
    return Micrograph(pixels, name=f"m{seed}")


def test_pictures_of_one_shape_come_together_and_no_more_than_asked():
    pictures = [np.zeros(shape) for shape in [(2, 3), (3, 2), (2, 3), (2, 3), (2, 3)]]
    found = [(places, len(batch)) for places, batch in batches(pictures, 3)]
    assert found == [([0, 2, 3], 3), ([4], 1), ([1], 1)]
    assert list(batches([], 3)) == []


@pytest.mark.usefixtures("together")
def test_one_look_takes_tiles_of_one_size_whichever_micrograph_they_are_of_and_gives_each_its_own():
    network = Brightness()
    chosen = SegnetPicker(SegnetSettings(denoised=True, side=1500), network=network)
    micrographs = [spots((100, 150), 1), spots((150, 150), 2), spots((100, 150), 3)]
    alone = [chosen.pick(micrograph) for micrograph in micrographs]
    network.saw.clear()
    ready = [chosen.prepare(micrograph) for micrograph in micrographs]
    seen = chosen.look(ready)
    assert network.saw == [(4, 1, 1000, 1024), (4, 1, 1024, 1024)]  # two tiles each of two micrographs, four of the square one
    for one, other in zip(alone, [chosen.finish(*both) for both in zip(ready, seen, strict=True)], strict=True):
        assert len(one) > 0
        np.testing.assert_array_equal(one.xy, other.xy)


@pytest.mark.usefixtures("together")
def test_the_transformer_looks_at_tiles_of_several_micrographs_at_once():
    network = NoBox()
    route = TiledRoute(network, TransformerSettings())
    rng = np.random.default_rng(0)
    micrographs = [Micrograph(rng.normal(size=(240, 240)).astype(np.float32)) for _ in range(3)]
    ready = [route.prepare(micrograph, diameter=24.0) for micrograph in micrographs]  # 120 pixels a side, four tiles
    assert [len(boxes) for boxes in route.look(ready)] == [0, 0, 0]
    assert network.saw == [(12, 1, 96, 96)]


@pytest.mark.usefixtures("together")
@pytest.mark.parametrize("name", ["segnet", "transformer"])
def test_networks_say_of_several_what_they_say_of_one_but_for_rounding(name):
    chosen = picker(name, settings={"threshold": 0.1})
    assert isinstance(chosen, BatchPicker)
    micrographs = [simulate_micrograph(seed=seed, size=(256, 320), pixel_size=6.0).micrograph for seed in (1, 2)]
    micrographs.append(Micrograph(micrographs[0].pixels[:200].copy(), 6.0, "cut"))
    micrographs.append(Micrograph(micrographs[0].pixels[:20].copy(), 6.0, "smaller than a particle"))
    ready = [chosen.prepare(micrograph, diameter=180.0) for micrograph in micrographs]
    together = [chosen.finish(*both) for both in zip(ready, chosen.look(ready), strict=True)]
    for one, other in zip([chosen.pick(micrograph, diameter=180.0) for micrograph in micrographs], together, strict=True):
        assert one.micrograph == other.micrograph
        np.testing.assert_allclose(other.xy, one.xy, atol=1e-3)
        np.testing.assert_allclose(other.scores, one.scores, atol=1e-4)
    assert [len(picks) > 0 for picks in together] == [True, True, True, False]


def test_a_cpu_looks_at_one_picture_at_a_time():
    network = Brightness()
    chosen = SegnetPicker(SegnetSettings(denoised=True, side=64), network=network)
    chosen.look([chosen.prepare(spots((64, 64), seed)) for seed in range(3)])
    assert network.saw[-3:] == [(1, 1, 64, 64)] * 3
