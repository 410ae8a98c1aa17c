"""Which prediction answers for which particle: Hungarian matching (Kuhn 1955) as in DETR (Carion et al. 2020)."""

from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


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
