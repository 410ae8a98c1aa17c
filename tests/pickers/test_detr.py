"""The compact transformer finds each particle once, wherever tiles meet and however many there are."""

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
from cryopick.pickers.detr import ARCHITECTURE, BoxCandidates, DetrPicker, DetrScale, DetrSettings, find_particles
from cryopick.randomness import generator
from cryopick.simulate import FixedStructures, pseudo_protein, simulate_micrograph
from cryopick.types import Micrograph

SMALL = {"width": 16, "heads": 2, "feedforward": 16, "encoder": 1, "decoder": 1, "channels": [2, 2, 4, 4]}


class Dots(nn.Module):
    """A network with a box for each of the brightest pixels, as many as there are anchors; the logit is the pixel's value."""

    def __init__(self) -> None:
        super().__init__()
        self.sides: list[tuple[int, int]] = []

    def forward(self, images: Tensor) -> AnchorOutput:
        height, width = images.shape[-2:]
        self.sides.append((height, width))
        values, places = images.flatten(1).topk(height * width // 64)
        boxes = torch.stack((places % width, places // width, torch.full_like(places, 12)), dim=-1).float()
        return AnchorOutput(torch.where(values > 0, values, -9.0)[None], boxes[None], None)


def dotted(shape_hw: tuple[int, int], xy, values=1.0) -> np.ndarray:
    image = np.zeros(shape_hw, np.float32)
    x, y = np.asarray(xy).T
    image[y, x] = values
    return image


def places(found: BoxCandidates) -> set[tuple[float, float]]:
    return {tuple(point) for point in found.xy.tolist()}


def test_every_particle_is_found_once_wherever_tiles_meet(rng):
    # Sides that no tile fits: seams lie between pixels and on them.
    xy = np.column_stack([rng.permutation(251)[:200], rng.permutation(218)[:200]])
    network = Dots()
    found = find_particles(network, dotted((218, 251), xy), DetrScale(), spacing=0.0)
    assert len(found.xy) == 200
    assert places(found) == {tuple(point) for point in xy.tolist()}
    assert set(network.sides) == {(96, 96)}
    assert (found.sides == 12).all()


def test_three_thousand_particles_are_all_found():
    columns, rows = np.meshgrid(np.arange(5, 665, 11), np.arange(5, 555, 11))
    xy = np.column_stack([columns.ravel(), rows.ravel()])
    assert len(xy) == 3000
    found = find_particles(Dots(), dotted((560, 670), xy), DetrScale(), spacing=5.0)
    assert len(found.xy) == 3000


def test_of_two_close_boxes_the_better_one_stays_and_the_best_comes_first():
    image = dotted((40, 40), [[10, 10], [14, 10], [30, 30]], [1.0, 2.0, 3.0])
    found = find_particles(Dots(), image, DetrScale(), spacing=5.0)
    assert found.xy.tolist() == [[30, 30], [14, 10]]
    assert found.logits.tolist() == [3.0, 2.0]
    assert len(find_particles(Dots(), image, DetrScale(), spacing=4.0).xy) == 3


def test_an_image_smaller_than_a_tile_is_padded_and_boxes_in_the_padding_are_dropped():
    class Everywhere(Dots):
        def forward(self, images: Tensor) -> AnchorOutput:
            return super().forward(torch.ones_like(images))

    network = Everywhere()
    found = find_particles(network, np.zeros((13, 21), np.float32), DetrScale(), spacing=0.0)
    assert network.sides == [(16, 24)]
    assert (found.xy <= (20, 12)).all()


def test_an_empty_image_has_no_boxes():
    found = find_particles(Dots(), np.zeros((100, 120), np.float32), DetrScale(), spacing=5.0)
    assert (found.xy.shape, found.sides.shape, found.logits.shape) == ((0, 2), (0,), (0,))


def test_picks_lie_where_the_particles_are_in_the_micrograph(rng):
    # Dark dots of one pixel after binning by 4: 48 pixels across, shown at 12.
    class Dark(Dots):
        def forward(self, images: Tensor) -> AnchorOutput:
            return super().forward((-images - 5.5).clamp(min=0))

    pixels = rng.normal(scale=0.7, size=(640, 720)).astype(np.float32)
    xy = np.array([[100, 40], [300, 300], [640, 560]])
    y, x = np.mgrid[:640, :720]
    for column, row in xy:
        pixels -= 1.6 * np.exp(-((x - column) ** 2 + (y - row) ** 2) / (2 * 3.0**2))
    micrograph = Micrograph(pixels, pixel_size=2.0, name="m")
    calibrated = DetrScale(calibration=(2.0, -1.0))
    picks = DetrPicker(DetrSettings(threshold=0.0), network=Dark(), scale=calibrated).pick(micrograph, diameter=96.0)
    assert picks.diameter == 96.0
    nearest = np.linalg.norm(picks.xy[:, None] - xy[None], axis=2)
    assert (nearest.min(axis=0) <= 2.0).all()
    assert (nearest.min(axis=1) <= 2.0).all()
    assert picks.scores == pytest.approx(np.full(3, 1 / (1 + np.exp(-(2 * 0.5 - 1)))), abs=1e-3)  # values are clipped at 6
    assert len(DetrPicker(DetrSettings(threshold=0.6), network=Dark(), scale=calibrated).pick(micrograph, diameter=96.0)) == 0


def test_particles_larger_than_the_micrograph_are_not_found():
    micrograph = Micrograph(np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32))
    assert len(DetrPicker(DetrSettings(), network=Dots()).pick(micrograph, diameter=100.0)) == 0


def test_the_card_says_how_the_network_sees_micrographs(tmp_path):
    network = AnchorDetr(20.0, **SMALL)
    path = tmp_path / "w.safetensors"
    scale = {"particle_px": 20.0, "tile": 64, "margin": 4, "calibration": [2.0, 1.0]}
    save(path, network.state_dict(), Card(ARCHITECTURE, {"particle_px": 20.0, **SMALL}, input=scale), half=True)
    assert picker("detr", weights=str(path)).scale == DetrScale(20.0, 64, 4, (2.0, 1.0))


def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    save(path, nn.Linear(1, 1).state_dict(), Card("attention-unet", {"width": 1, "levels": 1}))
    with pytest.raises(FileError, match="attention-unet"):
        picker("detr", weights=str(path))


def test_a_negative_spacing_is_refused():
    with pytest.raises(SettingError, match="spacing"):
        DetrSettings(spacing=-0.1)


def test_the_weights_in_the_package_are_whole_and_find_unseen_particles():
    path = available()["detr"]
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
    ours = picker("detr")
    found = [ours.pick(replace(one.micrograph, name=str(index)), diameter=180) for index, one in enumerate(made)]
    truth = [replace(one.truth, micrograph=str(index)) for index, one in enumerate(made)]
    assert sum(map(len, truth)) > 100
    assert evaluate_picks(found, truth, diameter=180.0, border=30).f1 > 0.9
