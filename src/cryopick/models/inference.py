"""Runs a network as fast as the processor can without changing what it says."""

import logging
from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

logger = logging.getLogger(__name__)


class Shaped(Protocol):
    """An array or a tensor."""

    @property
    def shape(self) -> Sequence[int]: ...


Picture = TypeVar("Picture", bound=Shaped)


class FastNetwork(nn.Module):
    """A network for inference: pixels beside each other in memory, and bfloat16 where that pays and changes nothing.

    Takes and gives what the network does, always float32. bfloat16 is used only on processors that multiply it faster than
    float32, and only when no probability (sigmoid of the result) of the example moves by more than the tolerance.

    Parameters
    ----------
    network : its memory layout is changed in place.
    example : a picture (n, c, h, w) of the kind to come, on the network's device; a part of one will do.
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
            logger.info("bfloat16 moves probabilities by up to %.1e: %s", moved, "used" if self.in_bfloat16 else "not used")

    @torch.inference_mode()
    def forward(self, pictures: Tensor) -> Tensor:
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        with torch.autocast(pictures.device.type, torch.bfloat16, enabled=self.in_bfloat16):
            logits: Tensor = self.network(pictures)
        return logits.float()


def bfloat16_pays(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 itself; others imitate it, several times slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # not there before torch 2.10
    return device.type == "cpu" and any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))


def batches(pictures: Sequence[Picture], at_once: int) -> Iterator[tuple[list[int], list[Picture]]]:
    """Pictures of one shape together, at most so many, with their places in the sequence; in its order but for that."""
    alike: dict[tuple[int, ...], list[int]] = {}
    for place, picture in enumerate(pictures):
        alike.setdefault(tuple(picture.shape), []).append(place)
    for places in alike.values():
        for first in range(0, len(places), at_once):
            batch = places[first : first + at_once]
            yield batch, [pictures[place] for place in batch]
