"""DETR's matching and losses: parity with the published program, and edge cases."""

import json

import numpy as np
import pytest
import torch

from cryopick.models.detr import DetrOutput
from cryopick.train.losses import DetrLoss, corners, generalised_iou, match_queries


@pytest.fixture
def published(golden):
    arrays = {key: torch.from_numpy(value) for key, value in np.load(golden / "detr_loss_inputs.npz").items()}
    output = DetrOutput(
        arrays["pred_logits"].requires_grad_(),
        arrays["pred_boxes"].requires_grad_(),
        tuple((arrays[f"aux{i}_pred_logits"], arrays[f"aux{i}_pred_boxes"]) for i in (0, 1)),
    )
    targets = [arrays["target_boxes_0"], arrays["target_boxes_1"]]
    return output, targets, json.loads((golden / "detr_loss_expected.json").read_text())


@pytest.mark.parametrize("label", [0, 1])
def test_matches_and_losses_equal_those_of_the_published_program(published, label):
    output, targets, expected = published
    expected = expected[f"labels_{label}"]
    pairs = match_queries(output.logits, output.boxes, targets, label=label)
    assert [{"query": q.tolist(), "target": t.tolist()} for q, t in pairs] == expected["matcher"]
    losses = DetrLoss(label=label)(output, targets)
    parts = {name: value for name, value in expected["losses"].items() if name.startswith("loss")}
    assert {name: losses[name].item() for name in parts} == pytest.approx(parts, rel=1e-4)


def test_gradients_of_the_last_layer_equal_those_of_the_published_program(published):
    output, targets, expected = published
    loss = DetrLoss()(DetrOutput(output.logits, output.boxes), targets)["loss"]
    loss.backward()
    expected = expected["labels_0"]
    assert loss.item() == pytest.approx(expected["weighted_total_last_layer"], rel=1e-4)
    assert float(output.logits.grad.abs().sum()) == pytest.approx(expected["grad_logits_abs_sum"], rel=1e-4)
    assert float(output.boxes.grad.abs().sum()) == pytest.approx(expected["grad_boxes_abs_sum"], rel=1e-4)
    assert output.logits.grad[0, 0].tolist() == pytest.approx(expected["grad_logits_first_query"], rel=1e-4)


def test_images_without_particles_have_only_a_class_loss(published):
    output, _, expected = published
    losses = DetrLoss()(DetrOutput(output.logits, output.boxes), [torch.zeros(0, 4), torch.zeros(0, 4)])
    names = ("loss_ce", "loss_bbox", "loss_giou")
    assert {name: losses[name].item() for name in names} == pytest.approx({n: expected["no_targets"][n] for n in names}, rel=1e-4)


def test_losses_of_unequal_shares_of_a_batch_average_to_that_of_the_whole():
    generator = torch.Generator().manual_seed(3)
    logits, boxes = torch.rand(2, 6, 2, generator=generator), torch.rand(2, 6, 4, generator=generator)
    targets = [torch.rand(1, 4, generator=generator), torch.rand(5, 4, generator=generator)]
    whole = DetrLoss()(DetrOutput(logits, boxes), targets)
    shares = [DetrLoss()(DetrOutput(logits[i : i + 1], boxes[i : i + 1]), targets[i : i + 1], count=(1 + 5) / 2) for i in (0, 1)]
    for name in ("loss_bbox", "loss_giou"):
        assert float(shares[0][name] + shares[1][name]) / 2 == pytest.approx(float(whole[name]), rel=1e-5)


def test_particles_in_excess_of_the_queries_stay_unmatched():
    boxes = torch.rand(1, 3, 4, generator=torch.Generator().manual_seed(0))
    expected = torch.rand(7, 4, generator=torch.Generator().manual_seed(1))
    [(queries, chosen)] = match_queries(torch.zeros(1, 3, 2), boxes, [expected])
    assert queries.tolist() == [0, 1, 2]
    assert len(set(chosen.tolist())) == 3
    assert torch.isfinite(DetrLoss()(DetrOutput(torch.zeros(1, 3, 2), boxes), [expected])["loss"])


def test_boxes_of_zero_area_give_finite_losses_and_gradients():
    boxes = torch.zeros(1, 2, 4, requires_grad=True)
    loss = DetrLoss()(DetrOutput(torch.zeros(1, 2, 2), boxes), [torch.zeros(1, 4)])["loss"]
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(boxes.grad).all()


def test_generalised_iou_matches_values_worked_out_by_hand():
    # Unit squares one apart: no overlap, union 2, hull 3 × 1: 0 − 1/3. Half overlapping: 0.5/1.5 in a hull of 1.5.
    boxes = corners(torch.tensor([[0.5, 0.5, 1, 1], [2.5, 0.5, 1, 1], [1.0, 0.5, 1, 1]]))
    values = generalised_iou(boxes[0], boxes)
    assert values.tolist() == pytest.approx([1.0, -1 / 3, 1 / 3])
