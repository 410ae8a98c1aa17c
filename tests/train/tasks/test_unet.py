"""The compact U-Net's task: target maps, simulated batches, losses and score."""

import numpy as np
import pytest
import torch

from cryopick.models.attention_unet import AttentionUNet
from cryopick.randomness import generator
from cryopick.simulate.crops import Crops, random_structures, simulate_crops, structure_bank
from cryopick.train.data.targets import MAPS, CropSettings, discs, target_maps
from cryopick.train.tasks.unet import SimulatedCrops, UNetTask, best_f1_of_maps

CROP = CropSettings(size=64)


@pytest.fixture(scope="module")
def bank():
    return structure_bank(random_structures(2, seed=3))


def crops(xy, image, *, junk_xy=(), cover=None, size=20, diameter=8.0, count=2) -> Crops:
    return Crops(
        torch.zeros(count, size, size),
        torch.ones(count),
        torch.full((count,), diameter),
        torch.tensor(xy, dtype=torch.float32).reshape(-1, 2),
        torch.tensor(image, dtype=torch.long),
        torch.ones(len(image)),
        torch.tensor(junk_xy, dtype=torch.float32).reshape(-1, 2),
        torch.zeros(len(junk_xy), dtype=torch.long),
        torch.zeros(count, size, size, dtype=torch.uint8) if cover is None else cover,
    )


def test_a_disc_is_the_pixels_within_its_radius_and_is_clipped_at_the_edge():
    images = discs(
        torch.tensor([[2.0, 1.0], [0.0, 4.0], [3.5, 3.0]]), torch.tensor([0, 1, 1]), torch.tensor([1.0, 1.0, 0.5]), (2, 5, 6)
    )
    assert images[0].int().tolist() == [
        [0, 0, 1, 0, 0, 0],
        [0, 1, 1, 1, 0, 0],
        [0, 0, 1, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]
    # The second touches the corner; the third lies between two pixels and reaches both.
    assert torch.nonzero(images[1]).tolist() == [[3, 0], [3, 3], [3, 4], [4, 0], [4, 1]]


def test_no_points_give_an_empty_map():
    assert (
        discs(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long), torch.zeros(0), (1, 3, 4)).tolist()
        == torch.zeros(1, 3, 4).tolist()
    )


def test_the_three_maps_show_centres_particles_and_junk():
    cover = torch.zeros(2, 20, 20, dtype=torch.uint8)
    cover[1, :, :5] = 3
    maps = target_maps(crops([[6, 6]], [0], junk_xy=[[13, 6], [14, 14]], cover=cover), centre_radius=0.125)
    centre, particle, junk = maps[:, MAPS.index("centre")], maps[:, MAPS.index("particle")], maps[:, MAPS.index("junk")]
    assert torch.nonzero(centre).tolist() == [[0, 5, 6], [0, 6, 5], [0, 6, 6], [0, 6, 7], [0, 7, 6]]
    assert particle[0, 6, 2:11].tolist() == [1.0] * 9
    assert particle[0].sum() == 49  # pixels within 4 of a pixel: 9 + 2 · (7 + 7 + 5 + 1)
    assert junk[0, 6, 9:12].tolist() == [0.0, 0.0, 1.0]  # where both lie, the particle counts
    assert junk[1].sum() == 100


def test_the_batch_of_a_step_is_reproducible(bank):
    data = SimulatedCrops(bank, CROP, seed=5)
    whole = list(data.batches(0, 3, count=2, rank=0, world=1))
    resumed = list(data.batches(2, 3, count=2, rank=0, world=1))
    assert torch.equal(whole[2]["images"], resumed[0]["images"])
    assert torch.equal(whole[2]["maps"], resumed[0]["maps"])
    assert not torch.equal(whole[1]["images"], whole[2]["images"])


def test_processes_get_different_crops_of_a_batch(bank):
    data = SimulatedCrops(bank, CROP, seed=5)
    first, second = (next(data.batches(0, 1, count=3, rank=rank, world=2))["images"] for rank in (0, 1))
    assert (len(first), len(second)) == (2, 1)
    assert not torch.equal(first[:1], second)


def test_images_are_finite_and_maps_are_zero_or_one(bank):
    batch = next(SimulatedCrops(bank, CROP, seed=1).batches(0, 1, count=4, rank=0, world=1))
    assert batch["images"].shape == (4, 1, 64, 64)
    assert batch["maps"].shape == (4, 3, 64, 64)
    assert torch.isfinite(batch["images"]).all()
    assert set(batch["maps"].unique().tolist()) <= {0.0, 1.0}


def test_the_score_is_the_best_f1_of_the_peaks():
    # Three particles; peaks of .9 and .8 on two of them, .7 on nothing: two of two are right at .8, F1 = 4 / 5.
    truth = crops([[4, 4], [14, 4], [14, 14]], [0, 0, 0], count=1)
    centre = np.zeros((1, 20, 20), np.float32)
    centre[0, 4, 4], centre[0, 4, 15], centre[0, 16, 3] = 0.9, 0.8, 0.7
    assert best_f1_of_maps(centre, truth, spacing=0.5) == pytest.approx({"score": 0.8, "threshold": 0.8})


def test_the_score_without_peaks_is_zero():
    assert best_f1_of_maps(np.zeros((2, 20, 20), np.float32), crops([[4, 4]], [0]), spacing=0.5)["score"] == 0.0


def test_the_loss_is_small_for_the_right_maps_and_large_for_their_opposite(bank):
    held_out = simulate_crops(bank, 2, size=64, diameter_px=CROP.diameter_px, settings=CROP.simulation, rng=generator(1))
    task = UNetTask(AttentionUNet(2, 3, maps=3), CROP, held_out)
    maps = target_maps(held_out, centre_radius=CROP.centre_radius)
    right = task.losses(lambda _: 20 * maps - 10, {"images": task.images, "maps": maps})
    wrong = task.losses(lambda _: 10 - 20 * maps, {"images": task.images, "maps": maps})
    assert right["loss"] < 0.01
    assert wrong["loss"] > 1
    assert set(right) == {"loss", *MAPS}
    assert set(task.validate(task.model.eval(), torch.device("cpu"))) == {"score", "threshold"}
