"""Fast inference gives the same results."""

import numpy as np
import pytest
import torch
from golden_fill import fill, golden_rng

from cryopick.models import inference
from cryopick.models.attention_unet import AttentionUNet
from cryopick.models.inference import FastNetwork


@pytest.fixture
def network():
    model = AttentionUNet(width=4, levels=3).eval()
    fill(model)
    return model


@pytest.fixture
def image():
    return torch.from_numpy(golden_rng("input:fast").random((1, 1, 40, 56)).astype(np.float32))


def set_processor(monkeypatch, *, multiplies_bfloat16):
    monkeypatch.setattr(inference, "bfloat16_pays", lambda device: multiplies_bfloat16)


def test_without_bfloat16_the_result_is_unchanged(network, image, monkeypatch):
    set_processor(monkeypatch, multiplies_bfloat16=False)
    with torch.inference_mode():
        wanted = network(image)
    fast = FastNetwork(network, image)
    assert not fast.in_bfloat16
    np.testing.assert_allclose(fast(image), wanted, atol=1e-5)


def test_bfloat16_is_not_used_if_it_would_change_probabilities(network, image, monkeypatch):
    set_processor(monkeypatch, multiplies_bfloat16=True)
    with torch.inference_mode():
        wanted = network(image)
    fast = FastNetwork(network, image)
    assert not fast.in_bfloat16, "random weights give logits near zero, where a sigmoid is steepest"
    np.testing.assert_allclose(fast(image), wanted, atol=1e-5)


def test_bfloat16_is_used_if_probabilities_do_not_change_and_the_result_is_float32(network, image, monkeypatch):
    set_processor(monkeypatch, multiplies_bfloat16=True)
    with torch.no_grad():
        network.output.bias += 9.0  # certain of every pixel
        wanted = network(image)
    fast = FastNetwork(network, image)
    assert fast.in_bfloat16
    found = fast(image)
    assert found.dtype == torch.float32
    assert not torch.equal(found, wanted)
    np.testing.assert_allclose(found.sigmoid(), wanted.sigmoid(), atol=1e-3)


def test_support_for_bfloat16_can_be_queried():
    assert inference.bfloat16_pays(torch.device("cpu")) in {True, False}
    assert not inference.bfloat16_pays(torch.device("meta"))
