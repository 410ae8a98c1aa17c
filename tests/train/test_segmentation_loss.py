"""The U-Net's loss against the numbers of the published program."""

import json

import numpy as np
import pytest
import torch
from torch.nn import functional

from cryopick.train.losses import dice_loss, segmentation_loss


@pytest.fixture
def inputs(golden):
    return {key: torch.from_numpy(value) for key, value in np.load(golden / "unet_loss_inputs.npz").items()}


@pytest.mark.parametrize("kind", ["binary_target", "soft_target"])
def test_losses_and_gradients_are_the_published_ones(golden, inputs, kind):
    wanted = json.loads((golden / "unet_loss_expected.json").read_text())[kind]
    logits = inputs["pred_logits"].requires_grad_()
    target = inputs[f"target_{kind.removesuffix('_target')}"]
    loss = segmentation_loss(logits, target)
    loss.backward()
    found = {
        "bce": functional.binary_cross_entropy_with_logits(logits, target).item(),
        "dice": dice_loss(logits, target).item(),
        "train_loss_half_sum": loss.item(),
        "grad_abs_sum": logits.grad.abs().sum().item(),
    }
    assert found == pytest.approx({key: wanted[key] for key in found}, rel=1e-4)
    np.testing.assert_allclose(logits.grad.flatten()[:4], wanted["grad_first4"], rtol=1e-4)


def test_nothing_where_nothing_is_wanted_is_right():
    nothing = torch.zeros(1, 1, 4, 4)
    assert dice_loss(nothing - 100, nothing) == 0
    assert segmentation_loss(nothing - 100, nothing) == 0


def test_dice_counts_the_pixels_of_the_whole_batch():
    # Certain of 3 pixels, 2 of them wanted, and 4 wanted in all: 1 - 2 * 2 / (3 + 4); the second image has none.
    logits, target = torch.full((2, 1, 2, 4), -100.0), torch.zeros(2, 1, 2, 4)
    logits[0, 0, 0, :3] = 100
    target[0, 0, 0, 1:] = 1
    target[0, 0, 1, 3] = 1
    assert dice_loss(logits, target).item() == pytest.approx(1 - 4 / 7, abs=1e-4)


def test_half_precision_logits_are_summed_in_float32():
    # 40,000 halves do not fit into float16's range or bfloat16's digits.
    logits = torch.zeros(1, 1, 200, 200, dtype=torch.bfloat16)
    assert dice_loss(logits, torch.ones(1, 1, 200, 200)).item() == pytest.approx(1 - 40000 / 60000, abs=1e-6)
