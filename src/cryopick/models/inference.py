"""Fast inference that preserves a network's results."""

import logging
from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from cryopick.errors import SettingError

logger = logging.getLogger(__name__)


class Shaped(Protocol):
    """An array or a tensor."""

    @property
    def shape(self) -> Sequence[int]:
        """Size along every axis."""
        ...


Image = TypeVar("Image", bound=Shaped)


class FastNetwork(nn.Module):
    """A network for inference, with channels-last memory and, if it is faster and exact enough, bfloat16.

    bfloat16 is used only on processors with native support, and only if no probability (sigmoid of the result) of the example
    changes by more than the tolerance. Inputs and results are float32.

    Parameters
    ----------
    network : changed in place to evaluation mode and channels-last memory.
    example : a typical image (n, c, h, w), or a part of one, on the network's device.
    tolerance : largest accepted change of a probability.
    """

    def __init__(self, network: nn.Module, example: Tensor, *, tolerance: float = 1e-3) -> None:
        super().__init__()
        self.network = network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.in_bfloat16 = False
        if bfloat16_pays(example.device):
            exact = self(example).sigmoid()
            self.in_bfloat16 = True
            moved = float((self(example).sigmoid() - exact).abs().max())
            self.in_bfloat16 = moved <= tolerance
            logger.info("bfloat16 changes probabilities by up to %.1e: %s", moved, "used" if self.in_bfloat16 else "not used")

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        """Return the network's result for images (n, c, h, w), as float32."""
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.in_bfloat16):
            logits: Tensor = self.network(images)
        return logits.float()


def require_device(device: torch.device | str) -> None:
    """Raise `SettingError` for a device that PyTorch does not know or cannot use here."""
    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise SettingError(f"there is no device {device!r}; use 'cpu' or 'cuda'") from None
    if kind == "cuda" and not torch.cuda.is_available():
        raise SettingError("no CUDA device can be used here; use the device 'cpu', or check the driver and the installed PyTorch")


def bfloat16_pays(device: torch.device) -> bool:
    """Return whether a device has native bfloat16; emulation is several times slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # new in torch 2.10
    return device.type == "cpu" and any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))


def batches(images: Sequence[Image], at_once: int) -> Iterator[tuple[list[int], list[Image]]]:
    """Group images of the same shape into batches of at most `at_once`.

    Yields the indices of a batch in the sequence and its images; the order within a shape is kept.
    """
    alike: dict[tuple[int, ...], list[int]] = {}
    for place, image in enumerate(images):
        alike.setdefault(tuple(image.shape), []).append(place)
    for places in alike.values():
        for first in range(0, len(places), at_once):
            batch = places[first : first + at_once]
            yield batch, [images[place] for place in batch]
