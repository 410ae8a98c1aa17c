"""Network, targets and loss train together: discs in noise."""

import numpy as np
import pytest
import torch

from cryopick.models.attention_unet import AttentionUNet
from cryopick.randomness import generator
from cryopick.train.data.targets import disc_mask
from cryopick.train.losses import segmentation_loss
from cryopick.types import Picks

SIDE, DIAMETER, PARTICLES = 64, 12.0, 6


def make_discs(count: int, *names: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of dark discs in noise of the same amplitude, with values in [0, 1], and their masks."""
    images, masks = [], []
    for index in range(count):
        rng = generator(7, *names, index)
        centres = rng.uniform(0, SIDE, (PARTICLES, 2))
        mask = disc_mask(Picks("m", centres, diameter=DIAMETER, shape_hw=(SIDE, SIDE)))
        images.append(np.clip(0.6 - 0.2 * mask + rng.normal(0, 0.2, mask.shape), 0, 1))
        masks.append(mask)
    return tuple(torch.from_numpy(np.stack(stack)[:, None].astype(np.float32)) for stack in (images, masks))


@pytest.mark.slow
def test_a_tiny_unet_trained_on_twenty_images_of_discs_segments_unseen_ones():
    torch.manual_seed(7)
    model = AttentionUNet(width=4, levels=3)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    images, masks = make_discs(20, "training")
    unseen_images, unseen_masks = make_discs(10, "unseen")
    for step in range(80):
        chosen = torch.from_numpy(generator(7, "batch", step).permutation(20)[:5])
        optimizer.zero_grad()
        segmentation_loss(model(images[chosen]), masks[chosen]).backward()
        optimizer.step()
    model.eval()
    with torch.inference_mode():
        logits = model(unseen_images)
    found, expected = logits > 0, unseen_masks > 0
    overlap = (found & expected).sum() / (found | expected).sum()
    assert expected.float().mean() < 0.2, "a mask of ones would come close to the bound"
    assert overlap > 0.6
