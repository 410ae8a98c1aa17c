"""A particle to image: Gaussian beads of electrostatic potential, whatever they were made from."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryopick.errors import CryopickError

PROTEIN_MINUS_ICE = 3.0
"""V, mean inner potential of protein above that of vitreous ice."""
DALTON_PER_CUBIC_ANGSTROM = 0.81
NUCLEIC_CONTRAST = 1.5
"""Potential of nucleic acid above ice, in that of protein."""


@dataclass(frozen=True, eq=False)
class Structure:
    """A particle as Gaussian beads, centred on the origin.

    Attributes
    ----------
    beads : float32 (n, 3), x y z in Å.
    weights : float32 (n,), potential above that of the displaced ice, integrated over the bead, in V·Å³.
    sigma : standard deviation of every bead in Å.
    diameter : of the sphere about the origin that holds the beads' centres, in Å.
    mass_kda : molecular mass.
    """

    name: str
    kind: str
    beads: NDArray[np.float32]
    weights: NDArray[np.float32]
    sigma: float
    diameter: float
    mass_kda: float
    symmetry: str = "C1"

    def coarsened(self, spacing: float) -> "Structure":
        """The same particle with its beads merged in cells of `spacing` Å, each at its cell's centre of mass.

        Total charge and centre stay; beads grow to half the spacing so that they still touch.
        """
        if spacing <= 0:
            raise CryopickError(f"{self.name}: a spacing of {spacing} Å cannot be; give a positive number")
        cells = np.floor(self.beads / spacing).astype(np.int64)
        cells -= cells.min(0)
        _, owner = np.unique(np.ravel_multi_index(tuple(cells.T), tuple(cells.max(0) + 1)), return_inverse=True)
        weights = np.bincount(owner, self.weights)
        beads = np.stack([np.bincount(owner, self.weights * axis) for axis in self.beads.T], 1) / weights[:, None]
        sigma = float(np.hypot(self.sigma, 0.29 * spacing))  # 1/√12 of the cell is the spread that merging removed
        return replace(self, beads=beads.astype(np.float32), weights=weights.astype(np.float32), sigma=max(sigma, spacing / 2))


def structure_from_mass(
    name: str, kind: str, beads: ArrayLike, masses: ArrayLike, *, sigma: float, symmetry: str = "C1", contrast: ArrayLike = 1.0
) -> Structure:
    """A structure from beads (n, 3) in Å and their masses (n,) in Da, moved so that its centre of mass is the origin.

    `contrast` multiplies the potential of each bead, 1 for protein. Raises `CryopickError` when there are no beads.
    """
    places, mass = np.asarray(beads, np.float64).reshape(-1, 3), np.asarray(masses, np.float64)
    if len(places) == 0 or mass.sum() <= 0:
        raise CryopickError(f"{name}: no atoms or density to make a particle of")
    places = places - np.average(places, axis=0, weights=mass)
    weights = mass / DALTON_PER_CUBIC_ANGSTROM * PROTEIN_MINUS_ICE * np.asarray(contrast)
    return Structure(
        name,
        kind,
        places.astype(np.float32),
        np.broadcast_to(weights, mass.shape).astype(np.float32),
        sigma,
        2 * float(np.sqrt((places**2).sum(1).max())) or 2 * sigma,
        float(mass.sum() / 1000),
        symmetry,
    )
