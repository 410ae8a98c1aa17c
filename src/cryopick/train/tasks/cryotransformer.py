"""What the published transformer learns: from whole labelled micrographs to their boxes."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cryopick.coordinates import PixelMap
from cryopick.detection.box_rules import select_boxes
from cryopick.errors import CryopickError
from cryopick.evaluate.curves import precision_recall
from cryopick.evaluate.matching import true_by_score
from cryopick.models.detr import Detr, DetrOutput
from cryopick.models.detr_input import as_batch
from cryopick.models.resnet import ResNet
from cryopick.randomness import generator
from cryopick.train.data.detr_augment import DetrAugmentation, augment, fraction_boxes
from cryopick.train.data.detr_pages import Example, Examples
from cryopick.train.launch import mean_over_processes
from cryopick.train.loop import Batch
from cryopick.train.losses import DetrLoss

NOTED = ("loss", "loss_ce", "loss_bbox", "loss_giou")
"""Parts of the loss that are logged: those of the last decoder layer."""


class DetrPictures:
    """Batches of changed pictures; which pictures make up a step, and how they are changed, depends on the seed and the step.

    Every epoch goes through all examples once, in an order of its own. A batch has `pictures` (b, 3, h, w) and `padding`
    (b, h, w), see `as_batch`, all `boxes` (n, 4) in one list, and how many of them are each picture's: `counts` (b,).
    """

    def __init__(self, chosen: Examples, augmentation: DetrAugmentation, *, seed: int) -> None:
        if not len(chosen):
            raise CryopickError("there are no micrographs to learn from")
        self.examples, self.augmentation, self.seed = chosen, augmentation, seed

    def batches(self, first: int, last: int, *, count: int, rank: int, world: int) -> Iterator[Batch]:
        for step in range(first, last):
            turns = range(step * count + rank, (step + 1) * count, world)
            greys, boxes = zip(*(self._changed(turn) for turn in turns), strict=True)
            yield _batch(greys, boxes)

    def _changed(self, turn: int) -> tuple[Tensor, Tensor]:
        """The picture whose turn it is, counted over all epochs, and its boxes."""
        epoch, place = divmod(turn, len(self.examples))
        chosen = self.examples[int(generator(self.seed, "epoch", epoch).permutation(len(self.examples))[place])]
        grey, change = augment(chosen.grey, self.augmentation, rng=generator(self.seed, "picture", turn))
        shape_hw = (grey.shape[0], grey.shape[1])
        return grey, fraction_boxes(chosen.truth, chosen.to_home.then(change), shape_hw)


class DetrTask:
    """A `Detr` and micrographs held out, on which its best F1 over all thresholds is the score.

    Parameters
    ----------
    backbone_rate : learning rate of the ResNet, whose stem and first stage stay as they are.
    batch : pictures at once while validating.
    """

    def __init__(self, model: Detr, held_out: Examples, *, loss: DetrLoss, backbone_rate: float, batch: int = 1) -> None:
        self.model: nn.Module = model
        self.held_out, self.loss, self.backbone_rate, self.batch = held_out, loss, backbone_rate, batch
        cast(ResNet, model.get_submodule("backbone.0.body")).freeze_stem()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The transformer, and the ResNet at its own rate."""
        trained = [(name, parameter) for name, parameter in self.model.named_parameters() if parameter.requires_grad]
        backbone = [parameter for name, parameter in trained if name.startswith("backbone.")]
        others = [parameter for name, parameter in trained if not name.startswith("backbone.")]
        return [{"params": others}, {"params": backbone, "lr": self.backbone_rate}]

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The weighted sum over all decoder layers, and the last layer's parts.

        Boxes count as much on every process, however many each has: their losses are divided by the mean number on all.
        """
        count = mean_over_processes(float(batch["counts"].sum()), device=batch["counts"].device)
        parts = self.loss(model(batch["pictures"], batch["padding"]), _targets(batch), count=count)
        return {name: parts[name] for name in NOTED}

    @torch.inference_mode()
    def validate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        """`score`, the best F1 within half a diameter, one to one; its `threshold`; and `validation_loss`."""
        total, scores, right, truths = 0.0, [np.zeros(0)], [np.zeros(0, bool)], 0
        for part in _parts(self.held_out, self.batch):
            boxes = [fraction_boxes(one.truth, one.to_home, one.shape_hw) for one in part]
            batch = {name: values.to(device) for name, values in _batch([one.grey for one in part], boxes).items()}
            said = model(batch["pictures"], batch["padding"])
            total += float(self.loss(said, _targets(batch))["loss"]) * len(part)
            for index, one in enumerate(part):
                found, hits = _judged(one, said, index)
                scores.append(found)
                right.append(hits)
                truths += len(one.truth)
        loss = total / len(self.held_out)
        pooled = np.concatenate(scores)
        if not (len(pooled) and truths):
            return {"score": 0.0, "threshold": 1.0, "validation_loss": loss}
        curve = precision_recall(pooled, np.concatenate(right), truths)
        best = curve.best
        return {"score": float(curve.f1[best]), "threshold": float(curve.thresholds[best]), "validation_loss": loss}


def _batch(greys: Sequence[Tensor], boxes: Sequence[Tensor]) -> dict[str, Tensor]:
    pictures, padding = as_batch(greys)
    counts = torch.tensor([len(each) for each in boxes])
    return {"pictures": pictures, "padding": padding, "boxes": torch.cat(list(boxes)), "counts": counts}


def _targets(batch: Batch) -> list[Tensor]:
    return list(torch.split(batch["boxes"], batch["counts"].tolist()))


def _parts(chosen: Examples, count: int) -> Iterable[Sequence[Example]]:
    numbers = range(len(chosen))
    return ([chosen[number] for number in numbers[first : first + count]] for first in numbers[::count])


def _judged(one: Example, said: DetrOutput, index: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores (n,) of all boxes of one picture that no better one covers, and which of them are particles."""
    logits, boxes = (values[index].double().cpu().numpy() for values in (said.logits, said.boxes))
    kept = select_boxes(logits, boxes, one.shape_hw, threshold=0.0)
    xy = one.to_home.then(PixelMap.from_edges()).to_home(kept.centres)
    radius_px = (one.truth.diameter_px or 1.0) / 2
    return kept.scores, true_by_score(xy, one.truth.xy, kept.scores, radius_px=radius_px)
