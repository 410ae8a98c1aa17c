"""DETR (Carion et al. 2020) as CryoTransformer uses it: ResNet features, a transformer, a fixed set of queries, boxes.

Modules have the names of the published program, so its checkpoint can be loaded. Boxes are (centre x, centre y, width, height) as
fractions of the unpadded image's width and height.
"""

import itertools
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cryopick.models.resnet import Depth, ResNet

PARTICLE, NO_OBJECT = 0, 1
"""Columns of the logits."""


class DetrOutput(NamedTuple):
    """Output of the decoder; a tuple, so that training on several devices can gather it.

    Attributes
    ----------
    logits : (B, N, 2), columns `PARTICLE` and `NO_OBJECT`, of the last layer.
    boxes : (B, N, 4), centre x, centre y, width and height as fractions of the image, of the last layer.
    auxiliary : logits and boxes of each earlier layer, first layer first.
    """

    logits: Tensor
    boxes: Tensor
    auxiliary: tuple[tuple[Tensor, Tensor], ...] = ()


class Detr(nn.Module):
    """The network, by default with the published sizes.

    Parameters
    ----------
    depth, backbone_width : of the `ResNet`.
    queries : number of predicted boxes, and so the largest number of particles in an image.
    width : channels of the transformer; a multiple of 4 and of `heads`.
    heads : attention heads.
    feedforward : hidden channels of the perceptrons.
    layers : number of encoder layers, and of decoder layers.
    dropout : probability of dropout in training.
    """

    def __init__(
        self,
        depth: Depth = 152,
        *,
        backbone_width: int = 64,
        queries: int = 600,
        width: int = 256,
        heads: int = 8,
        feedforward: int = 2048,
        layers: int = 6,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.transformer = Transformer(width, heads, feedforward, layers, dropout)
        self.class_embed = nn.Linear(width, 2)
        self.bbox_embed = Perceptron(width, width, 4, layers=3)
        self.query_embed = nn.Embedding(queries, width)
        backbone = Backbone(depth, backbone_width)
        self.backbone = nn.ModuleList([backbone])
        self.input_proj = nn.Conv2d(backbone.body.channels, width, 1)

    def forward(self, images: Tensor, padding: Tensor | None = None) -> DetrOutput:
        """Predict boxes in normalised images (B, 3, H, W); `padding` bool (B, H, W) is true outside the images of a batch."""
        if padding is None:
            padding = images.new_zeros((images.shape[0], *images.shape[2:]), dtype=torch.bool)
        features = self.backbone[0](images)
        hidden = F.interpolate(padding[:, None].float(), size=features.shape[-2:]).to(torch.bool)[:, 0]
        position = sine_position(hidden, self.query_embed.embedding_dim)
        states = self.transformer(self.input_proj(features), hidden, self.query_embed.weight, position)
        logits, boxes = self.class_embed(states), self.bbox_embed(states).sigmoid()
        return DetrOutput(logits[-1], boxes[-1], tuple(zip(logits[:-1], boxes[:-1], strict=True)))


class Backbone(nn.Module):
    """The ResNet under the name that it has in the published checkpoint."""

    def __init__(self, depth: Depth, width: int) -> None:
        super().__init__()
        self.body = ResNet(depth, width=width)

    def forward(self, images: Tensor) -> Tensor:
        """See `ResNet`."""
        features: Tensor = self.body(images)
        return features


class Transformer(nn.Module):
    """Encoder of the image's features and decoder of the queries, normalised after each step."""

    def __init__(self, width: int, heads: int, feedforward: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.encoder = Encoder([EncoderLayer(width, heads, feedforward, dropout) for _ in range(layers)])
        self.decoder = Decoder([DecoderLayer(width, heads, feedforward, dropout) for _ in range(layers)], nn.LayerNorm(width))
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, features: Tensor, padding: Tensor, queries: Tensor, position: Tensor) -> Tensor:
        """Map features and positions (B, C, h, w), padding (B, h, w) and queries (N, C) to decoder states (layers, B, N, C)."""
        memory, where = features.flatten(2).transpose(1, 2), position.flatten(2).transpose(1, 2)
        hidden = padding.flatten(1)
        states: Tensor = self.decoder(queries.expand(len(features), -1, -1), self.encoder(memory, where, hidden), where, hidden)
        return states


class Encoder(nn.Module):
    """A sequence of encoder layers."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, memory: Tensor, position: Tensor, padding: Tensor) -> Tensor:
        """Update tokens (B, h · w, C) at positions of the same shape; `padding` is (B, h · w)."""
        for layer in self.layers:
            memory = layer(memory, position, padding)
        return memory


class Decoder(nn.Module):
    """A sequence of decoder layers; the state after each is normalised by one shared layer and returned."""

    def __init__(self, layers: list[nn.Module], norm: nn.LayerNorm) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.norm = norm

    def forward(self, query: Tensor, memory: Tensor, position: Tensor, padding: Tensor) -> Tensor:
        """Return the states (layers, B, N, C) of queries (B, N, C)."""
        state = torch.zeros_like(query)
        states = []
        for layer in self.layers:
            state = layer(state, query, memory, position, padding)
            states.append(self.norm(state))
        return torch.stack(states)


class EncoderLayer(nn.Module):
    """Self-attention with positions added to queries and keys, then a two-layer perceptron."""

    def __init__(self, width: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.linear1 = nn.Linear(width, feedforward)
        self.linear2 = nn.Linear(feedforward, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, memory: Tensor, position: Tensor, padding: Tensor) -> Tensor:
        """See `Encoder.forward`."""
        where = memory + position
        seen = self.self_attn(where, where, memory, key_padding_mask=padding, need_weights=False)[0]
        memory = self.norm1(memory + self.dropout(seen))
        expanded = self.dropout(self.linear1(memory).relu())
        result: Tensor = self.norm2(memory + self.dropout(self.linear2(expanded)))
        return result


class DecoderLayer(nn.Module):
    """Self-attention among the queries, attention to the image, then a two-layer perceptron."""

    def __init__(self, width: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.multihead_attn = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.linear1 = nn.Linear(width, feedforward)
        self.linear2 = nn.Linear(feedforward, width)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, state: Tensor, query: Tensor, memory: Tensor, position: Tensor, padding: Tensor) -> Tensor:
        """Update states (B, N, C) of queries (B, N, C); the other arguments are those of `Encoder.forward`."""
        asked = state + query
        among = self.self_attn(asked, asked, state, need_weights=False)[0]
        state = self.norm1(state + self.dropout(among))
        seen = self.multihead_attn(state + query, memory + position, memory, key_padding_mask=padding, need_weights=False)[0]
        state = self.norm2(state + self.dropout(seen))
        expanded = self.dropout(self.linear1(state).relu())
        result: Tensor = self.norm3(state + self.dropout(self.linear2(expanded)))
        return result


class Perceptron(nn.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, width_in: int, hidden: int, width_out: int, *, layers: int) -> None:
        super().__init__()
        sizes = [width_in, *[hidden] * (layers - 1), width_out]
        self.layers = nn.ModuleList([nn.Linear(a, b) for a, b in itertools.pairwise(sizes)])

    def forward(self, x: Tensor) -> Tensor:
        """Map (…, width_in) to (…, width_out)."""
        for layer in self.layers[:-1]:
            x = layer(x).relu()
        result: Tensor = self.layers[-1](x)
        return result


def sine_position(padding: Tensor, width: int, *, temperature: float = 10_000.0) -> Tensor:
    """Encode positions as sines and cosines (B, width, h, w) of the row (first half of the channels) and the column.

    Rows and columns are counted over unpadded cells and scaled to 2π at the last one; `padding` is (B, h, w).
    """
    half = width // 2
    seen = ~padding
    rows, columns = seen.cumsum(1, dtype=torch.float32), seen.cumsum(2, dtype=torch.float32)
    rows = rows / (rows[:, -1:, :] + 1e-6) * 2 * math.pi
    columns = columns / (columns[:, :, -1:] + 1e-6) * 2 * math.pi
    index = torch.arange(half, device=padding.device, dtype=torch.float32)
    period = temperature ** (2 * (index // 2) / half)

    def waves(angle: Tensor) -> Tensor:
        phase = angle[..., None] / period
        return torch.stack((phase[..., 0::2].sin(), phase[..., 1::2].cos()), dim=-1).flatten(-2)

    return torch.cat((waves(rows), waves(columns)), dim=-1).permute(0, 3, 1, 2)
