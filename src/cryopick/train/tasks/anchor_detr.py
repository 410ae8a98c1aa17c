"""What the compact transformer learns: from simulated crops to a set of boxes, and on the way to maps of what is where."""

from collections.abc import Iterator
from dataclasses import dataclass, field
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
from cryopick.randomness import generator
from cryopick.simulate.crops import Crops, StructureBank, simulate_crops
from cryopick.simulate.settings import SimulationSettings
from cryopick.train.data.augment import Augmentation, change_look
from cryopick.train.data.targets import MAPS, target_maps
from cryopick.train.launch import mean_over_processes
from cryopick.train.loop import Batch
from cryopick.train.losses import corners, dice_loss, generalised_iou, match
from cryopick.train.tasks.unet import best_of, judged, standardised


@dataclass(frozen=True)
class TransformerRecipe:
    """How crops and their boxes are made, and what counts how much.

    Attributes
    ----------
    crop : side in pixels; pickers look at tiles of this size.
    diameter_px : range of a particle's diameter in pixels around the one that pickers scale to, log-uniform.
    label_weight, box_weight, giou_weight : of a decoder layer's losses: focal, L1 in units of the crop's side, 1 − GIoU.
    focal : α and γ of the focal loss (Lin et al. 2017).
    maps_weight : of the loss of the maps that are read off the features.
    centre : radius of the disc that marks a centre in the maps, in diameters.
    weights, positive_weight : of the three maps' losses, and of a pixel in a centre's disc.
    spacing : smallest distance of two picks, in diameters, while validating.
    """

    crop: int = 96
    diameter_px: tuple[float, float] = (9.0, 16.0)
    label_weight: float = 2.0
    box_weight: float = 5.0
    giou_weight: float = 2.0
    focal: tuple[float, float] = (0.25, 2.0)
    maps_weight: float = 2.0
    centre: float = 0.18
    weights: tuple[float, float, float] = (1.0, 0.5, 0.5)
    positive_weight: float = 4.0
    spacing: float = 0.5
    simulation: SimulationSettings = field(default_factory=SimulationSettings)
    augmentation: Augmentation = field(default_factory=Augmentation)


class SimulatedBoxes:
    """Batches that never repeat; which crops make up a step depends on the seed and the step alone.

    A batch has `pictures` (b, 1, s, s) and `maps` (b, 3, s, s), and its particles in one list: `boxes` (n, 3), centre x and y and
    diameter in pixels, and `image` (n,), the crop that each is in.
    """

    def __init__(self, bank: StructureBank, recipe: TransformerRecipe, *, seed: int) -> None:
        self.bank, self.recipe, self.seed = bank, recipe, seed

    def batches(self, first: int, last: int, *, count: int, rank: int, world: int) -> Iterator[Batch]:
        recipe, device = self.recipe, self.bank.diameter.device
        share = count // world + (rank < count % world)
        for step in range(first, last):
            rng = generator(self.seed, "crops", step, rank)
            crops = simulate_crops(
                self.bank, share, size=recipe.crop, diameter_px=recipe.diameter_px, settings=recipe.simulation, rng=rng
            )
            torch_rng = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
            yield lesson(crops, recipe, generator=torch_rng)


def lesson(crops: Crops, recipe: TransformerRecipe, *, generator: torch.Generator) -> Batch:
    """Crops as a batch of `SimulatedBoxes`. What streaked borders hide is not asked for."""
    maps = target_maps(crops, centre=recipe.centre)
    shown = torch.ones_like(maps[:, :1])
    pictures, targets = change_look(
        standardised(crops), torch.cat((maps, shown), dim=1), settings=recipe.augmentation, generator=generator
    )
    boxes = torch.cat((crops.xy, crops.diameter_px[crops.image, None]), dim=1)
    height, width = crops.pixels.shape[1:]
    cells = crops.xy.round().long()
    on = (cells >= 0).all(1) & (cells[:, 0] < width) & (cells[:, 1] < height)
    on[on.clone()] = targets[crops.image[on], -1, cells[on, 1], cells[on, 0]] > 0
    return {"pictures": pictures, "maps": targets[:, :-1], "boxes": boxes[on], "image": crops.image[on]}


