"""DETR against recorded keys and outputs of the published network and the implementation of transformers."""

import json

import numpy as np
import pytest
import torch
from golden_fill import fill, golden_rng

from cryopick.models.detr import Detr, sine_position
from cryopick.models.resnet import ResNet

TOLERANCE = 5e-4


def published_input(size: str) -> torch.Tensor:
    height, width = map(int, size.split("x"))
    g = golden_rng(f"input:detr:{size}")
    fine, coarse = g.standard_normal((3, height, width)), g.standard_normal((3, height // 32, width // 32))
    return torch.from_numpy((0.5 * fine + 2.0 * coarse.repeat(32, 1).repeat(32, 2)).astype(np.float32))


@pytest.fixture(scope="module")
def model() -> Detr:
    detr = Detr(152)
    fill(detr)
    return detr.eval()


def test_keys_and_shapes_match_the_published_network(model, golden):
    published = json.loads((golden / "cryotransformer_detr_keys.json").read_text())["state_dict"]
    assert len(published) == 968
    assert {key: list(value.shape) for key, value in model.state_dict().items()} == {
        row["key"]: row["shape"] for row in published
    }


def test_one_image_gives_the_published_boxes_at_every_decoder_layer(model, golden):
    expected = np.load(golden / "cryotransformer_detr_outputs.npz")
    with torch.inference_mode():
        output = model(published_input("256x256")[None])
    layers = {"pred": (output.logits, output.boxes)} | {f"aux{i}_pred": layer for i, layer in enumerate(output.auxiliary)}
    assert len(layers) == 6
    for name, (logits, boxes) in layers.items():
        np.testing.assert_allclose(logits, expected[f"single_{name}_logits"], atol=TOLERANCE)
        np.testing.assert_allclose(boxes, expected[f"single_{name}_boxes"], atol=TOLERANCE)


def test_a_smaller_image_in_the_batch_is_padded_and_masked(model, golden):
    expected = np.load(golden / "cryotransformer_detr_outputs.npz")
    images, padding = torch.zeros(2, 3, 256, 256), torch.ones(2, 256, 256, dtype=torch.bool)
    for index, size in enumerate(("256x256", "224x192")):
        image = published_input(size)
        images[index, :, : image.shape[1], : image.shape[2]] = image
        padding[index, : image.shape[1], : image.shape[2]] = False
    with torch.inference_mode():
        output = model(images, padding)
    np.testing.assert_allclose(output.logits, expected["padded_pair_pred_logits"], atol=TOLERANCE)
    np.testing.assert_allclose(output.boxes, expected["padded_pair_pred_boxes"], atol=TOLERANCE)


@pytest.mark.parametrize(
    ("depth", "channels", "parameters"), [(18, 512, 11.2e6), (34, 512, 21.3e6), (50, 2048, 23.5e6), (101, 2048, 42.5e6)]
)
def test_resnets_have_their_published_sizes(depth, channels, parameters):
    # Parameters without the classifier, to the tenth of a million: He et al. 2016 as torchvision builds them.
    resnet = ResNet(depth)
    assert resnet.channels == channels
    frozen = sum(buffer.numel() for name, buffer in resnet.named_buffers() if name.endswith(("weight", "bias")))
    assert sum(p.numel() for p in resnet.parameters()) + frozen == pytest.approx(parameters, abs=0.06e6)


def test_resnet_features_have_a_thirty_second_of_the_size():
    assert ResNet(18)(torch.zeros(1, 3, 100, 64)).shape == (1, 512, 4, 2)


def test_position_encodings_match_those_of_transformers():
    modeling = pytest.importorskip("transformers.models.detr.modeling_detr")
    padding = torch.zeros(1, 5, 7, dtype=torch.bool)
    padding[:, 4:, :] = padding[:, :, 5:] = True
    theirs = modeling.DetrSinePositionEmbedding(64, normalize=True)(
        (1, 3, 5, 7), torch.device("cpu"), torch.float32, mask=~padding
    )
    ours = sine_position(padding, 128)
    theirs = theirs if theirs.dim() == 4 else theirs.transpose(1, 2).reshape(1, 128, 5, 7)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_only_the_published_parts_are_trained():
    resnet = ResNet(18)
    resnet.freeze_stem()
    trained = {name.split(".")[0] for name, parameter in resnet.named_parameters() if parameter.requires_grad}
    assert trained == {"layer2", "layer3", "layer4"}
