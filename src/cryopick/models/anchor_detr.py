"""A compact DETR for particles of known size, with one query per anchor of a grid, so it works on images of any size.

It has the parts of DETR (Carion et al. 2020): convolutional features, a transformer encoder and decoder, and boxes by set
prediction. Three changes let it train on little data: queries start at anchors and move from layer to layer (DAB-DETR, Liu et
al. 2022), content and position are compared separately (Conditional DETR, Meng et al. 2021), and only the coarser of two feature
scales goes through the encoder (RT-DETR, Zhao et al. 2024).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cryopick.errors import SettingError
from cryopick.models.architectures import Architecture, Settings, State

CELL, ANCHOR = 4, 8
"""Pixels per cell of the decoder's features, and between anchors; the latter is also the encoder's scale."""
MAPS = 3
"""Number of auxiliary maps: centres, whole particles and junk."""
MAX_MOVE = 8.0
"""Largest move of a query in one layer, in pixels."""
WAVELENGTHS = (10.0, 600.0)
"""Shortest and longest wavelength of the position encoding, in pixels."""
POSITION_WEIGHT = 3.0
"""Initial weight of positions: attention starts within about one particle."""
INITIAL_LOGIT = -3.0
"""Initial logit of a query: most anchors belong to no particle."""


class AnchorOutput(NamedTuple):
    """Output of every decoder layer, last layer last.

    Attributes
    ----------
    logits : (layers, B, N), of being a particle; the N anchors are in row-major order.
    boxes : (layers, B, N, 3), centre x, centre y and diameter in pixels of the image.
    maps : (B, 3, H, W), logits of centres, whole particles and junk, predicted from the decoder's features as an auxiliary
        task; only in training mode.
    """

    logits: Tensor
    boxes: Tensor
    maps: Tensor | None


class AnchorDetr(nn.Module):
    """The network: standardised images (B, 1, H, W), H and W multiples of `ANCHOR`, to `AnchorOutput`.

    Parameters
    ----------
    particle_px : approximate particle diameter in pixels.
    width : channels of the transformer; a multiple of four times `heads`.
    heads : attention heads.
    feedforward : hidden channels of the perceptrons.
    encoder, decoder : numbers of layers.
    channels : of the convolutions at 1, ½, ¼ and ⅛ of the image's size.
    """

    def __init__(
        self,
        particle_px: float = 12.0,
        *,
        width: int = 128,
        heads: int = 4,
        feedforward: int = 256,
        encoder: int = 2,
        decoder: int = 2,
        channels: tuple[int, int, int, int] = (24, 32, 64, 128),
    ) -> None:
        super().__init__()
        if width % (4 * heads) or min(encoder, decoder) < 1:
            raise SettingError(
                f"width must be a multiple of 4 × heads ({4 * heads}) and encoder and decoder at least 1, "
                f"got width {width}, encoder {encoder}, decoder {decoder}"
            )
        self.particle_px, self.width, self.heads = particle_px, width, heads
        self.features = Features(channels)
        self.fine = nn.Conv2d(channels[2], width, 1)
        self.coarse = nn.Conv2d(channels[3], width, 1)
        self.encoder = nn.ModuleList([EncoderLayer(width, heads, feedforward) for _ in range(encoder)])
        self.fuse = _convolution(width, width, 3)
        self.maps = nn.Conv2d(width, MAPS * CELL**2, 1)
        self.ask = nn.Conv2d(width, width, ANCHOR // CELL, ANCHOR // CELL)
        self.decoder = nn.ModuleList([DecoderLayer(width, heads, feedforward) for _ in range(decoder)])
        self.norm = nn.LayerNorm(width)
        self.labels = nn.ModuleList([_label(width) for _ in range(decoder)])
        self.moves = nn.ModuleList([_mover(width) for _ in range(decoder)])

    def forward(self, images: Tensor) -> AnchorOutput:
        """Predict particles in standardised images (B, 1, H, W)."""
        memory = self._memory(images)
        tokens, places = memory.flatten(2).transpose(1, 2), self._code(cell_centres(memory.shape[-2:], CELL).to(memory.device))
        asked = self.ask(memory)
        state = asked.flatten(2).transpose(1, 2)
        centre = cell_centres(asked.shape[-2:], ANCHOR).to(memory.device).expand(len(memory), -1, -1)
        size = torch.full_like(centre[..., :1], self.particle_px)
        logits, boxes = [], []
        for layer, label, move in zip(self.decoder, self.labels, self.moves, strict=True):
            state = layer(state, self._code(centre), tokens, places)
            said = self.norm(state)
            box = refine_boxes(centre, size, move(said))
            logits.append(label(said)[..., 0])
            boxes.append(box)
            centre, size = box[..., :2].detach(), box[..., 2:].detach()
        maps = F.pixel_shuffle(self.maps(memory), CELL) if self.training else None
        return AnchorOutput(torch.stack(logits), torch.stack(boxes), maps)

    def _memory(self, images: Tensor) -> Tensor:
        """Return the decoder's features (B, width, H/4, W/4): fine ones plus coarse ones with global context."""
        fine, coarse = self.features(images)
        coarse = self.coarse(coarse)
        tokens, places = coarse.flatten(2).transpose(1, 2), self._code(cell_centres(coarse.shape[-2:], ANCHOR).to(coarse.device))
        for layer in self.encoder:
            tokens = layer(tokens, places)
        coarse = tokens.transpose(1, 2).reshape(coarse.shape)
        wide = F.interpolate(coarse, scale_factor=ANCHOR / CELL, mode="bilinear", align_corners=False)
        memory: Tensor = self.fuse(self.fine(fine) + wide)
        return memory

    def _code(self, xy: Tensor) -> Tensor:
        return position_encoding(xy, self.width, self.heads)


