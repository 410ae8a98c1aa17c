"""Sources of structures: random pseudo-proteins, or given ones."""

import re
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

from cryopick.errors import SettingError
from cryopick.randomness import generator
from cryopick.simulate.conditions import log_uniform
from cryopick.simulate.field import Beads
from cryopick.simulate.pseudoproteins import KINDS, pseudo_protein
from cryopick.simulate.settings import Range
from cryopick.simulate.structures import Structure
from cryopick.simulate.symmetry import point_group

BEADS_ACROSS = 16
"""Beads along a particle's diameter; finer detail makes no difference to a picker."""
_KIND_AND_GROUP = re.compile(r"([a-z]+)-([A-Z]\d*)")


class StructureSource(Protocol):
    """A source of one structure per micrograph."""

    def draw(self, rng: np.random.Generator, diameter: Range) -> Structure:
        """Draw a structure; `diameter` is the range in Å for structures of free size."""
        ...


class RandomStructures:
    """A new pseudo-protein of log-uniform diameter in every micrograph."""

    def draw(self, rng: np.random.Generator, diameter: Range) -> Structure:
        """Draw a pseudo-protein. Raises `SettingError` if the range of diameters is empty."""
        return pseudo_protein(rng, diameter=_drawn(rng, diameter))


class OnePseudoProtein:
    """The same pseudo-protein in every micrograph of a seed.

    `name` is its kind and symmetry, as in ``barrel-D7``. Raises `SettingError` for any other name.
    """

    def __init__(self, name: str, *, seed: int) -> None:
        self._kind, self._symmetry = kind_and_symmetry(name)
        self._seed = seed

    def draw(self, rng: np.random.Generator, diameter: Range) -> Structure:
        """Return the pseudo-protein. Raises `SettingError` if the range of diameters is empty."""
        own = generator(self._seed, "structure")
        return pseudo_protein(own, diameter=_drawn(own, diameter), kind=self._kind, symmetry=self._symmetry)


def kind_and_symmetry(name: str) -> tuple[str, str]:
    """Split the name of a pseudo-protein, as ``barrel-D7``. Raises `SettingError` if there is no such kind or symmetry."""
    parts = _KIND_AND_GROUP.fullmatch(name)
    if parts is None or parts[1] not in KINDS:
        raise SettingError(
            f"{name!r} is neither a file nor a pseudo-protein; "
            f"write a kind ({', '.join(KINDS)}) and a symmetry, such as barrel-D7"
        )
    point_group(parts[2])
    return parts[1], parts[2]


class FixedStructures:
    """A random one of the given structures in every micrograph, at its own size."""

    def __init__(self, structures: Sequence[Structure]) -> None:
        self._structures = structures

    def draw(self, rng: np.random.Generator, diameter: Range) -> Structure:
        """See `StructureSource.draw`; the range of diameters is ignored."""
        return self._structures[int(rng.integers(len(self._structures)))]


def _drawn(rng: np.random.Generator, diameter: Range) -> float:
    if diameter[0] > diameter[1]:
        raise SettingError(
            f"no particle fits the micrograph: the smallest visible diameter in the range is {diameter[0]:g} Å, "
            f"the largest that fits is {diameter[1]:g} Å; change --size, --pixel-size or the setting diameter"
        )
    return float(log_uniform(rng, diameter, 1)[0])


def gather_beads(structures: Sequence[Structure], *, device: torch.device | str = "cpu", across: int = BEADS_ACROSS) -> Beads:
    """Coarsen structures to about `across` beads along their diameter and stack them as tensors."""
    coarse = [structure.coarsened(structure.diameter / across) for structure in structures]
    most = max(len(structure.weights) for structure in coarse)
    places, weights = np.zeros((len(coarse), most, 3), np.float32), np.zeros((len(coarse), most), np.float32)
    for row, structure in enumerate(coarse):
        places[row, : len(structure.weights)], weights[row, : len(structure.weights)] = structure.beads, structure.weights
    sigma = torch.tensor([structure.sigma for structure in coarse], dtype=torch.float32, device=device)
    return Beads(torch.from_numpy(places).to(device), torch.from_numpy(weights).to(device), sigma)
