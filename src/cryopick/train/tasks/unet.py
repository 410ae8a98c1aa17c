"""The compact U-Net's task: maps of centres, whole particles and junk, trained on simulated or labelled crops."""

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
from cryopick.simulate.crops import Crops, StructureBank, random_structures, simulate_crops, structure_bank
from cryopick.simulate.settings import SimulationSettings
from cryopick.train.data.augment import augment
from cryopick.train.data.targets import MAPS, CropSettings, target_maps
from cryopick.train.loop import Batch, decay_groups, process_share
from cryopick.train.losses import dice_loss

VALIDATION_BATCH = 8
"""Number of crops per batch in validation."""


class SimulatedCrops:
    """Batches of simulated crops that never repeat; those of a step depend only on the seed, the step and the rank.

    A batch has `images` (b, 1, s, s) and `maps` (b, 3, s, s), see `target_maps`.
    """

    def __init__(self, bank: StructureBank, crop: CropSettings, *, seed: int) -> None:
        self.bank, self.crop, self.seed = bank, crop, seed

    def batches(self, first: int, last: int, *, count: int, rank: int, world: int) -> Iterator[Batch]:
        """See `BatchSource.batches`."""
        device, share = self.bank.diameter.device, process_share(count, rank=rank, world=world)
        for step in range(first, last):
            rng = generator(self.seed, "crops", step, rank)
            crops = self.crops(share, rng)
            yield self.batch(crops, torch.Generator(device).manual_seed(int(rng.integers(2**62))))

    def crops(self, count: int, rng: np.random.Generator) -> Crops:
        """Simulate `count` crops."""
        crop = self.crop
        return simulate_crops(self.bank, count, size=crop.size, diameter_px=crop.diameter_px, settings=crop.simulation, rng=rng)

    def batch(self, crops: Crops, rng: torch.Generator) -> Batch:
        """Standardise and augment crops, and draw their target maps."""
        images, maps = standardised(crops), target_maps(crops, centre_radius=self.crop.centre_radius)
        images, maps = augment(images, maps, settings=self.crop.augmentation, generator=rng)
        return {"images": images, "maps": maps}


class UNetTask:
    """The attention-gated U-Net with three maps, and held-out crops for validation.

    The score is the best F1 over all thresholds on the held-out crops, of one-to-one matches within half a diameter. `images`
    (b, 1, h, w) are these crops as input of the network; by default their pixels are standardised.
    """

    def __init__(self, model: nn.Module, crop: CropSettings, held_out: Crops, *, images: Tensor | None = None) -> None:
        self.model, self.crop = model, crop
        self.held_out = held_out
        self.images = standardised(held_out) if images is None else images

    def parameter_groups(self) -> list[dict[str, Any]]:
        """See `TrainingTask.parameter_groups`."""
        return decay_groups(self.model)

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """See `TrainingTask.losses`. If the batch has `known` (b, 3, h, w), a map counts only where that is 1."""
        parts = map_losses(model(batch["images"]).float(), batch["maps"], self.crop, known=batch.get("known"))
        total = torch.stack([w * part for w, part in zip(self.crop.map_weights, parts.values(), strict=True)]).sum()
        return {"loss": total, **parts}

    @torch.inference_mode()
    def validate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        """See `TrainingTask.validate`; also the `threshold` of the best F1."""
        parts = torch.split(self.images, VALIDATION_BATCH)
        centre = torch.cat([model(part.to(device))[:, 0].float().sigmoid().cpu() for part in parts])
        return best_f1_of_maps(centre.numpy(), self.held_out, spacing=self.crop.spacing)


