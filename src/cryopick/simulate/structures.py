"""Particles as Gaussian beads of electrostatic potential."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryopick.errors import CryopickError

PROTEIN_MINUS_ICE = 3.0
"""V, mean inner potential of protein minus that of vitreous ice."""
DALTON_PER_CUBIC_ANGSTROM = 0.81
"""Density of protein."""
NUCLEIC_CONTRAST = 1.5
"""Potential of nucleic acid relative to that of protein, both above ice."""


@dataclass(frozen=True, eq=False)
class Structure:
    """A particle made of Gaussian beads, centred on the origin.

    Attributes
    ----------
    name : for tables and captions.
    kind : model, map or a kind of pseudo-protein.
    beads : float32 (n, 3), x y z in Å.
    weights : float32 (n,), potential above that of the displaced ice, integrated over the bead, in V·Å³.
    sigma : standard deviation of every bead in Å.
    diameter : of the sphere about the origin that holds the beads' centres, in Å.
    mass_kda : molecular mass in kDa.
    symmetry : point group.
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
        """Merge beads in cells of `spacing` Å, each into one at the centre of mass of its cell.

        The total weight and the centre stay; beads grow to at least half the spacing, so that they still touch. Raises
        `CryopickError` unless the spacing is positive.
        """
        if spacing <= 0:
            raise CryopickError(f"{self.name}: spacing must be positive, got {spacing} Å")
        cells = np.floor(self.beads / spacing).astype(np.int64)
        cells -= cells.min(0)
        _, owner = np.unique(np.ravel_multi_index(tuple(cells.T), tuple(cells.max(0) + 1)), return_inverse=True)
        weights = np.bincount(owner, self.weights)
        beads = np.stack([np.bincount(owner, self.weights * axis) for axis in self.beads.T], 1) / weights[:, None]
        sigma = float(np.hypot(self.sigma, 0.29 * spacing))  # 1/√12 of the cell: the spread that merging removes
        return replace(self, beads=beads.astype(np.float32), weights=weights.astype(np.float32), sigma=max(sigma, spacing / 2))


def structure_from_mass(
    name: str, kind: str, beads: ArrayLike, masses: ArrayLike, *, sigma: float, symmetry: str = "C1", contrast: ArrayLike = 1.0
) -> Structure:
    """Make a structure from beads (n, 3) in Å with masses (n,) in Da; its centre of mass becomes the origin.

    `contrast` is a factor on the potential of each bead, 1 for protein. Raises `CryopickError` if there are no beads.
    """
    places, mass = np.asarray(beads, np.float64).reshape(-1, 3), np.asarray(masses, np.float64)
    if len(places) == 0 or mass.sum() <= 0:
        raise CryopickError(f"{name} contains no atoms or density; give another structure")
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
