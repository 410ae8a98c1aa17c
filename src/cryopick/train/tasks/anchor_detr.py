"""The compact DETR's task: a set of boxes, with auxiliary maps of centres, particles and junk, trained on simulated crops."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from cryopick.coordinates import inside
from cryopick.detection.detections import Detections
from cryopick.models.anchor_detr import AnchorOutput
from cryopick.pickers.detr import BoxCandidates, DetrScale, find_particles
from cryopick.simulate.crops import Crops
from cryopick.train.data.augment import change_appearance
from cryopick.train.data.targets import CropSettings, target_maps
from cryopick.train.launch import mean_over_processes
from cryopick.train.loop import Batch, decay_groups
from cryopick.train.losses import corners, generalised_iou, match_queries, matched_boxes
from cryopick.train.tasks.unet import SimulatedCrops, best_f1_of_scores, evaluate_detections, map_losses, standardised


@dataclass(frozen=True)
class AnchorDetrCropSettings(CropSettings):
    """Settings of crops and of the losses; the tiles of pickers have the size of the crops.

    Attributes
    ----------
    label_weight, box_weight, giou_weight : weights of a decoder layer's losses: focal, L1 in units of the crop's side, 1 − GIoU.
    focal : α and γ of the focal loss (Lin et al. 2017).
    maps_weight : weight of the loss of the auxiliary maps.
    """

    size: int = 96
    label_weight: float = 2.0
    box_weight: float = 5.0
    giou_weight: float = 2.0
    focal: tuple[float, float] = (0.25, 2.0)
    maps_weight: float = 2.0


class SimulatedBoxes(SimulatedCrops):
    """Batches of simulated crops that never repeat, with the boxes of their particles.

    A batch has `images` (b, 1, s, s) and `maps` (b, 3, s, s), and its particles in one list: `boxes` (n, 3), centre x and y and
    diameter in pixels, and `image` (n,), the index of each one's crop.
    """

    def batch(self, crops: Crops, rng: torch.Generator) -> Batch:
        """Standardise and augment crops, and collect their boxes, except those hidden by streaked borders."""
        return box_batch(crops, self.crop, generator=rng)


def box_batch(crops: Crops, crop: CropSettings, *, generator: torch.Generator) -> Batch:
    """Make a batch of `SimulatedBoxes` from crops."""
    maps = target_maps(crops, centre_radius=crop.centre_radius)
    visible = torch.ones_like(maps[:, :1])
    images, targets = change_appearance(
        standardised(crops), torch.cat((maps, visible), dim=1), settings=crop.augmentation, generator=generator
    )
    boxes = torch.cat((crops.xy, crops.diameter_px[crops.image, None]), dim=1)
    height, width = crops.pixels.shape[1:]
    cells = crops.xy.round().long()
    kept = (cells >= 0).all(1) & (cells[:, 0] < width) & (cells[:, 1] < height)
    kept[kept.clone()] = targets[crops.image[kept], -1, cells[kept, 1], cells[kept, 0]] > 0
    return {"images": images, "maps": targets[:, :-1], "boxes": boxes[kept], "image": crops.image[kept]}


class AnchorDetrTask:
    """An `AnchorDetr`, and held-out crops for validation, on which it is run tile by tile as in picking.

    The score is the best F1 over all thresholds on the held-out crops, of one-to-one matches within half a diameter.
    """

    def __init__(self, model: nn.Module, crop: AnchorDetrCropSettings, held_out: Crops, scale: DetrScale) -> None:
        self.model, self.crop, self.held_out, self.scale = model, crop, held_out, scale
        self.images = standardised(held_out)[:, 0].cpu().numpy()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """See `TrainingTask.parameter_groups`."""
        return decay_groups(self.model)

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """See `TrainingTask.losses`: `maps`, and `label_I`, `box_I` and `giou_I` of decoder layer I."""
        crop = self.crop
        output: AnchorOutput = model(batch["images"])
        assert output.maps is not None
        side = batch["images"].shape[-1]
        targets = [as_square(batch["boxes"][batch["image"] == index]) / side for index in range(len(batch["images"]))]
        parts = {"maps": maps_loss(output.maps.float(), batch["maps"], crop)}
        weights = {"maps": crop.maps_weight}
        count = mean_over_processes(float(len(batch["boxes"])), device=batch["boxes"].device)
        for layer, (logits, boxes) in enumerate(zip(output.logits.float(), as_square(output.boxes.float()) / side, strict=True)):
            for name, value in set_loss(logits, boxes, targets, focal=crop.focal, count=count).items():
                parts[f"{name}_{layer}"] = value
                weights[f"{name}_{layer}"] = getattr(crop, f"{name}_weight")
        return {"loss": torch.stack([weights[name] * part for name, part in parts.items()]).sum(), **parts}

    def validate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        """See `TrainingTask.validate`; also the `threshold` of the best F1."""
        logits, right, total = self.evaluate(model, device)
        best = best_f1_of_scores(logits, right, total=total)
        return {"score": best["score"], "threshold": float(1 / (1 + np.exp(-best["threshold"])))}

    def evaluate(self, model: nn.Module, device: torch.device) -> tuple[NDArray[np.float32], NDArray[np.bool_], int]:
        """Return logits (n,) of the boxes found in the held-out crops, which are particles, and the number of particles."""
        crops = self.held_out
        found = [
            self._found(model, image, float(size), device) for image, size in zip(self.images, crops.diameter_px, strict=True)
        ]
        among = inside(crops.xy.cpu().numpy(), (self.images.shape[1], self.images.shape[2]))
        logits, right = evaluate_detections([Detections(each.xy, each.logits) for each in found], crops, among=among)
        return logits, right, int(among.sum())

    def _found(self, model: nn.Module, image: NDArray[np.float32], size: float, device: torch.device) -> BoxCandidates:
        return find_particles(model, image, self.scale, spacing=self.crop.spacing * size, device=device)


def set_loss(
    logits: Tensor, boxes: Tensor, targets: list[Tensor], *, focal: tuple[float, float], count: float
) -> dict[str, Tensor]:
    """Compute the losses of one decoder layer, `label`, `box` and `giou`, each divided by `count`, at least 1.

    Logits (B, N) are those of being a particle. Boxes (B, N, 4), and targets (m, 4) per image, are centre x and y, width and
    height in units of the image's side. Queries are matched to targets one to one; unmatched queries are no particles.
    """
    count = max(1.0, count)
    pairs = match_queries(torch.stack((logits, torch.zeros_like(logits)), dim=-1), boxes, targets)
    labels = torch.zeros_like(logits)
    for image, (queries, _) in enumerate(pairs):
        labels[image, queries] = 1.0
    predicted, target = matched_boxes(boxes, targets, pairs)
    overlap = generalised_iou(corners(predicted), corners(target))
    return {
        "label": focal_loss(logits, labels, *focal).sum() / count,
        "box": (predicted - target).abs().sum() / count,
        "giou": (1 - overlap).sum() / count,
    }


def focal_loss(logits: Tensor, labels: Tensor, alpha: float, gamma: float) -> Tensor:
    """Compute the focal loss (Lin et al. 2017) of each element: cross-entropy with little weight on right predictions."""
    entropy = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    error = (logits.sigmoid() - labels).abs()
    return (alpha * labels + (1 - alpha) * (1 - labels)) * error**gamma * entropy


def maps_loss(logits: Tensor, maps: Tensor, crop: CropSettings) -> Tensor:
    """Compute the weighted sum of the losses of the maps (B, 3, H, W) of centres, particles and junk."""
    total = logits.new_zeros(())
    for weight, part in zip(crop.map_weights, map_losses(logits, maps, crop).values(), strict=True):
        total = total + weight * part
    return total


def as_square(boxes: Tensor) -> Tensor:
    """Convert boxes (…, 3) of centre x and y and diameter to (…, 4) of centre x and y, width and height."""
    return torch.cat((boxes, boxes[..., 2:]), dim=-1)
