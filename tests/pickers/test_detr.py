"""The tiled route finds each particle once, wherever tiles meet and however many there are."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cryopick.errors import FileError, SettingError
from cryopick.evaluate import evaluate_picks
from cryopick.models.anchor_detr import AnchorDetr, AnchorOutput
from cryopick.models.weights import Card, available, save, verify
from cryopick.pickers import picker
from cryopick.pickers.cryotransformer import PaperRoute
from cryopick.pickers.detr import TILED, Found, TiledRoute, Trained, TransformerSettings, find_particles
from cryopick.randomness import generator
from cryopick.simulate import FixedStructures, pseudo_protein, simulate_micrograph
from cryopick.types import Micrograph

SMALL = {"width": 16, "heads": 2, "feedforward": 16, "encoder": 1, "decoder": 1, "channels": [2, 2, 4, 4]}


class Dots(nn.Module):
    """A network that knows: a box for the brightest pixels, as many as there are anchors; its logit is the pixel's value."""

    def __init__(self) -> None:
        super().__init__()
        self.sides: list[tuple[int, int]] = []

    def forward(self, pictures: Tensor) -> AnchorOutput:
        height, width = pictures.shape[-2:]
        self.sides.append((height, width))
        values, places = pictures.flatten(1).topk(height * width // 64)
        boxes = torch.stack((places % width, places // width, torch.full_like(places, 12)), dim=-1).float()
        return AnchorOutput(torch.where(values > 0, values, -9.0)[None], boxes[None], None)


def dotted(shape_hw: tuple[int, int], xy, values=1.0) -> np.ndarray:
    picture = np.zeros(shape_hw, np.float32)
    x, y = np.asarray(xy).T
    picture[y, x] = values
    return picture


def places(found: Found) -> set[tuple[float, float]]:
    return {tuple(point) for point in found.xy.tolist()}


def test_every_particle_is_found_once_wherever_tiles_meet(rng):
    # Sides that no tile fits: seams lie between pixels and on them.
    xy = np.column_stack([rng.permutation(251)[:200], rng.permutation(218)[:200]])
    network = Dots()
    found = find_particles(network, dotted((218, 251), xy), Trained(), spacing=0.0)
    assert len(found.xy) == 200
    assert places(found) == {tuple(point) for point in xy.tolist()}
    assert set(network.sides) == {(96, 96)}
    assert (found.sides == 12).all()


def test_three_thousand_particles_are_not_too_many():
    columns, rows = np.meshgrid(np.arange(5, 665, 11), np.arange(5, 555, 11))
    xy = np.column_stack([columns.ravel(), rows.ravel()])
    assert len(xy) == 3000
    found = find_particles(Dots(), dotted((560, 670), xy), Trained(), spacing=5.0)
    assert len(found.xy) == 3000


def test_of_two_boxes_too_close_the_surer_one_stays_and_the_surest_comes_first():
    picture = dotted((40, 40), [[10, 10], [14, 10], [30, 30]], [1.0, 2.0, 3.0])
    found = find_particles(Dots(), picture, Trained(), spacing=5.0)
    assert found.xy.tolist() == [[30, 30], [14, 10]]
    assert found.logits.tolist() == [3.0, 2.0]
    assert len(find_particles(Dots(), picture, Trained(), spacing=4.0).xy) == 3


def test_a_picture_smaller_than_a_tile_is_filled_up_and_nothing_found_there_counts():
    class Everywhere(Dots):
        def forward(self, pictures: Tensor) -> AnchorOutput:
            return super().forward(torch.ones_like(pictures))

    network = Everywhere()
    found = find_particles(network, np.zeros((13, 21), np.float32), Trained(), spacing=0.0)
    assert network.sides == [(16, 24)]
    assert (found.xy <= (20, 12)).all()


def test_nothing_is_found_in_nothing():
    found = find_particles(Dots(), np.zeros((100, 120), np.float32), Trained(), spacing=5.0)
    assert (found.xy.shape, found.sides.shape, found.logits.shape) == ((0, 2), (0,), (0,))


def test_picks_lie_where_the_particles_are_in_the_micrograph(rng):
    # Dark dots of one pixel after binning by 4: 48 pixels across, shown at 12.
    class Dark(Dots):
        def forward(self, pictures: Tensor) -> AnchorOutput:
            return super().forward((-pictures - 5.5).clamp(min=0))

    pixels = rng.normal(scale=0.7, size=(640, 720)).astype(np.float32)
    xy = np.array([[100, 40], [300, 300], [640, 560]])
    y, x = np.mgrid[:640, :720]
    for column, row in xy:
        pixels -= 1.6 * np.exp(-((x - column) ** 2 + (y - row) ** 2) / (2 * 3.0**2))
    micrograph = Micrograph(pixels, pixel_size=2.0, name="m")
    calibrated = Trained(calibration=(2.0, -1.0))
    picks = TiledRoute(Dark(), TransformerSettings(threshold=0.0), trained=calibrated).pick(micrograph, diameter=96.0)
    assert picks.diameter == 96.0
    nearest = np.linalg.norm(picks.xy[:, None] - xy[None], axis=2)
    assert (nearest.min(axis=0) <= 2.0).all()
    assert (nearest.min(axis=1) <= 2.0).all()
    assert picks.scores == pytest.approx(np.full(3, 1 / (1 + np.exp(-(2 * 0.5 - 1)))), abs=1e-3)  # values are clipped at 6
    assert len(TiledRoute(Dark(), TransformerSettings(threshold=0.6), trained=calibrated).pick(micrograph, diameter=96.0)) == 0


def test_a_particle_larger_than_the_micrograph_is_not_there():
    micrograph = Micrograph(np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32))
    assert len(TiledRoute(Dots(), TransformerSettings()).pick(micrograph, diameter=100.0)) == 0


def test_the_card_decides_the_route_and_what_the_network_sees(tmp_path):
    network = AnchorDetr(20.0, **SMALL)
    path = tmp_path / "w.safetensors"
    told = {"particle_px": 20.0, "tile": 64, "margin": 4, "calibration": [2.0, 1.0]}
    save(path, network.state_dict(), Card(TILED, {"particle_px": 20.0, **SMALL}, input=told), half=True)
    made = picker("transformer", settings={"weights": str(path)})
    assert isinstance(made.route, TiledRoute)
    assert made.route.trained == Trained(20.0, 64, 4, (2.0, 1.0))
    assert not isinstance(made.route, PaperRoute)


def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    save(path, nn.Linear(1, 1).state_dict(), Card("attention-unet", {"width": 1, "levels": 1}))
    with pytest.raises(FileError, match="attention-unet"):
        picker("transformer", settings={"weights": str(path)})


def test_a_spacing_below_nothing_is_refused():
    with pytest.raises(SettingError, match="spacing"):
        TransformerSettings(spacing=-0.1)


def test_the_weights_in_the_package_are_whole_and_find_particles_never_seen():
    path = available()["transformer"]
    assert path.stat().st_size < 16 * 2**20
    assert verify(path).data["seen"]
    made = [
        simulate_micrograph(
            seed=seed,
            size=1024,
            pixel_size=3.0,
            preset="easy",
            structures=FixedStructures([pseudo_protein(generator(seed, "unseen"), diameter=180.0)]),
        )
        for seed in (2024, 2025, 2026)
    ]
    ours = picker("transformer")
    found = [ours.pick(replace(one.micrograph, name=str(index)), diameter=180) for index, one in enumerate(made)]
    truth = [replace(one.truth, micrograph=str(index)) for index, one in enumerate(made)]
    assert sum(map(len, truth)) > 100
    assert evaluate_picks(found, truth, diameter=180.0, border=30).f1 > 0.9