def cell_centres(shape_hw: tuple[int, int] | torch.Size, step: int) -> Tensor:
    """Return the centres (1, h · w, 2) of square cells of `step` pixels in row-major order, as (x, y) in pixels."""
    rows, columns = ((torch.arange(count) + 0.5) * step - 0.5 for count in shape_hw)
    return torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1).reshape(1, -1, 2)


def refine_boxes(centre: Tensor, size: Tensor, change: Tensor) -> Tensor:
    """Move boxes with centres (…, 2) and diameters (…, 1) by a network's output (…, 3); return (…, 3).

    A centre moves by up to `MAX_MOVE` along each axis; a diameter changes by a factor between e^−1.5 and e^1.5.
    """
    return torch.cat((centre + MAX_MOVE * change[..., :2].tanh(), size * change[..., 2:].clamp(-1.5, 1.5).exp()), dim=-1)


def position_encoding(xy: Tensor, width: int, heads: int) -> Tensor:
    """Encode points (…, 2) as sines and cosines (…, width) at width / 4 wavelengths; every head's channels cover all scales.

    The dot product of two encodings depends on the distance of the points along each axis and is largest at zero distance.
    """
    shortest, longest = WAVELENGTHS
    exponent = torch.arange(width // 4, dtype=torch.float32, device=xy.device) / (width // 4 - 1)
    frequency = (2 * math.pi / shortest * (shortest / longest) ** exponent).view(-1, heads).T.reshape(-1)
    angle = xy[..., None, :] * frequency[:, None]
    return torch.cat((angle.sin(), angle.cos()), dim=-1).flatten(-2)


class Features(nn.Module):
    """A small residual network: images (B, 1, H, W) to features at ¼ and ⅛ of their size."""

    def __init__(self, channels: tuple[int, int, int, int]) -> None:
        super().__init__()
        full, half, quarter, eighth = channels
        self.stem = nn.Sequential(_convolution(1, full, 5), _convolution(full, half, 3, stride=2), Residual(half, half))
        self.quarter = nn.Sequential(Residual(half, quarter, 2), Residual(quarter, quarter))
        self.eighth = nn.Sequential(Residual(quarter, eighth, 2), Residual(eighth, eighth))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B, C, H/4, W/4) and (B, C, H/8, W/8)."""
        quarter = self.quarter(self.stem(images))
        return quarter, self.eighth(quarter)


class Residual(nn.Module):
    """Two 3 × 3 convolutions with batch normalisation, and a shortcut."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.first = _convolution(before, after, 3, stride=stride)
        self.second = nn.Sequential(nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after))
        same = before == after and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(before, after, 1, stride)

    def forward(self, signal: Tensor) -> Tensor:
        """Map (B, before, H, W) to (B, after, H / stride, W / stride)."""
        result: Tensor = (self.second(self.first(signal)) + self.shortcut(signal)).relu()
        return result


