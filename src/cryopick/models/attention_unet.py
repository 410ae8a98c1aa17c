"""The attention-gated U-Net of CryoSegNet (Gyawali et al. 2024), at any width and depth.

Modules have the published names (`e1…`, `b1`, `d1…`, `output`), so the authors' state dicts load unchanged.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from cryopick.errors import SettingError
from cryopick.models.architectures import Architecture, Settings

LEVELS = range(1, 7)


class AttentionUNet(nn.Module):
    """The network: grey values (n, 1, h, w) in [0, 1] to logits (n, maps, h, w).

    Images of any size are padded to a multiple of `stride` by repeating their last row and column, and the result is cropped
    back. The published network is `width=64, levels=5` (131 million parameters) on 1024 × 1024 pixels.

    Parameters
    ----------
    width : channels of the first block; each level doubles them.
    levels : number of times the image is halved, 1 to 6.
    maps : number of output maps; one as published.
    gates : weight the skip connections by attention, as published; if false, the network is a plain U-Net.
    """

    def __init__(self, width: int = 64, levels: int = 5, maps: int = 1, *, gates: bool = True) -> None:
        super().__init__()
        if width < 1 or levels not in LEVELS:
            raise SettingError(f"width must be at least 1 and levels 1 to 6, got width {width} and {levels} levels")
        self.width = width
        self.levels = levels
        channels = [width * 2**level for level in range(levels + 1)]
        for level in range(levels):
            self.add_module(f"e{level + 1}", EncoderBlock(1 if level == 0 else channels[level - 1], channels[level]))
        self.b1 = DoubleConv(channels[-2], channels[-1])
        for level in range(levels):
            below, skip = channels[levels - level], channels[levels - level - 1]
            self.add_module(f"d{level + 1}", DecoderBlock(below, skip, gated=gates))
        self.output = nn.Conv2d(width, maps, 1)

    @property
    def stride(self) -> int:
        """Pixels per pixel of the bottleneck; images whose sides are multiples of it need no padding."""
        return 1 << self.levels

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (n, maps, h, w) of images (n, 1, h, w) in [0, 1]."""
        height, width = image.shape[-2:]
        signal = functional.pad(image, (0, -width % self.stride, 0, -height % self.stride), mode="replicate")
        skips = []
        for level in range(self.levels):
            skip = self.get_submodule(f"e{level + 1}")(signal)
            skips.append(skip)
            signal = functional.max_pool2d(skip, 2)
        signal = self.b1(signal)
        for level in range(self.levels):
            signal = self.get_submodule(f"d{level + 1}")(signal, skips.pop())
        logits: Tensor = self.output(signal)
        return logits[..., :height, :width]


class DoubleConv(nn.Module):
    """Two 3 × 3 convolutions, each with batch normalisation and ReLU."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(before, after, 3, padding=1),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
            nn.Conv2d(after, after, 3, padding=1),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
        )

    def forward(self, signal: Tensor) -> Tensor:
        """Map (n, before, h, w) to (n, after, h, w)."""
        result: Tensor = self.conv(signal)
        return result


class EncoderBlock(nn.Module):
    """A double convolution whose result is the skip connection; the pooling that follows has no weights."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv = DoubleConv(before, after)

    def forward(self, signal: Tensor) -> Tensor:
        """Map (n, before, h, w) to (n, after, h, w)."""
        result: Tensor = self.conv(signal)
        return result


class AttentionGate(nn.Module):
    """Weights every value of a skip connection by its agreement with the signal from below."""

    def __init__(self, gate: int, skip: int) -> None:
        super().__init__()
        self.Wg = nn.Sequential(nn.Conv2d(gate, skip, 1), nn.BatchNorm2d(skip))
        self.Ws = nn.Sequential(nn.Conv2d(skip, skip, 1), nn.BatchNorm2d(skip))
        self.output = nn.Sequential(nn.Conv2d(skip, skip, 1), nn.Sigmoid())

    def forward(self, gate: Tensor, skip: Tensor) -> Tensor:
        """Return the skip connection (n, skip, h, w), weighted by a signal (n, gate, h, w)."""
        agreement = functional.relu(self.Wg(gate) + self.Ws(skip), inplace=True)
        gated: Tensor = self.output(agreement) * skip
        return gated


class DecoderBlock(nn.Module):
    """Upsamples the signal, concatenates the skip connection, gated or not, and convolves both."""

    def __init__(self, below: int, skip: int, *, gated: bool) -> None:
        super().__init__()
        self.ag = AttentionGate(below, skip) if gated else None
        self.c1 = DoubleConv(below + skip, skip)

    def forward(self, signal: Tensor, skip: Tensor) -> Tensor:
        """Map a signal (n, below, h / 2, w / 2) and a skip connection (n, skip, h, w) to (n, skip, h, w)."""
        signal = functional.interpolate(signal, scale_factor=2, mode="bilinear", align_corners=True)
        kept = skip if self.ag is None else self.ag(signal, skip)
        result: Tensor = self.c1(torch.cat([signal, kept], dim=1))
        return result


def infer_settings(state: Mapping[str, Tensor]) -> Settings | None:
    """Infer width, levels, maps and gates from a state dict; None if it belongs to another network."""
    first, last = state.get("e1.conv.conv.0.weight"), state.get("output.weight")
    levels = sum(f"d{level}.c1.conv.0.weight" in state for level in LEVELS)
    if first is None or levels == 0:
        return None
    sizes = {"width": first.shape[0], "levels": levels, "maps": 1 if last is None else last.shape[0]}
    return sizes if "d1.ag.Wg.0.weight" in state else {**sizes, "gates": False}


ARCHITECTURE = Architecture(
    build=AttentionUNet,
    infer_settings=infer_settings,
    published="The weights of CryoSegNet are at https://github.com/jianlin-cheng/CryoSegNet",
    licence="MIT",
)
