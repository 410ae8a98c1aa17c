"""CryoSegNet's loss: parity with the published program, and edge cases."""

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
def test_losses_and_gradients_equal_those_of_the_published_program(golden, inputs, kind):
    expected = json.loads((golden / "unet_loss_expected.json").read_text())[kind]
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
    assert found == pytest.approx({key: expected[key] for key in found}, rel=1e-4)
    np.testing.assert_allclose(logits.grad.flatten()[:4], expected["grad_first4"], rtol=1e-4)


def test_an_empty_map_for_an_empty_target_has_no_loss():
    nothing = torch.zeros(1, 1, 4, 4)
    assert dice_loss(nothing - 100, nothing) == 0
    assert segmentation_loss(nothing - 100, nothing) == 0


def test_dice_is_computed_over_the_whole_batch():
    # 3 pixels predicted, 2 of them right, 4 in the target: 1 - 2 * 2 / (3 + 4); the second image has none.
    logits, target = torch.full((2, 1, 2, 4), -100.0), torch.zeros(2, 1, 2, 4)
    logits[0, 0, 0, :3] = 100
    target[0, 0, 0, 1:] = 1
    target[0, 0, 1, 3] = 1
    assert dice_loss(logits, target).item() == pytest.approx(1 - 4 / 7, abs=1e-4)


def test_half_precision_logits_are_summed_in_float32():
    # 40,000 halves exceed the range of float16 and the precision of bfloat16.
    logits = torch.zeros(1, 1, 200, 200, dtype=torch.bfloat16)
    assert dice_loss(logits, torch.ones(1, 1, 200, 200)).item() == pytest.approx(1 - 40000 / 60000, abs=1e-6)