def map_losses(logits: Tensor, maps: Tensor, crop: CropSettings, *, known: Tensor | None = None) -> dict[str, Tensor]:
    """Compute the loss of each of `MAPS` by name: the mean of cross-entropy and Dice.

    Logits, targets and `known`, which is 1 where a map counts, are (b, 3, h, w).
    """
    parts = {}
    for index, name in enumerate(MAPS):
        weight = logits.new_tensor(crop.positive_weight if name == "centre" else 1.0)
        predicted, target = logits[:, index], maps[:, index]
        if known is not None:
            counts = known[:, index] > 0
            predicted, target = predicted[counts], target[counts]
            if predicted.numel() == 0:
                parts[name] = predicted.sum()
                continue
        entropy = F.binary_cross_entropy_with_logits(predicted, target, pos_weight=weight)
        parts[name] = (entropy + dice_loss(predicted, target)) / 2
    return parts


def simulate_held_out(
    *, structures: int, crops: int, size: int, particle_px: float, simulation: SimulationSettings, seed: int, stream: str
) -> Crops:
    """Simulate crops for validation, on the CPU, of structures that differ from those of training with the same seed.

    `size` is the side of a crop and `particle_px` the diameter of all particles, in pixels. `stream` names the sequence of
    random numbers.
    """
    return simulate_crops(
        structure_bank(random_structures(structures, seed=seed + 1)),
        crops,
        size=size,
        diameter_px=(particle_px, particle_px),
        settings=simulation,
        rng=generator(seed, stream),
    )


def standardised(crops: Crops) -> Tensor:
    """Standardise crops as input of the network, (b, 1, h, w)."""
    return local_standardise(crops.pixels[:, None], diameter_px=crops.diameter_px)


def best_f1_of_maps(centre: NDArray[np.float32], crops: Crops, *, spacing: float) -> dict[str, float]:
    """Compute the best F1 over all thresholds of the peaks of centre maps (b, h, w); particles outside crops do not count.

    Returns `score` and `threshold`. `spacing` is in diameters.
    """
    visible = inside(crops.xy.cpu().numpy(), (centre.shape[1], centre.shape[2]))
    peaks = evaluate_peaks(centre, crops, spacing=spacing, threshold=0.02, among=visible)
    return best_f1_of_scores(*peaks, total=int(visible.sum()))


def best_f1_of_scores(scores: NDArray[np.float32], true: NDArray[np.bool_], *, total: int) -> dict[str, float]:
    """Compute the best F1 over all thresholds of picks (n,) that are true or false, if `total` particles can be found.

    Returns `score` and `threshold`.
    """
    if len(scores) == 0:
        return {"score": 0.0, "threshold": 1.0}
    order = np.argsort(-scores, kind="stable")
    hits = true[order].cumsum()
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + max(total, 1))
    best = int(f1.argmax())
    return {"score": float(f1[best]), "threshold": float(scores[order][best])}


def evaluate_peaks(
    maps: NDArray[np.float32], crops: Crops, *, spacing: float, threshold: float, among: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the heights (n,) of all peaks of maps (b, h, w) above a threshold, and which of them are particles.

    `spacing` is in diameters; `among` as in `evaluate_detections`.
    """
    sizes = crops.diameter_px.tolist()
    peaks = [find_peaks(each, spacing=spacing * size, threshold=threshold) for each, size in zip(maps, sizes, strict=True)]
    return evaluate_detections(peaks, crops, among=among)


def evaluate_detections(
    detections: Sequence[Detections], crops: Crops, *, among: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the scores (n,) of the detections of all crops, and which are particles: one to one, within half a diameter.

    `among` (p,) selects the particles of the crops that count; by default all do.
    """
    scores, right = [np.zeros(0, np.float32)], [np.zeros(0, bool)]
    xy, image, sizes = (values.cpu().numpy() for values in (crops.xy, crops.image, crops.diameter_px))
    counted = np.ones(len(xy), bool) if among is None else among
    for index, found in enumerate(detections):
        size = float(sizes[index])
        scores.append(found.scores)
        right.append(true_by_score(found.xy, xy[counted & (image == index)], found.scores, radius_px=size / 2))
    return np.concatenate(scores), np.concatenate(right)
