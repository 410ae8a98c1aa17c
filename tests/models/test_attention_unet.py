"""The U-Net against recorded outputs of the published one, and at other sizes."""

import json

import numpy as np
import pytest
import torch
from golden_fill import fill, golden_rng, golden_values

from cryopick.errors import SettingError
from cryopick.models.attention_unet import AttentionUNet, infer_settings


@pytest.fixture(scope="module")
def published_keys(golden):
    return json.loads((golden / "cryosegnet_unet_keys.json").read_text())


def tiny(width: int = 4, levels: int = 3) -> AttentionUNet:
    model = AttentionUNet(width, levels).eval()
    fill(model)
    return model


def random_image(height: int, width: int) -> torch.Tensor:
    return torch.from_numpy(golden_rng(f"input:unet:{height}x{width}").random((1, 1, height, width)).astype(np.float32))


def test_the_fill_rule_gives_the_recorded_numbers(published_keys):
    shapes = {entry["key"]: tuple(entry["shape"]) for entry in published_keys["state_dict"]}
    first_values = published_keys["fill_rule_first_values"]
    assert len(first_values) > 10
    for key, values in first_values.items():
        np.testing.assert_allclose(golden_values(key, shapes[key]).ravel()[:4], values[:4], rtol=1e-6)


def test_keys_shapes_and_types_match_the_published_network(published_keys):
    with torch.device("meta"):
        state = AttentionUNet(width=64, levels=5).state_dict()
    ours = [{"key": key, "shape": list(value.shape), "dtype": str(value.dtype)[6:]} for key, value in state.items()]
    assert ours == published_keys["state_dict"]


@pytest.mark.slow
def test_outputs_of_the_full_network_match_the_published_ones(golden):
    with torch.device("meta"):
        model = AttentionUNet(width=64, levels=5)
    model = model.to_empty(device="cpu").eval()
    fill(model)
    stages = json.loads((golden / "cryosegnet_unet_stages.json").read_text())["stages"]
    seen = {}
    for name in stages:
        model.get_submodule(name).register_forward_hook(lambda _, __, result, name=name: seen.update({name: result}))
    outputs = np.load(golden / "cryosegnet_unet_outputs.npz")
    with torch.inference_mode():
        for height, width in [(256, 256), (64, 96), (128, 128)]:
            image = random_image(height, width)
            np.testing.assert_array_equal(image[0, 0, :4, :4], outputs[f"input_corner_{height}x{width}"])
            np.testing.assert_allclose(model(image), outputs[f"logits_{height}x{width}"], atol=2e-4, rtol=1e-4)
    np.testing.assert_allclose(seen["b1"][:, :64], outputs["bottleneck_b1_128x128_first64"], atol=2e-4, rtol=1e-4)
    for name, expected in stages.items():
        found = seen[name].double()
        assert list(found.shape) == expected["shape"], name
        statistics = [found.mean(), found.std(correction=0), found.min(), found.max()]
        wanted = [expected[key] for key in ("mean", "std", "min", "max")]
        np.testing.assert_allclose(statistics, wanted, rtol=1e-3, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(("width", "levels", "maps"), [(4, 3, 1), (3, 4, 3), (2, 6, 2), (1, 5, 1)])
def test_width_levels_and_maps_are_inferred_from_a_state_dict(width, levels, maps):
    with torch.device("meta"):
        state = AttentionUNet(width, levels, maps).state_dict()
    assert infer_settings(state) == {"width": width, "levels": levels, "maps": maps}


def test_without_gates_skip_connections_are_concatenated_unchanged():
    with torch.device("meta"):
        gated, plain = (AttentionUNet(4, 3, gates=gates).state_dict() for gates in (True, False))
    assert infer_settings(plain) == {"width": 4, "levels": 3, "maps": 1, "gates": False}
    assert set(gated) - set(plain) == {key for key in gated if ".ag." in key} != set()
    assert set(plain) < set(gated)
    model = AttentionUNet(4, 3, gates=False).eval()
    seen = {}
    for name in ("e1", "d3.c1"):
        model.get_submodule(name).register_forward_hook(lambda _, taken, given, name=name: seen.update({name: (*taken, given)}))
    model(random_image(16, 24))
    assert torch.equal(seen["d3.c1"][0][:, -4:], seen["e1"][1])


def test_every_map_has_the_size_of_the_image():
    assert AttentionUNet(width=2, levels=3, maps=3)(torch.zeros(2, 1, 21, 34)).shape == (2, 3, 21, 34)


def test_the_state_dict_of_another_network_is_not_recognised_as_a_unet():
    assert infer_settings({"backbone.0.body.conv1.weight": torch.zeros(4, 3, 7, 7)}) is None
    assert infer_settings({}) is None


@pytest.mark.parametrize("shape", [(1, 1), (16, 24), (17, 31), (40, 9)])
def test_images_of_any_size_give_maps_of_the_same_size(shape):
    with torch.inference_mode():
        assert tiny()(random_image(*shape)).shape == (1, 1, *shape)


def test_odd_sizes_are_padded_by_replication_and_cropped_back():
    image = random_image(21, 30)
    by_hand = torch.cat([image, image[..., -1:].expand(-1, -1, -1, 2)], dim=-1)
    by_hand = torch.cat([by_hand, by_hand[..., -1:, :].expand(-1, -1, 3, -1)], dim=-2)
    model = tiny()
    with torch.inference_mode():
        np.testing.assert_array_equal(model(image), model(by_hand)[..., :21, :30])


def test_images_in_a_batch_do_not_affect_each_other():
    model, pair = tiny(), torch.cat([random_image(24, 24), 1 - random_image(24, 24)])
    with torch.inference_mode():
        np.testing.assert_allclose(model(pair)[1:], model(pair[1:]), atol=1e-6)


@pytest.mark.parametrize(("width", "levels"), [(0, 5), (8, 0), (8, 7)])
def test_invalid_widths_and_levels_raise(width, levels):
    with pytest.raises(SettingError, match="width must be at least 1"):
        AttentionUNet(width, levels)
