"""A compact DETR for particles of a known size: one query for each anchor of a grid, so that a picture of any size has enough.

The parts of DETR (Carion et al. 2020) — convolutional features, a transformer's encoder and decoder, boxes by set prediction —
with three changes that let it learn from few pictures: queries start at anchors and move from layer to layer (DAB-DETR, Liu et
al. 2022), what is asked and where are compared apart (Conditional DETR, Meng et al. 2021), and only the coarser of two scales of
features goes through the encoder (RT-DETR, Zhao et al. 2024).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cryopick.errors import SettingError
from cryopick.models.architectures import Architecture, Settings, State

CELL, ANCHOR = 4, 8
"""Pixels between the features that queries look at, and between anchors, which is also the encoder's scale."""
MAPS = 3
REACH = 8.0
"""How far a query moves in one layer, in pixels."""
WAVELENGTHS = (10.0, 600.0)
"""Shortest and longest wave of the code of a place, in pixels."""
SHARPNESS = 3.0
"""How much nearer places weigh more before anything is learnt: attention within about a particle."""
RARE = -3.0
"""First logit of a query: most anchors are no particle's."""


class AnchorOutput(NamedTuple):
    """What every decoder layer says, last layer last.

    Attributes
    ----------
    logits : (layers, B, N), of being a particle; the anchors row by row.
    boxes : (layers, B, N, 3), centre x and y, in pixels of the picture, and diameter.
    maps : (B, 3, H, W), logits of centres, whole particles and junk, read off the features that queries look at; to teach those
        features where things are, and therefore only while training.
    """

    logits: Tensor
    boxes: Tensor
    maps: Tensor | None


class AnchorDetr(nn.Module):
    """Pictures (B, 1, H, W), standardised, H and W multiples of `ANCHOR`, to `AnchorOutput`.

    Parameters
    ----------
    particle_px : diameter in pixels that particles have, more or less.
    width : channels of the transformer; a multiple of four times `heads`.
    channels : of the convolutions at 1, ½, ¼ and ⅛ of the picture's size.
    encoder, decoder : numbers of layers.
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
            raise SettingError(f"width ({width}) must be a multiple of 4 · {heads} heads, and there must be layers")
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

    def forward(self, pictures: Tensor) -> AnchorOutput:
        memory = self._memory(pictures)
        tokens, places = memory.flatten(2).transpose(1, 2), self._code(grid(memory.shape[-2:], CELL).to(memory.device))
        asked = self.ask(memory)
        state = asked.flatten(2).transpose(1, 2)
        centre = grid(asked.shape[-2:], ANCHOR).to(memory.device).expand(len(memory), -1, -1)
        size = torch.full_like(centre[..., :1], self.particle_px)
        logits, boxes = [], []
        for layer, label, move in zip(self.decoder, self.labels, self.moves, strict=True):
            state = layer(state, self._code(centre), tokens, places)
            said = self.norm(state)
            box = move_boxes(centre, size, move(said))
            logits.append(label(said)[..., 0])
            boxes.append(box)
            centre, size = box[..., :2].detach(), box[..., 2:].detach()
        maps = F.pixel_shuffle(self.maps(memory), CELL) if self.training else None
        return AnchorOutput(torch.stack(logits), torch.stack(boxes), maps)

    def _memory(self, pictures: Tensor) -> Tensor:
        """What queries look at, (B, width, H/4, W/4): fine features, and coarse ones that have seen the whole picture."""
        fine, coarse = self.features(pictures)
        coarse = self.coarse(coarse)
        tokens, places = coarse.flatten(2).transpose(1, 2), self._code(grid(coarse.shape[-2:], ANCHOR).to(coarse.device))
        for layer in self.encoder:
            tokens = layer(tokens, places)
        coarse = tokens.transpose(1, 2).reshape(coarse.shape)
        wide = F.interpolate(coarse, scale_factor=ANCHOR / CELL, mode="bilinear", align_corners=False)
        memory: Tensor = self.fuse(self.fine(fine) + wide)
        return memory

    def _code(self, xy: Tensor) -> Tensor:
        return place_code(xy, self.width, self.heads)


def grid(shape_hw: tuple[int, int] | torch.Size, step: int) -> Tensor:
    """Middles (1, h · w, 2) of square cells of `step` pixels, row by row, as (x, y) in pixels."""
    rows, columns = ((torch.arange(count) + 0.5) * step - 0.5 for count in shape_hw)
    return torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1).reshape(1, -1, 2)


def move_boxes(centre: Tensor, size: Tensor, change: Tensor) -> Tensor:
    """Boxes (…, 3) moved from centres (…, 2) and diameters (…, 1) by a network's answer (…, 3).

    A centre moves by up to `REACH` along each axis; a diameter is multiplied by up to e^1.5, or divided.
    """
    return torch.cat((centre + REACH * change[..., :2].tanh(), size * change[..., 2:].clamp(-1.5, 1.5).exp()), dim=-1)


def place_code(xy: Tensor, width: int, heads: int) -> Tensor:
    """Sines and cosines (…, width) of points (…, 2) at width / 4 wavelengths; every head's share of the channels has all scales.

    The product of two codes depends on the points' distance along each axis, and is largest where they are one.
    """
    shortest, longest = WAVELENGTHS
    exponent = torch.arange(width // 4, dtype=torch.float32, device=xy.device) / (width // 4 - 1)
    frequency = (2 * math.pi / shortest * (shortest / longest) ** exponent).view(-1, heads).T.reshape(-1)
    angle = xy[..., None, :] * frequency[:, None]
    return torch.cat((angle.sin(), angle.cos()), dim=-1).flatten(-2)


class Features(nn.Module):
    """A small residual network: pictures to features at ¼ and at ⅛ of their size."""

    def __init__(self, channels: tuple[int, int, int, int]) -> None:
        super().__init__()
        full, half, quarter, eighth = channels
        self.stem = nn.Sequential(_convolution(1, full, 5), _convolution(full, half, 3, stride=2), Residual(half, half))
        self.quarter = nn.Sequential(Residual(half, quarter, 2), Residual(quarter, quarter))
        self.eighth = nn.Sequential(Residual(quarter, eighth, 2), Residual(eighth, eighth))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        quarter = self.quarter(self.stem(pictures))
        return quarter, self.eighth(quarter)


class Residual(nn.Module):
    """Two 3 × 3 convolutions, normalised over the batch, and a shortcut."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.first = _convolution(before, after, 3, stride=stride)
        self.second = nn.Sequential(nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after))
        same = before == after and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(before, after, 1, stride)

    def forward(self, signal: Tensor) -> Tensor:
        result: Tensor = (self.second(self.first(signal)) + self.shortcut(signal)).relu()
        return result


