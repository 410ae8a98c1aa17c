"""Segment Anything (Kirillov et al. 2023): one encoding per image, then masks for any number of points.

The network is `transformers.SamModel`, imported only when it is used. Images are prepared in this module, because the library's
processors need torchvision. Weights come from a Hugging Face id or folder, or from the original ``.pth`` file.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from cryopick.errors import FileError, MissingExtraError
from cryopick.models import sam_keys
from cryopick.models.checkpoints import PICKLES, read_state
from cryopick.models.weights import fit

if TYPE_CHECKING:
    from transformers import SamModel

MEAN = (123.675, 116.28, 103.53)
DEVIATION = (58.395, 57.12, 57.375)
REMEDY = (
    "Give the Hugging Face id facebook/sam-vit-huge (or -large, -base), a folder with such a model, or the original "
    "sam_vit_h_4b8939.pth from https://github.com/facebookresearch/segment-anything"
)


def long_side_hw(shape_hw: tuple[int, int], side: int) -> tuple[int, int]:
    """Return the height and width that make the longer side `side`, rounded to whole pixels."""
    factor = side / max(shape_hw)
    return int(shape_hw[0] * factor + 0.5), int(shape_hw[1] * factor + 0.5)


class Sam:
    """Segment Anything, prompted by points.

    Its input is a square of `side` pixels: the resized image in the top left corner, zeros elsewhere.
    """

    def __init__(self, model: "SamModel") -> None:
        self.model = model
        self.model.train(False)
        vision: Any = model.config.vision_config
        self.side: int = vision.image_size

    @torch.inference_mode()
    def encode(self, image: NDArray[np.uint8]) -> Tensor:
        """Encode a grey image uint8 (h, w) for `decode`: float32 (1, channels, side / 16, side / 16)."""
        grey = torch.from_numpy(np.ascontiguousarray(image)).to(self.model.device, torch.float32)[None, None]
        height, width = long_side_hw(image.shape, self.side)
        if (height, width) != image.shape:
            grey = functional.interpolate(grey, (height, width), mode="bilinear", align_corners=False, antialias=True)
        colours = (grey - grey.new_tensor(MEAN).view(1, 3, 1, 1)) / grey.new_tensor(DEVIATION).view(1, 3, 1, 1)
        square = functional.pad(colours, (0, self.side - width, 0, self.side - height))
        return cast(Tensor, self.model.get_image_embeddings(square))

    @torch.inference_mode()
    def decode(self, code: Tensor, points: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
        """Predict three masks for every point (n, 2), x and y in pixels of the square input.

        Returns logits (n, 3, side / 4, side / 4) over the whole square, positive inside, and predicted IoUs (n, 3), which may
        slightly exceed 1.
        """
        prompts = torch.as_tensor(points, dtype=torch.float32, device=code.device)[None, :, None, :]
        output = self.model(image_embeddings=code, input_points=prompts, multimask_output=True)
        return output.pred_masks[0], output.iou_scores[0]


def load_sam(source: str | Path, *, device: torch.device | str = "cpu") -> Sam:
    """Load Segment Anything in float32 from a Hugging Face folder or id, or from an original ``.pth`` file.

    Loading is strict and runs no pickled code. Raises `FileError` if there is no such model, and
    `MissingExtraError` if `transformers` is not installed.
    """
    try:
        from transformers import SamModel, utils
    except ImportError as error:
        raise MissingExtraError("sam", "Segment Anything") from error
    path = Path(source).expanduser()
    if path.is_file():
        return Sam(_from_original(path).to(device))
    if not path.is_dir() and not _may_be_id(str(source)):
        raise FileError(path, "does not exist", REMEDY)
    notices: Any = utils.logging
    notices.disable_progress_bar()
    try:
        loaded: Any = SamModel.from_pretrained(
            str(path if path.is_dir() else source), output_loading_info=True, dtype=torch.float32
        )
    except (OSError, ValueError) as error:
        raise FileError(path, "contains no readable Segment Anything model", REMEDY) from error
    model, info = loaded
    if info["missing_keys"] or info["mismatched_keys"]:
        keys = sorted(map(str, [*info["missing_keys"], *info["mismatched_keys"]]))
        raise FileError(path, f"lacks {len(keys)} of Segment Anything's tensors: {', '.join(keys[:5])}", REMEDY)
    return Sam(model.to(device))


def _may_be_id(source: str) -> bool:
    """Return whether a name can be a Hugging Face id (owner/model); nothing else is looked up over the network."""
    owner, _, model = source.partition("/")
    named = bool(owner and model) and "/" not in model and Path(model).suffix not in PICKLES
    return named and not Path(owner).expanduser().exists()


def _from_original(path: Path) -> Any:
    from transformers import SamConfig, SamModel

    state, _ = read_state(path)
    if not sam_keys.is_original(state):
        raise FileError(path, f"is not a Segment Anything checkpoint: it lacks {sam_keys.POSITIONS}", REMEDY)
    try:
        sizes: dict[str, Any] = sam_keys.configuration(state)
    except KeyError as error:
        raise FileError(path, f"is a Segment Anything checkpoint but lacks {error.args[0]}", REMEDY) from error
    model = SamModel(SamConfig(**sizes))
    fit(model, sam_keys.renamed(state), path)
    return model
