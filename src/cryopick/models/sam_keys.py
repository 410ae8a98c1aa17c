"""Conversion of Segment Anything's original checkpoint to the names and sizes of `transformers`."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

POSITIONS = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
DECODER_HEADS = 8  # the only size of the published models that shapes do not reveal

# All rules are applied, from top to bottom. The original numbers the parts of an `nn.Sequential`, activations included.
_RULES = [
    (r"^image_encoder\.", "vision_encoder."),
    (r"patch_embed\.proj\.", "patch_embed.projection."),
    (r"^vision_encoder\.blocks\.", "vision_encoder.layers."),
    (r"neck\.0\.", "neck.conv1."),
    (r"neck\.1\.", "neck.layer_norm1."),
    (r"neck\.2\.", "neck.conv2."),
    (r"neck\.3\.", "neck.layer_norm2."),
    (r"point_embeddings\.", "point_embed."),
    (r"mask_downscaling\.0\.", "mask_embed.conv1."),
    (r"mask_downscaling\.1\.", "mask_embed.layer_norm1."),
    (r"mask_downscaling\.3\.", "mask_embed.conv2."),
    (r"mask_downscaling\.4\.", "mask_embed.layer_norm2."),
    (r"mask_downscaling\.6\.", "mask_embed.conv3."),
    (r"output_upscaling\.0\.", "upscale_conv1."),
    (r"output_upscaling\.1\.", "upscale_layer_norm."),
    (r"output_upscaling\.3\.", "upscale_conv2."),
    (r"\.norm(\d|_final_attn)\.", r".layer_norm\1."),
]
_PERCEPTRON = re.compile(r"^(mask_decoder\.(?:output_hypernetworks_mlps\.\d+|iou_prediction_head))\.layers\.(\d+)\.(.*)$")


def is_original(state: Mapping[str, Tensor]) -> bool:
    """Return whether a state dict has the names of the original release."""
    return POSITIONS in state


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of an original state dict to those of `transformers.SamModel`; one tensor appears under two names.

    Unknown keys keep their names, so strict loading reports them.
    """
    depths = _perceptron_depths(state)
    result: dict[str, Tensor] = {}
    for key, value in state.items():
        if key == POSITIONS:  # one matrix serves the image and the prompts
            result["shared_image_embedding.positional_embedding"] = value
            result["prompt_encoder.shared_embedding.positional_embedding"] = value
        elif layer := _PERCEPTRON.match(key):
            block, index, parameter = layer.group(1), int(layer.group(2)), layer.group(3)
            last = depths[block] - 1
            place = "proj_in" if index == 0 else "proj_out" if index == last else f"layers.{index - 1}"
            result[f"{block}.{place}.{parameter}"] = value
        else:
            for pattern, replacement in _RULES:
                key = re.sub(pattern, replacement, key)
            result[key] = value
    return result


def configuration(state: Mapping[str, Tensor]) -> dict[str, dict[str, Any]]:
    """Infer the keyword arguments of `transformers.SamConfig` from the shapes of an original state dict: ViT-B, -L, -H or other.

    Raises `KeyError` if a tensor that determines a size is missing.
    """
    encoder, decoder = "image_encoder.", "mask_decoder."
    width, _, patch, _ = state[f"{encoder}patch_embed.proj.weight"].shape
    grid = state[f"{encoder}pos_embed"].shape[1]
    blocks = _count(state, rf"{re.escape(encoder)}blocks\.(\d+)\.")
    spans = [(len(state[f"{encoder}blocks.{i}.attn.rel_pos_h"]) + 1) // 2 for i in range(blocks)]
    head_width = state[f"{encoder}blocks.0.attn.rel_pos_h"].shape[1]
    channels = state[f"{encoder}neck.0.weight"].shape[0]
    square = {"image_size": grid * patch, "patch_size": patch}
    head = _count(state, r"mask_decoder\.iou_prediction_head\.layers\.(\d+)\.")
    return {
        "vision_config": {
            **square,
            "hidden_size": width,
            "output_channels": channels,
            "num_hidden_layers": blocks,
            "num_attention_heads": width // head_width,
            "mlp_dim": len(state[f"{encoder}blocks.0.mlp.lin1.weight"]),
            "window_size": min(spans),
            "global_attn_indexes": [i for i, span in enumerate(spans) if span == grid],
            "num_pos_feats": state[POSITIONS].shape[1],
        },
        "prompt_encoder_config": {
            **square,
            "hidden_size": channels,
            "mask_input_channels": len(state["prompt_encoder.mask_downscaling.3.weight"]),
        },
        "mask_decoder_config": {
            "hidden_size": channels,
            "num_attention_heads": DECODER_HEADS,
            "num_hidden_layers": _count(state, r"mask_decoder\.transformer\.layers\.(\d+)\."),
            "mlp_dim": len(state[f"{decoder}transformer.layers.0.mlp.lin1.weight"]),
            "attention_downsample_rate": channels // len(state[f"{decoder}transformer.final_attn_token_to_image.q_proj.weight"]),
            "num_multimask_outputs": len(state[f"{decoder}mask_tokens.weight"]) - 1,
            "iou_head_depth": head,
            "iou_head_hidden_dim": len(state[f"{decoder}iou_prediction_head.layers.0.weight"]),
        },
    }


def _perceptron_depths(state: Mapping[str, Tensor]) -> dict[str, int]:
    depths: dict[str, int] = {}
    for key in state:
        if layer := _PERCEPTRON.match(key):
            depths[layer.group(1)] = max(depths.get(layer.group(1), 0), int(layer.group(2)) + 1)
    return depths


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    return len({found.group(1) for key in state if (found := re.match(pattern, key))})
