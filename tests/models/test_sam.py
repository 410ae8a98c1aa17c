"""Segment Anything from both published layouts of weights, with a tiny random model."""

import numpy as np
import pytest
import torch

from cryopick.errors import FileError
from cryopick.models.sam import load_sam, long_side_hw
from cryopick.models.sam_keys import configuration, renamed

transformers = pytest.importorskip("transformers")

ATTENTION = ("q_proj", "k_proj", "v_proj", "out_proj")
# The original release's names, written from its module tree, beside those of transformers.
PLAIN = {
    "image_encoder.pos_embed": "vision_encoder.pos_embed",
    "image_encoder.patch_embed.proj.weight": "vision_encoder.patch_embed.projection.weight",
    "image_encoder.patch_embed.proj.bias": "vision_encoder.patch_embed.projection.bias",
    "image_encoder.neck.0.weight": "vision_encoder.neck.conv1.weight",
    "image_encoder.neck.2.weight": "vision_encoder.neck.conv2.weight",
    "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix": "shared_image_embedding.positional_embedding",
    "prompt_encoder.not_a_point_embed.weight": "prompt_encoder.not_a_point_embed.weight",
    "prompt_encoder.no_mask_embed.weight": "prompt_encoder.no_mask_embed.weight",
    "mask_decoder.iou_token.weight": "mask_decoder.iou_token.weight",
    "mask_decoder.mask_tokens.weight": "mask_decoder.mask_tokens.weight",
}
WITH_BIAS = {
    "image_encoder.neck.1": "vision_encoder.neck.layer_norm1",
    "image_encoder.neck.3": "vision_encoder.neck.layer_norm2",
    "prompt_encoder.mask_downscaling.0": "prompt_encoder.mask_embed.conv1",
    "prompt_encoder.mask_downscaling.1": "prompt_encoder.mask_embed.layer_norm1",
    "prompt_encoder.mask_downscaling.3": "prompt_encoder.mask_embed.conv2",
    "prompt_encoder.mask_downscaling.4": "prompt_encoder.mask_embed.layer_norm2",
    "prompt_encoder.mask_downscaling.6": "prompt_encoder.mask_embed.conv3",
    "mask_decoder.transformer.norm_final_attn": "mask_decoder.transformer.layer_norm_final_attn",
    "mask_decoder.output_upscaling.0": "mask_decoder.upscale_conv1",
    "mask_decoder.output_upscaling.1": "mask_decoder.upscale_layer_norm",
    "mask_decoder.output_upscaling.3": "mask_decoder.upscale_conv2",
    "mask_decoder.iou_prediction_head.layers.0": "mask_decoder.iou_prediction_head.proj_in",
    "mask_decoder.iou_prediction_head.layers.1": "mask_decoder.iou_prediction_head.layers.0",
    "mask_decoder.iou_prediction_head.layers.2": "mask_decoder.iou_prediction_head.proj_out",
}


def original_names(blocks=2):
    """Every name of the original release for a model of so many encoder blocks and two decoder layers."""
    names, paired = dict(PLAIN), dict(WITH_BIAS)
    for i in range(4):
        names[f"prompt_encoder.point_embeddings.{i}.weight"] = f"prompt_encoder.point_embed.{i}.weight"
        for original, ours in (("0", "proj_in"), ("1", "layers.0"), ("2", "proj_out")):
            hyper = f"mask_decoder.output_hypernetworks_mlps.{i}"
            paired[f"{hyper}.layers.{original}"] = f"{hyper}.{ours}"
    for i in range(blocks):
        block, layer = f"image_encoder.blocks.{i}", f"vision_encoder.layers.{i}"
        for axis in "hw":
            names[f"{block}.attn.rel_pos_{axis}"] = f"{layer}.attn.rel_pos_{axis}"
        paired |= {f"{block}.{part}": f"{layer}.{part}" for part in ("attn.qkv", "attn.proj", "mlp.lin1", "mlp.lin2")}
        paired |= {f"{block}.norm{k}": f"{layer}.layer_norm{k}" for k in (1, 2)}
    for i in range(2):
        layer = f"mask_decoder.transformer.layers.{i}"
        for attention in ("self_attn", "cross_attn_token_to_image", "cross_attn_image_to_token"):
            paired |= {f"{layer}.{attention}.{part}": f"{layer}.{attention}.{part}" for part in ATTENTION}
        paired |= {f"{layer}.mlp.{part}": f"{layer}.mlp.{part}" for part in ("lin1", "lin2")}
        paired |= {f"{layer}.norm{k}": f"{layer}.layer_norm{k}" for k in (1, 2, 3, 4)}
    last = "mask_decoder.transformer.final_attn_token_to_image"
    paired |= {f"{last}.{part}": f"{last}.{part}" for part in ATTENTION}
    return names | {f"{a}.{end}": f"{b}.{end}" for a, b in paired.items() for end in ("weight", "bias")}


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(3)
    square = {"image_size": 128, "patch_size": 16}
    config = transformers.SamConfig(
        vision_config={
            **square,
            "hidden_size": 32,
            "output_channels": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "window_size": 4,
            "global_attn_indexes": [1],
            "num_pos_feats": 32,
            "mlp_dim": 48,
        },
        prompt_encoder_config={**square, "hidden_size": 64, "mask_input_channels": 4},
        mask_decoder_config={"hidden_size": 64, "mlp_dim": 32, "iou_head_hidden_dim": 24},
    )
    model = transformers.SamModel(config).eval()
    for parameter in model.parameters():  # the library starts biases and position tables at zero, which would hide a swap
        parameter.data.normal_(0, 0.2)
    return model