class TransformerTask:
    """An `AnchorDetr`, and crops held out to validate on, picked tile by tile as pickers do.

    The score is the best F1 over all thresholds of one-to-one matching within half a diameter on the held-out crops.
    """

    def __init__(self, model: nn.Module, recipe: TransformerRecipe, held_out: Crops, trained: DetrScale) -> None:
        self.model, self.recipe, self.held_out, self.trained = model, recipe, held_out, trained
        self.pictures = standardised(held_out)[:, 0].cpu().numpy()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Weight decay for what multiplies the signal, none for biases and normalisation."""
        kernels = [parameter for parameter in self.model.parameters() if parameter.ndim > 1]
        others = [parameter for parameter in self.model.parameters() if parameter.ndim <= 1]
        return [{"params": kernels}, {"params": others, "weight_decay": 0.0}]

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        recipe = self.recipe
        said: AnchorOutput = model(batch["pictures"])
        assert said.maps is not None
        side = batch["pictures"].shape[-1]
        targets = [as_square(batch["boxes"][batch["image"] == index]) / side for index in range(len(batch["pictures"]))]
        parts = {"maps": maps_loss(said.maps.float(), batch["maps"], recipe)}
        weights = {"maps": recipe.maps_weight}
        count = mean_over_processes(float(len(batch["boxes"])), device=batch["boxes"].device)
        for layer, (logits, boxes) in enumerate(zip(said.logits.float(), as_square(said.boxes.float()) / side, strict=True)):
            for name, value in set_loss(logits, boxes, targets, focal=recipe.focal, count=count).items():
                parts[f"{name}_{layer}"] = value
                weights[f"{name}_{layer}"] = getattr(recipe, f"{name}_weight")
        return {"loss": torch.stack([weights[name] * part for name, part in parts.items()]).sum(), **parts}

    def validate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        logits, right, total = self.judge(model, device)
        best = best_of(logits, right, total=total)
        return {"score": best["score"], "threshold": float(1 / (1 + np.exp(-best["threshold"])))}

    def judge(self, model: nn.Module, device: torch.device) -> tuple[NDArray[np.float32], NDArray[np.bool_], int]:
        """Logits (n,) of the boxes found in the held-out crops, which of them are right, and how many particles there are."""
        crops = self.held_out
        found = [
            self._found(model, picture, float(size), device)
            for picture, size in zip(self.pictures, crops.diameter_px, strict=True)
        ]
        among = inside(crops.xy.cpu().numpy(), (self.pictures.shape[1], self.pictures.shape[2]))
        logits, right = judged([Detections(each.xy, each.logits) for each in found], crops, among=among)
        return logits, right, int(among.sum())

    def _found(self, model: nn.Module, picture: NDArray[np.float32], size: float, device: torch.device) -> BoxCandidates:
        return find_particles(model, picture, self.trained, spacing=self.recipe.spacing * size, device=device)


def set_loss(
    logits: Tensor, boxes: Tensor, targets: list[Tensor], *, focal: tuple[float, float], count: float
) -> dict[str, Tensor]:
    """What one decoder layer is charged for: `label`, `box` and `giou`, each divided by `count`, or by 1 where that is less.

    Logits (B, N) of being a particle; boxes (B, N, 4) and targets, (m, 4) a picture, as centre x and y, width and height in units
    of the picture's side. Queries and targets are matched one to one (Hungarian matching); the others are no particles.
    """
    count = max(1.0, count)
    pairs = match(torch.stack((logits, torch.zeros_like(logits)), dim=-1), boxes, targets)
    wanted = torch.zeros_like(logits)
    for picture, (queries, _) in enumerate(pairs):
        wanted[picture, queries] = 1.0
    ours = torch.cat([found[queries] for found, (queries, _) in zip(boxes, pairs, strict=True)])
    theirs = torch.cat([target[chosen] for target, (_, chosen) in zip(targets, pairs, strict=True)])
    overlap = generalised_iou(corners(ours), corners(theirs))
    return {
        "label": focal_loss(logits, wanted, *focal).sum() / count,
        "box": (ours - theirs).abs().sum() / count,
        "giou": (1 - overlap).sum() / count,
    }


def focal_loss(logits: Tensor, wanted: Tensor, alpha: float, gamma: float) -> Tensor:
    """Cross-entropy that counts little where the answer is right already (Lin et al. 2017), for each element."""
    entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    wrong = (logits.sigmoid() - wanted).abs()
    return (alpha * wanted + (1 - alpha) * (1 - wanted)) * wrong**gamma * entropy


def maps_loss(logits: Tensor, maps: Tensor, recipe: TransformerRecipe) -> Tensor:
    """Cross-entropy and Dice of maps (B, 3, H, W) of centres, particles and junk."""
    total = logits.new_zeros(())
    for index, name in enumerate(MAPS):
        said, wanted = logits[:, index], maps[:, index]
        positive = logits.new_tensor(recipe.positive_weight if name == "centre" else 1.0)
        entropy = F.binary_cross_entropy_with_logits(said, wanted, pos_weight=positive)
        total = total + recipe.weights[index] * (entropy + dice_loss(said, wanted)) / 2
    return total


def as_square(boxes: Tensor) -> Tensor:
    """Boxes (…, 3) of centre and diameter as (…, 4): centre, width and height."""
    return torch.cat((boxes, boxes[..., 2:]), dim=-1)
