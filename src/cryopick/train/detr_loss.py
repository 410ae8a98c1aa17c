"""The loss of DETR (Carion et al. 2020; CryoTransformer's equations 1–5): what each matched query should have said."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from cryopick.models.detr import NO_OBJECT, PARTICLE, DetrOutput
from cryopick.train.matcher import corners, generalised_iou, match

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
