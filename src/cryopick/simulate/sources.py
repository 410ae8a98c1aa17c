"""Where structures come from: random pseudo-proteins, or files of a folder."""

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
"""Beads along a particle's diameter: finer detail is beyond what a picker sees."""
_KIND_AND_GROUP = re.compile(r"([a-z]+)-([A-Z]\d*)")


class StructureSource(Protocol):
    """Gives the structure of a micrograph."""

    def draw(self, rng: np.random.Generator, diameter: Range) -> Structure:
        """One structure; `diameter`, lowest and highest in Å, limits those whose size is free."""
        ...


class RandomStructures:
    """A new pseudo-protein each time, of log-uniform diameter. Raises `SettingError` where no diameter is left."""

    def draw(self, rng: np.random.Generator, diameter: Range) -> Structure:
        return pseudo_protein(rng, diameter=_drawn(rng, diameter))


class OnePseudoProtein:
    """The same pseudo-protein in every micrograph of a seed, `name` being its kind and symmetry: ``barrel-D7``.

    Raises `SettingError` for other names, and where no diameter is left.
    """

    def __init__(self, name: str, *, seed: int) -> None:
        self._kind, self._symmetry = kind_and_symmetry(name)
        self._seed = seed

    def draw(self, rng: np.random.Generator, diameter: Range) -> Structure:
        own = generator(self._seed, "structure")
        return pseudo_protein(own, diameter=_drawn(own, diameter), kind=self._kind, symmetry=self._symmetry)


def kind_and_symmetry(name: str) -> tuple[str, str]:
    """The two parts of a pseudo-protein's name; raises `SettingError` for one that names none."""
    parts = _KIND_AND_GROUP.fullmatch(name)
    if parts is None or parts[1] not in KINDS:
        raise SettingError(
            f"{name!r} is neither a file nor a pseudo-protein; write a kind ({', '.join(KINDS)}) and a symmetry, as barrel-D7"
        )
    point_group(parts[2])
    return parts[1], parts[2]


class FixedStructures:
    """One of some given structures each time, at its own size."""

    def __init__(self, structures: Sequence[Structure]) -> None:
        self._structures = structures

    def draw(self, rng: np.random.Generator, diameter: Range) -> Structure:
        return self._structures[int(rng.integers(len(self._structures)))]


def _drawn(rng: np.random.Generator, diameter: Range) -> float:
    if diameter[0] > diameter[1]:
        raise SettingError(
            f"the micrograph has no room for a particle: the smallest that is wanted and can be seen has {diameter[0]:g} Å, "
            f"the largest that is wanted and fits in {diameter[1]:g} Å; change its size, its pixel size or the diameters"
        )
    return float(log_uniform(rng, diameter, 1)[0])


def gather_beads(structures: Sequence[Structure], *, device: torch.device | str = "cpu", across: int = BEADS_ACROSS) -> Beads:
    """Structures coarsened to about `across` beads along their diameters, as tensors of one length."""
    coarse = [structure.coarsened(structure.diameter / across) for structure in structures]
    most = max(len(structure.weights) for structure in coarse)
    places, weights = np.zeros((len(coarse), most, 3), np.float32), np.zeros((len(coarse), most), np.float32)
    for row, structure in enumerate(coarse):
        places[row, : len(structure.weights)], weights[row, : len(structure.weights)] = structure.beads, structure.weights
    sigma = torch.tensor([structure.sigma for structure in coarse], dtype=torch.float32, device=device)
    return Beads(torch.from_numpy(places).to(device), torch.from_numpy(weights).to(device), sigma)
