"""The table of networks whose weights can be loaded. A new one is an `ARCHITECTURE` in its module and a line here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from cryopick.registry import Registry

State = Mapping[str, Tensor]
Settings = dict[str, Any]


def _same_names(state: State) -> State:
    return state


@dataclass(frozen=True)
class Architecture:
    """What is needed to make a network from a file of weights.

    Attributes
    ----------
    build : makes the network, with random weights, from its settings as keywords.
    settings_of : the settings (only plain numbers, words and lists) read off a state dict's keys and shapes, after `rename`;
        None when the state dict is not of this architecture. Must not import optional libraries: it is asked about every file.
    published : a sentence that tells where weights are published.
    licence : under which licence they are.
    rename : turns a published state dict's keys into those of `build`'s network, and leaves one that has them already.
    """

    build: Callable[..., nn.Module]
    settings_of: Callable[[State], Settings | None]
    published: str
    licence: str
    rename: Callable[[State], State] = _same_names


ARCHITECTURES: Registry[Architecture] = Registry(
    "architecture",
    {
        "anchor-detr": "cryopick.models.anchor_detr:ARCHITECTURE",
        "attention-unet": "cryopick.models.attention_unet:ARCHITECTURE",
        "detr": "cryopick.models.detr_keys:ARCHITECTURE",
    },
)
