"""CryoSegNet's loss (Gyawali et al. 2024): half binary cross-entropy, half Dice."""

from torch import Tensor
from torch.nn import functional

SMOOTH = 1e-4


def segmentation_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Mean of binary cross-entropy and `dice_loss`; logits and target, in [0, 1], have one shape."""
    return (functional.binary_cross_entropy_with_logits(logits, target) + dice_loss(logits, target)) / 2


def dice_loss(logits: Tensor, target: Tensor, *, smooth: float = SMOOTH) -> Tensor:
    """1 − soft Dice of sigmoid(logits) and target, over all pixels of the batch at once; what validation goes by.

    `smooth` makes an empty map for an empty target right. Summed in float32 also under autocast.
    """
    probability, target = logits.float().sigmoid(), target.float()
    shared = (probability * target).sum()
    return 1 - (2 * shared + smooth) / (probability.sum() + target.sum() + smooth)