@pytest.fixture
def original_file(tiny, tmp_path):
    state = tiny.state_dict()
    path = tmp_path / "sam_vit_tiny.pth"
    torch.save({original: state[name].clone() for original, name in original_names().items()}, path)
    return path


def answer(sam):
    image = (np.add.outer(np.arange(96), np.arange(128)) % 256).astype(np.uint8)
    return sam.decode(sam.encode(image), np.array([[40.0, 30.0], [90.0, 70.0]]))


def test_both_published_layouts_give_the_same_masks(tiny, original_file, tmp_path):
    tiny.save_pretrained(tmp_path / "hub")
    logits, iou = answer(load_sam(tmp_path / "hub"))
    from_original = answer(load_sam(original_file))
    assert logits.shape == (2, 3, 32, 32)
    assert iou.shape == (2, 3)
    torch.testing.assert_close(from_original[0], logits, rtol=0, atol=0)
    torch.testing.assert_close(from_original[1], iou, rtol=0, atol=0)
    assert float((logits[0] - logits[1]).abs().max()) > 1e-3  # the answer depends on the point


def test_every_tensor_has_an_original_name(tiny):
    state = tiny.state_dict()
    original = {name: state[other] for name, other in original_names().items()}
    assert renamed(original).keys() == state.keys()


def test_sizes_are_inferred_from_shapes(tiny):
    state = tiny.state_dict()
    read = configuration({name: state[other] for name, other in original_names().items()})
    for part, settings in read.items():
        truth = getattr(tiny.config, part)
        assert {key: getattr(truth, key) for key in settings} == settings


def test_the_published_vit_b_has_the_configuration_that_transformers_gives_it():
    with torch.device("meta"):
        state = transformers.SamModel(transformers.SamConfig()).state_dict()
    read = configuration({name: state[other] for name, other in original_names(blocks=12).items()})
    published = {"hidden_size": 768, "num_attention_heads": 12, "window_size": 14, "global_attn_indexes": [2, 5, 8, 11]}
    assert {key: read["vision_config"][key] for key in published} == published
    whole = transformers.SamConfig(**read).to_dict()
    assert whole == transformers.SamConfig().to_dict() | {"vision_config": whole["vision_config"]}
    assert whole["vision_config"]["num_hidden_layers"] == 12


def test_masks_match_the_library_on_an_image_prepared_by_hand(tiny, original_file):
    image = np.full((128, 64), 200, np.uint8)
    sam = load_sam(original_file)
    logits, iou = sam.decode(sam.encode(image), np.array([[20.0, 50.0]]))
    pixels = torch.zeros(1, 3, 128, 128)
    pixels[0, :, :, :64] = ((200 - torch.tensor([123.675, 116.28, 103.53])) / torch.tensor([58.395, 57.12, 57.375]))[
        :, None, None
    ]
    with torch.no_grad():
        expected = tiny(pixel_values=pixels, input_points=torch.tensor([[[[20.0, 50.0]]]]))
    torch.testing.assert_close(logits, expected.pred_masks[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(iou, expected.iou_scores[0], atol=1e-5, rtol=1e-4)


def test_an_image_of_another_size_is_resized_to_fit_the_square(original_file, rng):
    assert long_side_hw((4096, 3000), 1024) == (1024, 750)
    assert long_side_hw((64, 128), 1024) == (512, 1024)
    sam = load_sam(original_file)
    small = rng.integers(0, 256, (16, 32), dtype=np.uint8)
    large = np.kron(small, np.ones((8, 8))).astype(np.uint8)  # 128 × 256: reducing it gives back about the image twice enlarged
    assert sam.encode(small).shape == sam.encode(large).shape == (1, 64, 8, 8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("mask_decoder.iou_token.weight"), "1 missing: mask_decoder.iou_token.weight"),
        (lambda state: state.update({"head.weight": torch.zeros(3)}), "1 surplus: head.weight"),
        (lambda state: state.update({"mask_decoder.iou_token.weight": torch.zeros(1, 3)}), "1 of another shape"),
        (lambda state: state.pop("image_encoder.pos_embed"), "lacks image_encoder.pos_embed"),
    ],
)
def test_errors_for_mismatched_checkpoints_name_the_tensors(original_file, change, message):
    state = torch.load(original_file, weights_only=True)
    change(state)
    torch.save(state, original_file)
    with pytest.raises(FileError, match=message):
        load_sam(original_file)


@pytest.mark.parametrize("name", ["b.pth", "missing.pth", "empty"])
def test_the_error_for_a_wrong_source_says_where_to_find_the_model(tmp_path, name):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "b.pth")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match="sam_vit_h_4b8939") as error:
        load_sam(tmp_path / name)
    assert error.value.path == tmp_path / name


@pytest.mark.parametrize("place", ["sam", "models/sam", "models/more/sam", "~/no/sam", "facebook/"])
def test_a_missing_folder_is_not_looked_up_over_the_network(tmp_path, monkeypatch, place):
    (tmp_path / "models").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(transformers.SamModel, "from_pretrained", lambda *_, **__: pytest.fail("the network was asked"))
    with pytest.raises(FileError, match="does not exist"):
        load_sam(place)


def test_the_error_for_a_file_that_is_not_a_checkpoint_names_it(tmp_path):
    (tmp_path / "a.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(FileError, match=r"a\.pth"):
        load_sam(tmp_path / "a.pth")


def test_missing_tensors_in_a_folder_raise_instead_of_being_random(tiny, tmp_path):
    state = tiny.state_dict()
    del state["mask_decoder.iou_token.weight"]
    tiny.save_pretrained(tmp_path, state_dict=state)
    with pytest.raises(FileError, match=r"lacks 1 .*mask_decoder\.iou_token\.weight"):
        load_sam(tmp_path)