class Attention(nn.Module):
    """Multi-head attention that compares content and position separately and adds both products before the softmax.

    The position of a query is its encoding times a factor per channel that depends on its content.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.result = (nn.Linear(width, width) for _ in range(4))
        self.where = nn.Linear(width, width, bias=False)
        self.place = nn.Linear(width, width, bias=False)
        last = nn.Linear(width, width)
        self.factor = nn.Sequential(nn.Linear(width, width), nn.ReLU(), last)
        with torch.no_grad():
            self.where.weight.copy_(torch.eye(width) * POSITION_WEIGHT)
            self.place.weight.copy_(torch.eye(width))
            last.weight.mul_(0.1)
            last.bias.fill_(1.0)

    def forward(self, state: Tensor, at: Tensor, memory: Tensor, places: Tensor) -> Tensor:
        """Attend from `state` (B, n, C) at positions `at` to `memory` (B, m, C) at `places`; return (B, n, C).

        Positions are encoded, (B or 1, …, C).
        """
        where = self.where(at) * self.factor(state)
        places = self.place(places).expand(len(memory), -1, -1)
        query = torch.cat((self._split(self.query(state)), self._split(where)), dim=-1)
        key = torch.cat((self._split(self.key(memory)), self._split(places)), dim=-1)
        seen = F.scaled_dot_product_attention(query, key, self._split(self.value(memory)))
        result: Tensor = self.result(seen.transpose(1, 2).flatten(2))
        return result

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.reshape(*tokens.shape[:2], self.heads, -1).transpose(1, 2)


class EncoderLayer(nn.Module):
    """Self-attention among the image's cells, then a perceptron; normalising before each needs no long warm-up."""

    def __init__(self, width: int, heads: int, feedforward: int) -> None:
        super().__init__()
        self.among = Attention(width, heads)
        self.perceptron = _perceptron(width, feedforward, width)
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(2)])

    def forward(self, tokens: Tensor, places: Tensor) -> Tensor:
        """Update tokens (B, m, C) at encoded positions (1, m, C)."""
        normed = self.norms[0](tokens)
        tokens = tokens + self.among(normed, places, normed, places)
        result: Tensor = tokens + self.perceptron(self.norms[1](tokens))
        return result


class DecoderLayer(nn.Module):
    """Self-attention among the queries, attention to the image, then a perceptron."""

    def __init__(self, width: int, heads: int, feedforward: int) -> None:
        super().__init__()
        self.among, self.across = Attention(width, heads), Attention(width, heads)
        self.perceptron = _perceptron(width, feedforward, width)
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(3)])

    def forward(self, state: Tensor, at: Tensor, memory: Tensor, places: Tensor) -> Tensor:
        """Update queries (B, n, C); the arguments are those of `Attention.forward`."""
        normed = self.norms[0](state)
        state = state + self.among(normed, at, normed, at)
        state = state + self.across(self.norms[1](state), at, memory, places)
        result: Tensor = state + self.perceptron(self.norms[2](state))
        return result


def _convolution(before: int, after: int, size: int, *, stride: int = 1) -> nn.Sequential:
    kernel = nn.Conv2d(before, after, size, stride, size // 2, bias=False)
    return nn.Sequential(kernel, nn.BatchNorm2d(after), nn.ReLU())


def _perceptron(before: int, hidden: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(before, hidden), nn.ReLU(), nn.Linear(hidden, after))


def _label(width: int) -> nn.Linear:
    """Make the layer from a query's state to its logit; before training, hardly any query is a particle."""
    label = nn.Linear(width, 1)
    nn.init.constant_(label.bias, INITIAL_LOGIT)
    return label


def _mover(width: int) -> nn.Sequential:
    """Make the layers from a query's state to the change of its box; before training, there is none."""
    mover = _perceptron(width, width, 3)
    for parameter in mover[2].parameters():
        nn.init.zeros_(parameter)
    return mover


def infer_settings(state: State) -> Settings | None:
    """Return None: the particle size cannot be inferred from shapes, so weights of this network need a card."""
    return None


ARCHITECTURE = Architecture(
    build=AnchorDetr,
    infer_settings=infer_settings,
    published="The weights of the picker detr come with the package; cryopick train trains others",
    licence="MIT",
)
