"""Sets of boxes are charged for as DETR does it, and four pictures can be learnt by heart."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from cryopick.models.anchor_detr import AnchorDetr
from cryopick.pickers.detr import DetrScale
from cryopick.randomness import generator
from cryopick.simulate.crops import Crops, random_structures, simulate_crops, structure_bank
from cryopick.simulate.settings import SimulationSettings
from cryopick.train.data.augment import Augmentation
from cryopick.train.data.targets import target_maps
from cryopick.train.tasks.anchor_detr import (
    SimulatedBoxes,
    TransformerRecipe,
    TransformerTask,
    as_square,
    focal_loss,
    lesson,
    set_loss,
)
from cryopick.train.tasks.unet import standardised

RECIPE = TransformerRecipe(crop=64)
CLEAR = Augmentation(
    gain=(1.0, 1.0), offset=0.0, blur=(0.0, 0.0), smooth_rate=0.0, noise_rate=0.0, gradient_rate=0.0, border_rate=0.0
)


@pytest.fixture(scope="module")
def bank():
    return structure_bank(random_structures(2, seed=3))


def crops(xy, image, *, size=20, diameter=8.0, count=2) -> Crops:
    return Crops(
        torch.randn(count, size, size, generator=torch.Generator().manual_seed(0)),
        torch.ones(count),
        torch.full((count,), diameter),
        torch.tensor(xy, dtype=torch.float32).reshape(-1, 2),
        torch.tensor(image, dtype=torch.long),
        torch.ones(len(image)),
        torch.zeros(0, 2),
        torch.zeros(0, dtype=torch.long),
        torch.zeros(count, size, size, dtype=torch.uint8),
    )


def test_focal_loss_by_hand():
    loss = focal_loss(torch.tensor([0.0, 0.0, math.log(3)]), torch.tensor([1.0, 0.0, 1.0]), 0.25, 2.0)
    half = 0.25 * math.log(2)  # (1 − ½)² · −log ½
    assert loss.tolist() == pytest.approx([0.25 * half, 0.75 * half, 0.25 * 0.0625 * -math.log(0.75)])


def test_each_particle_charges_the_query_that_fits_it_best():
    # Query 1 lies on the particle, query 0 beside it is surer; the box's costs outweigh that.
    boxes = torch.tensor([[[0.2, 0.5, 0.2, 0.2], [0.5, 0.5, 0.2, 0.2]]])
    losses = set_loss(torch.tensor([[1.0, 0.0]]), boxes, [torch.tensor([[0.5, 0.6, 0.2, 0.2]])], focal=(0.25, 2.0), count=1)
    assert losses["box"].item() == pytest.approx(0.1)
    # Overlap 0.2 × 0.1 of a union of 0.06, and a hull of the same area as the union.
    assert losses["giou"].item() == pytest.approx(1 - 1 / 3, abs=1e-5)
    surer = torch.tensor(1.0).sigmoid().item()
    charged = 0.25 * 0.25 * math.log(2) + 0.75 * surer**2 * -math.log(1 - surer)
    assert losses["label"].item() == pytest.approx(charged, rel=1e-5)


def test_a_crop_without_particles_charges_sureness_alone():
    logits = torch.zeros(1, 3, requires_grad=True)
    losses = set_loss(logits, torch.rand(1, 3, 4), [torch.zeros(0, 4)], focal=(0.25, 2.0), count=0)
    assert (losses["box"].item(), losses["giou"].item()) == (0.0, 0.0)
    assert losses["label"].item() == pytest.approx(3 * 0.75 * 0.25 * math.log(2))
    sum(losses.values()).backward()
    assert (logits.grad > 0).all()


def test_more_particles_than_queries_leave_the_rest_unasked():
    boxes = torch.tensor([[[0.5, 0.5, 0.1, 0.1]]])
    losses = set_loss(
        torch.zeros(1, 1), boxes, [torch.tensor([[0.5, 0.5, 0.1, 0.1], [0.9, 0.9, 0.1, 0.1]])], focal=(0.25, 2.0), count=2
    )
    assert losses["box"].item() == 0.0


def test_a_square_box_has_its_diameter_twice():
    assert as_square(torch.tensor([[1.0, 2.0, 3.0]])).tolist() == [[1, 2, 3, 3]]


def test_particles_beyond_the_edge_are_not_asked_for():
    batch = lesson(
        crops([[3, 4], [-2, 5], [19.6, 3], [19.4, 19.4]], [0, 0, 1, 1]),
        replace(RECIPE, augmentation=CLEAR),
        generator=torch.Generator().manual_seed(0),
    )
    assert batch["boxes"].tolist() == [[3, 4, 8], [pytest.approx(19.4), pytest.approx(19.4), 8]]
    assert batch["image"].tolist() == [0, 1]


def test_particles_in_a_streaked_border_are_not_asked_for():
    every = [[x, y] for x in range(20) for y in range(20)]
    streaks = replace(CLEAR, border_rate=1.0, border=(0.2, 0.2))
    batch = lesson(
        crops(every, [0] * 400, count=1), replace(RECIPE, augmentation=streaks), generator=torch.Generator().manual_seed(0)
    )
    assert len(batch["boxes"]) == 20 * 16
    hidden = {tuple(point) for point in every} - {tuple(row) for row in batch["boxes"][:, :2].tolist()}
    picture = batch["pictures"][0, 0]
    lines = {len({x for x, _ in hidden}), len({y for _, y in hidden})}
    assert lines == {4, 20}
    along = 1 if len({x for x, _ in hidden}) == 4 else 0
    streaked = picture.narrow(along, int(min(point[1 - along] for point in hidden)), 4)
    assert (streaked.diff(dim=along) == 0).all()


def test_a_step_has_the_same_crops_whenever_it_is_asked_for(bank):
    data = SimulatedBoxes(bank, RECIPE, seed=5)
    whole = list(data.batches(0, 3, count=2, rank=0, world=1))
    resumed = list(data.batches(2, 3, count=2, rank=0, world=1))
    for name, values in whole[2].items():
        assert torch.equal(values, resumed[0][name])
    assert not torch.equal(whole[1]["pictures"], whole[2]["pictures"])


def test_four_simulated_pictures_are_learnt_by_heart():
    easy = SimulationSettings(contrast=(3.0, 4.0), coverage=(0.3, 0.5), empty=0.0, border=0.0, carbon=0.0)
    pictures = simulate_crops(
        structure_bank(random_structures(4, seed=3)),
        4,
        size=64,
        diameter_px=(12.0, 12.0),
        settings=easy,
        rng=generator(1, "four"),
    )
    recipe = replace(RECIPE, augmentation=CLEAR)
    torch.manual_seed(0)
    model = AnchorDetr(width=32, feedforward=64, encoder=1, decoder=2, channels=(8, 16, 32, 32))
    task = TransformerTask(model, recipe, pictures, DetrScale(tile=64, margin=8))
    batch = lesson(pictures, recipe, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(batch["pictures"], standardised(pictures), atol=1e-4, rtol=0)
    assert torch.equal(batch["maps"], target_maps(pictures, centre=recipe.centre))
    assert len(batch["boxes"]) > 20
    before = task.validate(model.eval(), torch.device("cpu"))["score"]
    optimizer = torch.optim.AdamW(task.parameter_groups(), lr=2e-3)
    for _ in range(50):
        optimizer.zero_grad()
        task.losses(model.train(), batch)["loss"].backward()
        optimizer.step()
    logits, right, total = task.judge(model.eval(), torch.device("cpu"))
    sure = logits > 0
    assert before < 0.5
    assert 2 * np.sum(right & sure) / (np.sum(sure) + total) > 0.9
