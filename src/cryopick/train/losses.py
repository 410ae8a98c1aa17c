"""Losses of the networks: CryoSegNet's (cross-entropy and Dice; Gyawali et al. 2024) and DETR's set loss (Carion et al. 2020)."""

from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from cryopick.models.detr import NO_OBJECT, PARTICLE, DetrOutput

SMOOTH = 1e-4


def segmentation_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Compute the mean of binary cross-entropy and `dice_loss`; logits and target in [0, 1] have the same shape."""
    return (F.binary_cross_entropy_with_logits(logits, target) + dice_loss(logits, target)) / 2


def dice_loss(logits: Tensor, target: Tensor, *, smooth: float = SMOOTH) -> Tensor:
    """Compute 1 − soft Dice coefficient of sigmoid(logits) and target, over all pixels of the batch at once.

    With `smooth`, an empty map matches an empty target. Sums are in float32, also under autocast.
    """
    probability, target = logits.float().sigmoid(), target.float()
    shared = (probability * target).sum()
    return 1 - (2 * shared + smooth) / (probability.sum() + target.sum() + smooth)


Pairs = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class DetrLoss:
    """DETR's set loss; the weights are the published ones by default.

    Attributes
    ----------
    label_weight, box_weight, giou_weight : of cross-entropy, L1 distance and 1 − GIoU.
    no_object_weight : of the no-object class in the cross-entropy.
    label : column of the logits for particles. The published annotations use 1, which is also no-object, so that the
        classifier cannot be trained; the default is 0.
    """

    label_weight: float = 1.0
    box_weight: float = 5.0
    giou_weight: float = 2.0
    no_object_weight: float = 0.1
    label: int = PARTICLE

    def __call__(self, output: DetrOutput, targets: list[Tensor], *, count: float | None = None) -> dict[str, Tensor]:
        """Compute the parts of the loss by name, and their weighted sum as `loss`.

        The parts are `loss_ce`, `loss_bbox` and `loss_giou`, with `_0`, `_1`, … appended for the earlier decoder layers. Targets
        are boxes (m, 4) per image, (centre x, centre y, width, height) as fractions; m may be 0 or exceed the number of queries.
        Box losses are divided by `count`, by default the number of targets, and at least by 1.
        """
        parts: dict[str, Tensor] = {}
        layers = [("", output.logits, output.boxes)]
        layers += [(f"_{index}", *layer) for index, layer in enumerate(output.auxiliary)]
        count = max(1, sum(len(target) for target in targets) if count is None else count)
        for suffix, logits, boxes in layers:
            pairs = match_queries(logits.float(), boxes.float(), targets, label=self.label)
            parts[f"loss_ce{suffix}"] = self._classes(logits.float(), pairs)
            parts[f"loss_bbox{suffix}"], parts[f"loss_giou{suffix}"] = _boxes(boxes.float(), targets, pairs, count)
        weights = {"ce": self.label_weight, "bbox": self.box_weight, "giou": self.giou_weight}
        total = torch.stack([weights[name.split("_")[1]] * value for name, value in parts.items()]).sum()
        return {"loss": total, **parts}

    def _classes(self, logits: Tensor, pairs: Pairs) -> Tensor:
        target = torch.full(logits.shape[:2], NO_OBJECT, device=logits.device)
        for image, (queries, _) in enumerate(pairs):
            target[image, queries] = self.label
        weight = logits.new_ones(logits.shape[-1])
        weight[NO_OBJECT] = self.no_object_weight
        return F.cross_entropy(logits.transpose(1, 2), target, weight)


def _boxes(boxes: Tensor, targets: list[Tensor], pairs: Pairs, count: float) -> tuple[Tensor, Tensor]:
    """Compute L1 and 1 − GIoU of the matched boxes, summed and divided by `count`."""
    predicted, target = matched_boxes(boxes, targets, pairs)
    distance = (predicted - target).abs().sum() / count
    overlap = (1 - generalised_iou(corners(predicted), corners(target))).sum() / count
    return distance, overlap


def matched_boxes(boxes: Tensor, targets: list[Tensor], pairs: Pairs) -> tuple[Tensor, Tensor]:
    """Return matched boxes (p, 4) of all images in one list, and their targets (p, 4)."""
    predicted = torch.cat([image[queries] for image, (queries, _) in zip(boxes, pairs, strict=True)])
    return predicted, torch.cat([target[chosen] for target, (_, chosen) in zip(targets, pairs, strict=True)])


@dataclass(frozen=True)
class MatchCost:
    """Weights of the three costs of a match, as published."""

    label: float = 1.0
    box: float = 5.0
    giou: float = 2.0


@torch.no_grad()
def match_queries(
    logits: Tensor, boxes: Tensor, targets: list[Tensor], *, label: int = 0, cost: MatchCost | None = None
) -> list[tuple[Tensor, Tensor]]:
    """Match queries to targets one to one, at the least total cost (Hungarian matching).

    Returns for each image the indices of the matched queries, ascending, and of their targets: min(N, m) pairs. Logits are
    (B, N, 2), boxes (B, N, 4); targets are boxes (m, 4) per image, (centre x, centre y, width, height) as fractions. `label` is
    the column of the logits for particles.
    """
    cost = cost or MatchCost()
    probability = logits.softmax(-1)[..., label]
    pairs = []
    for score, predicted, target in zip(probability, boxes, targets, strict=True):
        matrix = (
            cost.box * torch.cdist(predicted, target, p=1)
            - cost.label * score[:, None]
            - cost.giou * generalised_iou(corners(predicted)[:, None], corners(target)[None])
        )
        queries, chosen = linear_sum_assignment(matrix.cpu().numpy())
        pairs.append((torch.as_tensor(queries, device=boxes.device), torch.as_tensor(chosen, device=boxes.device)))
    return pairs


def corners(boxes: Tensor) -> Tensor:
    """Convert (centre x, centre y, width, height) to (left, top, right, bottom) along the last axis."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat((centre - half, centre + half), dim=-1)


def generalised_iou(a: Tensor, b: Tensor) -> Tensor:
    """Compute the generalised intersection over union (Rezatofighi et al. 2019), in [−1, 1], of boxes given by their corners.

    Broadcasts over all axes but the last. Boxes of zero area give finite values and gradients.
    """
    size = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    intersection = size.prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - intersection
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1)
    tiny = torch.finfo(a.dtype).tiny
    return intersection / union.clamp(min=tiny) - (hull - union) / hull.clamp(min=tiny)
