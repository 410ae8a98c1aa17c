"""ResNet-18/34/50/101/152 (He et al. 2016) as a feature extractor, with batch normalisation frozen as in DETR.

Modules have torchvision's names, so published state dicts can be loaded.
"""

from typing import Literal

import torch
from torch import Tensor, nn

Depth = Literal[18, 34, 50, 101, 152]
_BLOCKS: dict[int, tuple[int, int, int, int]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}


class FrozenBatchNorm2d(nn.Module):
    """Batch normalisation with fixed statistics and scale: detection batches are too small to estimate them."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Scale and shift the channels of (B, C, H, W)."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        return x * scale[:, None, None] + shift[:, None, None]


class BasicBlock(nn.Module):
    """Two 3 × 3 convolutions and a shortcut (ResNet-18 and -34)."""

    expansion = 1

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = FrozenBatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = FrozenBatchNorm2d(channels)
        self.downsample = _shortcut(channels_in, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, channels, H / stride, W / stride)."""
        y = self.bn1(self.conv1(x)).relu()
        y = self.bn2(self.conv2(y))
        result: Tensor = (y + (x if self.downsample is None else self.downsample(x))).relu()
        return result


class Bottleneck(nn.Module):
    """1 × 1, 3 × 3 (with the stride) and 1 × 1 convolutions to four times the channels, and a shortcut (ResNet-50 and deeper)."""

    expansion = 4

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 1, bias=False)
        self.bn1 = FrozenBatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
        self.bn2 = FrozenBatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, channels * self.expansion, 1, bias=False)
        self.bn3 = FrozenBatchNorm2d(channels * self.expansion)
        self.downsample = _shortcut(channels_in, channels * self.expansion, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, 4 · channels, H / stride, W / stride)."""
        y = self.bn1(self.conv1(x)).relu()
        y = self.bn2(self.conv2(y)).relu()
        y = self.bn3(self.conv3(y))
        result: Tensor = (y + (x if self.downsample is None else self.downsample(x))).relu()
        return result


class ResNet(nn.Module):
    """The network: images (B, 3, H, W) to features (B, `channels`, ⌈H/32⌉, ⌈W/32⌉) of the last stage.

    Parameters
    ----------
    depth : 18, 34, 50, 101 or 152.
    width : channels of the first convolution, 64 as published; each stage after the first doubles them.
    """

    def __init__(self, depth: Depth = 152, *, width: int = 64) -> None:
        super().__init__()
        block = BasicBlock if depth < 50 else Bottleneck
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = FrozenBatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        counts = _BLOCKS[depth]
        self.layer1 = _stage(block, width, width, counts[0], 1)
        self.layer2 = _stage(block, width * block.expansion, 2 * width, counts[1], 2)
        self.layer3 = _stage(block, 2 * width * block.expansion, 4 * width, counts[2], 2)
        self.layer4 = _stage(block, 4 * width * block.expansion, 8 * width, counts[3], 2)
        self.channels = 8 * width * block.expansion

    def forward(self, x: Tensor) -> Tensor:
        """Return features (B, `channels`, ⌈H/32⌉, ⌈W/32⌉) of images (B, 3, H, W)."""
        x = self.maxpool(self.bn1(self.conv1(x)).relu())
        features: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return features

    def freeze_stem(self) -> None:
        """Exclude the first convolution and the first stage from training, as DETR does."""
        for part in (self.conv1, self.layer1):
            part.requires_grad_(False)


def _shortcut(channels_in: int, channels: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and channels_in == channels:
        return None
    return nn.Sequential(nn.Conv2d(channels_in, channels, 1, stride, bias=False), FrozenBatchNorm2d(channels))


def _stage(block: type[BasicBlock] | type[Bottleneck], channels_in: int, channels: int, count: int, stride: int) -> nn.Sequential:
    blocks: list[nn.Module] = [block(channels_in, channels, stride)]
    blocks += [block(channels * block.expansion, channels, 1) for _ in range(count - 1)]
    return nn.Sequential(*blocks)
