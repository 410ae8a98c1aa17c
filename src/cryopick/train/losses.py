"""CryoSegNet's loss (Gyawali et al. 2024): half binary cross-entropy, half Dice."""

from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional
from torch.nn import functional as F

from cryopick.models.detr import NO_OBJECT, PARTICLE, DetrOutput

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


Pairs = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class DetrLoss:
    """Weights of the three parts, and of the no-object class in the cross-entropy; the published ones by default.

    `label` is the column that stands for a particle. The published annotations make it 1, which is also no-object, so that the
    classifier learns nothing; ours is 0.
    """

    label_weight: float = 1.0
    box_weight: float = 5.0
    giou_weight: float = 2.0
    no_object_weight: float = 0.1
    label: int = PARTICLE

    def __call__(self, output: DetrOutput, targets: list[Tensor], *, count: float | None = None) -> dict[str, Tensor]:
        """Parts by name — `loss_ce`, `loss_bbox`, `loss_giou`, with `_0`, `_1`, … for the earlier decoder layers — and `loss`.

        Targets are (m, 4) boxes a picture, (centre x, centre y, width, height) as fractions; m may be 0, or more than there are
        queries. The boxes' losses are divided by `count`, the number of all targets unless it is given, at least 1.
        """
        parts: dict[str, Tensor] = {}
        layers = [("", output.logits, output.boxes)]
        layers += [(f"_{index}", *layer) for index, layer in enumerate(output.auxiliary)]
        count = max(1, sum(len(target) for target in targets) if count is None else count)
        for suffix, logits, boxes in layers:
            pairs = match(logits.float(), boxes.float(), targets, label=self.label)
            parts[f"loss_ce{suffix}"] = self._classes(logits.float(), pairs)
            parts[f"loss_bbox{suffix}"], parts[f"loss_giou{suffix}"] = _boxes(boxes.float(), targets, pairs, count)
        weights = {"ce": self.label_weight, "bbox": self.box_weight, "giou": self.giou_weight}
        total = torch.stack([weights[name.split("_")[1]] * value for name, value in parts.items()]).sum()
        return {"loss": total, **parts}

    def _classes(self, logits: Tensor, pairs: Pairs) -> Tensor:
        wanted = torch.full(logits.shape[:2], NO_OBJECT, device=logits.device)
        for picture, (queries, _) in enumerate(pairs):
            wanted[picture, queries] = self.label
        weight = logits.new_ones(logits.shape[-1])
        weight[NO_OBJECT] = self.no_object_weight
        return F.cross_entropy(logits.transpose(1, 2), wanted, weight)


def _boxes(boxes: Tensor, targets: list[Tensor], pairs: Pairs, count: float) -> tuple[Tensor, Tensor]:
    """L1 and 1 − GIoU of the matched boxes, summed and divided by `count`."""
    found = torch.cat([picture[queries] for picture, (queries, _) in zip(boxes, pairs, strict=True)])
    wanted = torch.cat([target[chosen] for target, (_, chosen) in zip(targets, pairs, strict=True)])
    distance = (found - wanted).abs().sum() / count
    overlap = (1 - generalised_iou(corners(found), corners(wanted))).sum() / count
    return distance, overlap


@dataclass(frozen=True)
class MatchCost:
    """Weights of the three costs, as published."""

    label: float = 1.0
    box: float = 5.0
    giou: float = 2.0


@torch.no_grad()
def match(
    logits: Tensor, boxes: Tensor, targets: list[Tensor], *, label: int = 0, cost: MatchCost | None = None
) -> list[tuple[Tensor, Tensor]]:
    """For each picture the indices of matched queries, ascending, and of their targets: as many pairs as the smaller side has.

    Logits (B, N, 2), boxes (B, N, 4); targets are (m, 4) boxes a picture, (centre x, centre y, width, height) as fractions.
    `label` is the column of the logits that stands for a particle.
    """
    cost = cost or MatchCost()
    probability = logits.softmax(-1)[..., label]
    pairs = []
    for chance, found, wanted in zip(probability, boxes, targets, strict=True):
        matrix = (
            cost.box * torch.cdist(found, wanted, p=1)
            - cost.label * chance[:, None]
            - cost.giou * generalised_iou(corners(found)[:, None], corners(wanted)[None])
        )
        queries, chosen = linear_sum_assignment(matrix.cpu().numpy())
        pairs.append((torch.as_tensor(queries, device=boxes.device), torch.as_tensor(chosen, device=boxes.device)))
    return pairs


def corners(boxes: Tensor) -> Tensor:
    """(centre x, centre y, width, height) to (left, top, right, bottom) in the last axis."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat((centre - half, centre + half), dim=-1)


def generalised_iou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised intersection over union (Rezatofighi et al. 2019) in [−1, 1] of boxes given by corners.

    Broadcasts over all but the last axis. Boxes without area give finite values and gradients.
    """
    size = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    intersection = size.prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - intersection
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1)
    tiny = torch.finfo(a.dtype).tiny
    return intersection / union.clamp(min=tiny) - (hull - union) / hull.clamp(min=tiny)
