"""What the fast route's network learns: from simulated crops to a map of centres, one of whole particles, and one of junk."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from cryopick.coordinates import inside
from cryopick.detection.detections import Detections
from cryopick.detection.peaks import find_peaks
from cryopick.evaluate.matching import true_by_score
from cryopick.models.contrast import local_standardise
from cryopick.randomness import generator
from cryopick.simulate.crops import Crops, StructureBank, simulate_crops
from cryopick.train.data.augment import augment
from cryopick.train.data.targets import MAPS, SegnetRecipe, target_maps
from cryopick.train.loop import Batch
from cryopick.train.losses import dice_loss


class SimulatedCrops:
    """Batches that never repeat; which crops make up a step depends on the seed and the step alone."""

    def __init__(self, bank: StructureBank, recipe: SegnetRecipe, *, seed: int) -> None:
        self.bank, self.recipe, self.seed = bank, recipe, seed

    def batches(self, first: int, last: int, *, count: int, rank: int, world: int) -> Iterator[Batch]:
        device = self.bank.diameter.device
        share = count // world + (rank < count % world)
        for step in range(first, last):
            rng = generator(self.seed, "crops", step, rank)
            crops = self.crops(share, rng)
            pictures, maps = standardised(crops), target_maps(crops, centre=self.recipe.centre)
            torch_rng = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
            pictures, maps = augment(pictures, maps, settings=self.recipe.augmentation, generator=torch_rng)
            yield {"pictures": pictures, "maps": maps}

    def crops(self, count: int, rng: np.random.Generator) -> Crops:
        recipe = self.recipe
        return simulate_crops(
            self.bank, count, size=recipe.crop, diameter_px=recipe.diameter_px, settings=recipe.simulation, rng=rng
        )


class SegnetTask:
    """The attention-gated U-Net with three maps, and crops held out to validate on.

    The score is the best F1 over all thresholds of one-to-one matching within half a diameter on the held-out crops. `pictures`
    (b, 1, h, w) are these as the network sees them, where they are not simulated.
    """

    def __init__(self, model: nn.Module, recipe: SegnetRecipe, held_out: Crops, *, pictures: Tensor | None = None) -> None:
        self.model, self.recipe = model, recipe
        self.held_out = held_out
        self.pictures = standardised(held_out) if pictures is None else pictures

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Weight decay for what multiplies the signal, none for biases and normalisation."""
        kernels = [parameter for parameter in self.model.parameters() if parameter.ndim > 1]
        others = [parameter for parameter in self.model.parameters() if parameter.ndim <= 1]
        return [{"params": kernels}, {"params": others, "weight_decay": 0.0}]

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """See `Task.losses`. Where the batch has `known` (b, 3, h, w), a map counts only where it is 1."""
        logits, maps = model(batch["pictures"]).float(), batch["maps"]
        parts = {}
        for index, name in enumerate(MAPS):
            weight = logits.new_tensor(self.recipe.positive_weight if name == "centre" else 1.0)
            said, wanted = logits[:, index], maps[:, index]
            if "known" in batch:
                counts = batch["known"][:, index] > 0
                said, wanted = said[counts], wanted[counts]
                if said.numel() == 0:
                    parts[name] = said.sum()
                    continue
            entropy = F.binary_cross_entropy_with_logits(said, wanted, pos_weight=weight)
            parts[name] = (entropy + dice_loss(said, wanted)) / 2
        total = torch.stack([w * part for w, part in zip(self.recipe.weights, parts.values(), strict=True)]).sum()
        return {"loss": total, **parts}

    @torch.inference_mode()
    def validate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        centre = torch.cat([model(part.to(device))[:, 0].float().sigmoid().cpu() for part in torch.split(self.pictures, 8)])
        return best_f1(centre.numpy(), self.held_out, spacing=self.recipe.spacing)


def standardised(crops: Crops) -> Tensor:
    """The crops as the network sees them, (b, 1, h, w)."""
    return local_standardise(crops.pixels[:, None], diameter_px=crops.diameter_px)


def best_f1(centre: NDArray[np.float32], crops: Crops, *, spacing: float) -> dict[str, float]:
    """Best F1 over all thresholds on the peaks of centre maps (b, h, w); particles outside the crops do not count."""
    shown = inside(crops.xy.cpu().numpy(), (centre.shape[1], centre.shape[2]))
    return best_of(*judged_peaks(centre, crops, spacing=spacing, threshold=0.02, among=shown), total=int(shown.sum()))


def best_of(scores: NDArray[np.float32], true: NDArray[np.bool_], *, total: int) -> dict[str, float]:
    """Best F1 over all thresholds, and the threshold, of picks that are right or wrong; `total` particles were to be found."""
    if len(scores) == 0:
        return {"score": 0.0, "threshold": 1.0}
    order = np.argsort(-scores, kind="stable")
    hits = true[order].cumsum()
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + max(total, 1))
    best = int(f1.argmax())
    return {"score": float(f1[best]), "threshold": float(scores[order][best])}


def judged_peaks(
    maps: NDArray[np.float32], crops: Crops, *, spacing: float, threshold: float, among: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Heights (n,) of all peaks of maps (b, h, w) above a threshold, and which of them are particles.

    `spacing` in diameters; else as `judged`.
    """
    sizes = crops.diameter_px.tolist()
    peaks = [find_peaks(each, spacing=spacing * size, threshold=threshold) for each, size in zip(maps, sizes, strict=True)]
    return judged(peaks, crops, among=among)


def judged(
    detections: Sequence[Detections], crops: Crops, *, among: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Scores (n,) of the detections in all crops, and which of them are particles.

    Right is within half a diameter, one to one. `among` (p,) says which of the crops' particles count, all unless given.
    """
    heights, right = [np.zeros(0, np.float32)], [np.zeros(0, bool)]
    xy, image, sizes = (values.cpu().numpy() for values in (crops.xy, crops.image, crops.diameter_px))
    counted = np.ones(len(xy), bool) if among is None else among
    for index, found in enumerate(detections):
        size = float(sizes[index])
        heights.append(found.scores)
        right.append(true_by_score(found.xy, xy[counted & (image == index)], found.scores, radius_px=size / 2))
    return np.concatenate(heights), np.concatenate(right)
