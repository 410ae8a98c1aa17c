"""The attention-gated U-Net of CryoSegNet (Gyawali et al. 2024), at any width and depth.

The modules carry the published names (`e1…`, `b1`, `d1…`, `output`), so that the authors' state dicts load as they are.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from cryopick.errors import SettingError
from cryopick.models.architectures import Architecture, Settings

LEVELS = range(1, 7)


class AttentionUNet(nn.Module):
    """Grey values (n, 1, h, w) in [0, 1] to maps of logits (n, maps, h, w); a sigmoid makes probabilities of them.

    Any h and w: the picture is continued by its last row and column to a multiple of `stride`, and the map is cut back. The
    published network is `width=64, levels=5` (131 million parameters) on 1024 × 1024 pixels.

    Parameters
    ----------
    width : channels of the first block; each level doubles them.
    levels : how often the picture is halved, 1 to 6.
    maps : of the result; the published network has one.
    gates : weigh the skips by attention, as published; without, they are joined as they are (a plain U-Net).
    """

    def __init__(self, width: int = 64, levels: int = 5, maps: int = 1, *, gates: bool = True) -> None:
        super().__init__()
        if width < 1 or levels not in LEVELS:
            raise SettingError(f"an attention U-Net of width {width} and {levels} levels cannot be; width ≥ 1, levels 1 to 6")
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
        """Pixels per pixel of the bottleneck: sides that are a multiple of it need no padding."""
        return 1 << self.levels

    def forward(self, image: Tensor) -> Tensor:
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
    """Twice: 3 × 3 convolution, batch normalisation, ReLU."""

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
        result: Tensor = self.conv(signal)
        return result


class EncoderBlock(nn.Module):
    """A double convolution whose result is the skip; the pooling that follows has no weights."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv = DoubleConv(before, after)

    def forward(self, signal: Tensor) -> Tensor:
        result: Tensor = self.conv(signal)
        return result


class AttentionGate(nn.Module):
    """Weighs every value of the skip by how well it agrees with the signal from below."""

    def __init__(self, gate: int, skip: int) -> None:
        super().__init__()
        self.Wg = nn.Sequential(nn.Conv2d(gate, skip, 1), nn.BatchNorm2d(skip))
        self.Ws = nn.Sequential(nn.Conv2d(skip, skip, 1), nn.BatchNorm2d(skip))
        self.output = nn.Sequential(nn.Conv2d(skip, skip, 1), nn.Sigmoid())

    def forward(self, gate: Tensor, skip: Tensor) -> Tensor:
        agreement = functional.relu(self.Wg(gate) + self.Ws(skip), inplace=True)
        gated: Tensor = self.output(agreement) * skip
        return gated


class DecoderBlock(nn.Module):
    """Upsamples the signal, joins it with the skip, gated or as it is, and convolves both."""

    def __init__(self, below: int, skip: int, *, gated: bool) -> None:
        super().__init__()
        self.ag = AttentionGate(below, skip) if gated else None
        self.c1 = DoubleConv(below + skip, skip)

    def forward(self, signal: Tensor, skip: Tensor) -> Tensor:
        signal = functional.interpolate(signal, scale_factor=2, mode="bilinear", align_corners=True)
        kept = skip if self.ag is None else self.ag(signal, skip)
        result: Tensor = self.c1(torch.cat([signal, kept], dim=1))
        return result


def settings_of(state: Mapping[str, Tensor]) -> Settings | None:
    """Width, levels, maps and gates of the U-Net that a state dict belongs to; None when its keys are another network's."""
    first, last = state.get("e1.conv.conv.0.weight"), state.get("output.weight")
    levels = sum(f"d{level}.c1.conv.0.weight" in state for level in LEVELS)
    if first is None or levels == 0:
        return None
    sizes = {"width": first.shape[0], "levels": levels, "maps": 1 if last is None else last.shape[0]}
    return sizes if "d1.ag.Wg.0.weight" in state else {**sizes, "gates": False}


ARCHITECTURE = Architecture(
    build=AttentionUNet,
    settings_of=settings_of,
    published="CryoSegNet's weights are published with its program at https://github.com/jianlin-cheng/CryoSegNet",
    licence="MIT",
)
