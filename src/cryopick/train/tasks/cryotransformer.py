"""CryoTransformer's task: the boxes of whole labelled micrographs."""

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
from cryopick.train.data.cryotransformer_examples import BoxExample, BoxExamples
from cryopick.train.data.detr_augment import DetrAugmentation, augment, fraction_boxes
from cryopick.train.data.epochs import shuffled_index
from cryopick.train.launch import mean_over_processes
from cryopick.train.loop import Batch
from cryopick.train.losses import DetrLoss

LOGGED = ("loss", "loss_ce", "loss_bbox", "loss_giou")
"""Parts of the loss that are logged: the total, and those of the last decoder layer."""


class AugmentedExamples:
    """Batches of augmented micrographs; examples of a step and their augmentation depend only on the seed and the step.

    Every epoch uses each example once. A batch has `images` (b, 3, h, w) and `padding` (b, h, w), see `as_batch`, all `boxes`
    (n, 4) in one list, and the number of boxes of each image, `counts` (b,).
    """

    def __init__(self, examples: BoxExamples, augmentation: DetrAugmentation, *, seed: int) -> None:
        if not len(examples):
            raise CryopickError("there are no micrographs to train on")
        self.examples, self.augmentation, self.seed = examples, augmentation, seed

    def batches(self, first: int, last: int, *, count: int, rank: int, world: int) -> Iterator[Batch]:
        """See `BatchSource.batches`."""
        for step in range(first, last):
            positions = range(step * count + rank, (step + 1) * count, world)
            greys, boxes = zip(*(self._augmented(position) for position in positions), strict=True)
            yield _batch(greys, boxes)

    def _augmented(self, position: int) -> tuple[Tensor, Tensor]:
        """Return the image at a position in the sequence of all epochs, and its boxes."""
        example = self.examples[shuffled_index(position, len(self.examples), seed=self.seed)]
        grey, change = augment(example.grey, self.augmentation, rng=generator(self.seed, "picture", position))
        shape_hw = (grey.shape[0], grey.shape[1])
        return grey, fraction_boxes(example.truth, example.to_home.then(change), shape_hw)


class CryoTransformerTask:
    """A `Detr`, and held-out micrographs, on which its best F1 over all thresholds is the score.

    Parameters
    ----------
    backbone_rate : learning rate of the ResNet, whose stem and first stage are frozen.
    batch : images per batch in validation.
    """

    def __init__(self, model: Detr, held_out: BoxExamples, *, loss: DetrLoss, backbone_rate: float, batch: int = 1) -> None:
        self.model: nn.Module = model
        self.held_out, self.loss, self.backbone_rate, self.batch = held_out, loss, backbone_rate, batch
        cast(ResNet, model.get_submodule("backbone.0.body")).freeze_stem()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """See `TrainingTask.parameter_groups`: the transformer, and the ResNet with its own learning rate."""
        trained = [(name, parameter) for name, parameter in self.model.named_parameters() if parameter.requires_grad]
        backbone = [parameter for name, parameter in trained if name.startswith("backbone.")]
        others = [parameter for name, parameter in trained if not name.startswith("backbone.")]
        return [{"params": others}, {"params": backbone, "lr": self.backbone_rate}]

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """See `TrainingTask.losses`; only the parts of the last decoder layer are returned.

        Box losses are divided by the mean number of boxes per process, so that each box has the same weight in all processes.
        """
        count = mean_over_processes(float(batch["counts"].sum()), device=batch["counts"].device)
        parts = self.loss(model(batch["images"], batch["padding"]), _targets(batch), count=count)
        return {name: parts[name] for name in LOGGED}

    @torch.inference_mode()
    def validate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        """See `TrainingTask.validate`: `score`, the best F1 of one-to-one matches within half a diameter; its `threshold`;
        and `validation_loss`.
        """
        total, scores, right, truths = 0.0, [np.zeros(0)], [np.zeros(0, bool)], 0
        for part in _chunks(self.held_out, self.batch):
            boxes = [fraction_boxes(one.truth, one.to_home, one.shape_hw) for one in part]
            batch = {name: values.to(device) for name, values in _batch([one.grey for one in part], boxes).items()}
            output = model(batch["images"], batch["padding"])
            total += float(self.loss(output, _targets(batch))["loss"]) * len(part)
            for index, one in enumerate(part):
                found, hits = _evaluate_image(one, output, index)
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
    images, padding = as_batch(greys)
    counts = torch.tensor([len(each) for each in boxes])
    return {"images": images, "padding": padding, "boxes": torch.cat(list(boxes)), "counts": counts}


def _targets(batch: Batch) -> list[Tensor]:
    return list(torch.split(batch["boxes"], batch["counts"].tolist()))


def _chunks(examples: BoxExamples, size: int) -> Iterable[Sequence[BoxExample]]:
    indices = range(len(examples))
    return ([examples[index] for index in indices[first : first + size]] for first in indices[::size])


def _evaluate_image(one: BoxExample, output: DetrOutput, index: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return scores (n,) of the boxes of one image that no better one covers, and which of them are particles."""
    logits, boxes = (values[index].double().cpu().numpy() for values in (output.logits, output.boxes))
    kept = select_boxes(logits, boxes, one.shape_hw, threshold=0.0)
    xy = one.to_home.then(PixelMap.from_edges()).to_home(kept.centres)
    radius_px = (one.truth.diameter_px or 1.0) / 2
    return kept.scores, true_by_score(xy, one.truth.xy, kept.scores, radius_px=radius_px)
