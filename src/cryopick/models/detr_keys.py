"""Sizes of a DETR, inferred from the keys and shapes of CryoTransformer's checkpoint."""

import re

from cryopick.models.architectures import Architecture, Settings, State
from cryopick.models.detr import Detr

DEPTH_OF_BLOCKS = {(2, False): 18, (6, False): 34, (6, True): 50, (23, True): 101, (36, True): 152}


def infer_settings(state: State) -> Settings | None:
    """Infer the settings of `Detr` from a state dict; None if it belongs to another network.

    Shapes do not depend on the number of attention heads: it is the published 8 unless a card says otherwise.
    """
    queries = state.get("query_embed.weight")
    feedforward = state.get("transformer.encoder.layers.0.linear1.weight")
    blocks = _count(state, r"backbone\.0\.body\.layer3\.(\d+)\.")
    depth = DEPTH_OF_BLOCKS.get((blocks, "backbone.0.body.layer3.0.conv3.weight" in state))
    first = state.get("backbone.0.body.conv1.weight")
    if queries is None or feedforward is None or depth is None or first is None:
        return None
    return {
        "depth": depth,
        "backbone_width": first.shape[0],
        "queries": queries.shape[0],
        "width": queries.shape[1],
        "feedforward": feedforward.shape[0],
        "layers": _count(state, r"transformer\.encoder\.layers\.(\d+)\."),
    }


def _count(state: State, pattern: str) -> int:
    """Count the different numbers that a pattern matches in the keys."""
    return len({found[1] for found in (re.match(pattern, key) for key in state) if found})


ARCHITECTURE = Architecture(
    build=Detr,
    infer_settings=infer_settings,
    published="The weights of CryoTransformer are at https://github.com/jianlin-cheng/CryoTransformer",
    licence="MIT",
)