class Attention(nn.Module):
    """Multi-head attention that compares what and where apart: the two products are added before the softmax.

    Where a query looks is its place's code times a factor for each channel that depends on what it is.
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
            self.where.weight.copy_(torch.eye(width) * SHARPNESS)
            self.place.weight.copy_(torch.eye(width))
            last.weight.mul_(0.1)
            last.bias.fill_(1.0)

    def forward(self, state: Tensor, at: Tensor, memory: Tensor, places: Tensor) -> Tensor:
        """State (B, n, C) with codes `at` of its places, memory (B, m, C) with `places`; codes are (B or 1, …, C)."""
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
    """Attention among the picture's cells, then a perceptron; normalisation before each, which needs no long warm-up."""

    def __init__(self, width: int, heads: int, feedforward: int) -> None:
        super().__init__()
        self.among = Attention(width, heads)
        self.perceptron = _perceptron(width, feedforward, width)
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(2)])

    def forward(self, tokens: Tensor, places: Tensor) -> Tensor:
        normed = self.norms[0](tokens)
        tokens = tokens + self.among(normed, places, normed, places)
        result: Tensor = tokens + self.perceptron(self.norms[1](tokens))
        return result


class DecoderLayer(nn.Module):
    """Attention among the queries, attention to the picture, then a perceptron."""

    def __init__(self, width: int, heads: int, feedforward: int) -> None:
        super().__init__()
        self.among, self.across = Attention(width, heads), Attention(width, heads)
        self.perceptron = _perceptron(width, feedforward, width)
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(3)])

    def forward(self, state: Tensor, at: Tensor, memory: Tensor, places: Tensor) -> Tensor:
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
    """From a query's state to its logit; next to no query is a particle before anything is learnt."""
    label = nn.Linear(width, 1)
    nn.init.constant_(label.bias, RARE)
    return label


def _mover(width: int) -> nn.Sequential:
    """From a query's state to its box's change; none before anything is learnt."""
    mover = _perceptron(width, width, 3)
    for parameter in mover[2].parameters():
        nn.init.zeros_(parameter)
    return mover


def settings_of(state: State) -> Settings | None:
    """None always: the files of these weights have a card, and the particles' size cannot be read off shapes."""
    return None


ARCHITECTURE = Architecture(
    build=AnchorDetr,
    settings_of=settings_of,
    published="The package has weights of its own, called transformer; cryopick train transformer simulate makes others",
    licence="MIT",
)
