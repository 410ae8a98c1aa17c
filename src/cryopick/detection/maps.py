"""Probability maps of a U-Net over images of any size."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cryopick.models.inference import batches
from cryopick.preprocess.tiles import tiles

Map = NDArray[np.float32]

TILE, OVERLAP = 1024, 128
AT_ONCE = {"cpu": 1, "cuda": 8}
"""Tiles per batch; on a CPU, larger batches are no faster and take more memory."""


@torch.inference_mode()
def probability_maps(
    network: nn.Module, images: Sequence[Map], *, calibration: tuple[float, float] = (1.0, 0.0), device: str = "cpu"
) -> list[Map]:
    """Compute the sigmoid of a network's first map for each image float32 (h, w); large images are divided into tiles.

    `network` takes (n, 1, h, w) and gives logits (n, maps, h, w); `calibration` is a slope and an offset for the logits.
    """
    slope, offset = calibration
    maps = [np.empty(image.shape, np.float32) for image in images]
    parts = [(index, tile) for index, image in enumerate(images) for tile in tiles(image.shape, size=TILE, overlap=OVERLAP)]
    views = [images[index][tile.rows, tile.columns] for index, tile in parts]
    for places, batch in batches(views, AT_ONCE[device]):
        logits = network(torch.from_numpy(np.stack(batch)).to(device)[:, None])[:, 0]
        answers = (slope * logits + offset).sigmoid().cpu().numpy()
        for (index, tile), answer in zip((parts[place] for place in places), answers, strict=True):
            maps[index][tile.own_rows, tile.own_columns] = answer[tile.own]
    return maps
