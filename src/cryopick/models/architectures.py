"""Registry of the networks whose weights can be loaded. To add one, define `ARCHITECTURE` in its module and list it here."""

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
    """The functions that make a network from a file of weights.

    Attributes
    ----------
    build : makes the network with random weights from its settings, passed as keywords.
    infer_settings : infers the settings (plain numbers, strings and lists) from the keys and shapes of a state dict after
        `rename`; None if the state dict belongs to another architecture. It is called for every file, so it must not import
        optional libraries.
    published : sentence on where weights are published.
    licence : licence of these weights.
    rename : renames the keys of a published state dict to those of the network; a state dict with the right keys stays as it is.
    """

    build: Callable[..., nn.Module]
    infer_settings: Callable[[State], Settings | None]
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
