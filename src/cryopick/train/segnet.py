"""What the fast route's network learns: from simulated crops to a map of centres, one of whole particles, and one of junk."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from cryopick.coordinates import inside
from cryopick.evaluate.matching import true_by_score
from cryopick.models.contrast import local_standardise
from cryopick.pickers.base import Detections
from cryopick.pickers.peaks import find_peaks
from cryopick.randomness import generator
from cryopick.simulate.crops import Crops, StructureBank, simulate_crops
from cryopick.simulate.settings import SimulationSettings
from cryopick.train.augment import Augmentation, augment
from cryopick.train.loop import Batch
from cryopick.train.segmentation_loss import dice_loss

MAPS = ("centre", "particle", "junk")


@dataclass(frozen=True)
class SegnetRecipe:
    """How crops and their maps are made.

    Attributes
    ----------
    crop : side in pixels.
    diameter_px : range of a particle's diameter in pixels around the one that pickers scale to, log-uniform.
    centre : radius of the disc that marks a centre, in diameters.
    weights : of the three maps' losses.
    positive_weight : of a pixel that is in a centre's disc, in the cross-entropy.
    spacing : smallest distance of two picks, in diameters, while validating.
    """

    crop: int = 128
    diameter_px: tuple[float, float] = (9.0, 16.0)
    centre: float = 0.18
    weights: tuple[float, float, float] = (1.0, 0.5, 0.5)
    positive_weight: float = 4.0
    spacing: float = 0.5
    simulation: SimulationSettings = field(default_factory=SimulationSettings)
    augmentation: Augmentation = field(default_factory=Augmentation)


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


def target_maps(crops: Crops, *, centre: float) -> Tensor:
    """Maps (b, 3, h, w) of 0 and 1, in the order of `MAPS`.

    Discs of `centre` diameters' radius on the centres, whole particles, and all that is neither ice nor a particle to be found.
    """
    shape = (len(crops.pixels), *crops.pixels.shape[1:])
    radius = crops.diameter_px[crops.image]
    whole = discs(crops.xy, crops.image, radius / 2, shape)
    junk = discs(crops.junk_xy, crops.junk_image, crops.diameter_px[crops.junk_image] / 2, shape)
    junk = torch.maximum(junk * (1 - whole), (crops.cover > 0).float())
    return torch.stack((discs(crops.xy, crops.image, centre * radius, shape), whole, junk), dim=1)


def discs(xy: Tensor, image: Tensor, radius: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Pictures (b, h, w) that are 1 where a pixel lies within `radius` (n,) of a point xy (n, 2) of its picture `image` (n,)."""
    count, height, width = shape
    pictures = torch.zeros(count * height * width, device=xy.device)
    if len(xy) == 0:
        return pictures.view(count, height, width)
    reach = int(radius.max().ceil())
    step = torch.arange(-reach, reach + 1, device=xy.device)
    around = torch.stack(torch.meshgrid(step, step, indexing="xy"), dim=-1).reshape(-1, 2)
    pixels = xy.round().long()[:, None] + around
    near = (pixels - xy[:, None]).square().sum(-1) <= radius[:, None] ** 2
    near &= (pixels >= 0).all(-1) & (pixels[..., 0] < width) & (pixels[..., 1] < height)
    pictures[((image[:, None] * height + pixels[..., 1]) * width + pixels[..., 0])[near]] = 1
    return pictures.view(count, height, width)


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
