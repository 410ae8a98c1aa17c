"""Pseudo-proteins: random particles that look like proteins.

They are lobed, hollow, long, flat, in a micelle or rich in RNA, with any symmetry. Every kind is a density on a grid of points in
the cube [−1, 1]³; the points inside become beads. None is a real protein, so a network cannot memorise them.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cryopick.errors import SettingError
from cryopick.simulate.structures import DALTON_PER_CUBIC_ANGSTROM, NUCLEIC_CONTRAST, Structure, structure_from_mass
from cryopick.simulate.symmetry import GROUPS, point_group

Array = NDArray[np.float32]

GRID = 28
"""Points along each side of the cube."""
SYMMETRY_SHARE = dict(
    zip(GROUPS, (0.25, 0.15, 0.1, 0.06, 0.04, 0.03, 0.1, 0.06, 0.04, 0.03, 0.02, 0.05, 0.02, 0.03, 0.02), strict=True)
)
KIND_SHARE = {
    "globular": 0.40,
    "cage": 0.20,
    "barrel": 0.14,
    "membrane": 0.08,
    "rna": 0.07,
    "rod": 0.06,
    "disc": 0.05,
}


def pseudo_protein(
    rng: np.random.Generator,
    *,
    diameter: float | None = None,
    mass_kda: float | None = None,
    kind: str | None = None,
    symmetry: str | None = None,
) -> Structure:
    """Make a random particle of a given size.

    Parameters
    ----------
    diameter : of the bounding sphere in Å. Give either this or `mass_kda`.
    mass_kda : molecular mass in kDa.
    kind : a key of `KIND_SHARE`; drawn with these probabilities if omitted.
    symmetry : any point group; drawn to suit the kind if omitted.

    Raises `SettingError` for an unknown kind or symmetry, or unless exactly one size is given.
    """
    if (diameter is None) == (mass_kda is None):
        raise SettingError("a pseudo-protein needs either a diameter or a mass, not both; give one of them")
    kind = kind or str(rng.choice(list(KIND_SHARE), p=list(KIND_SHARE.values())))
    if kind not in KINDS:
        raise SettingError(f"unknown kind of pseudo-protein {kind!r}; use one of {', '.join(KINDS)}")
    symmetry = symmetry or _random_symmetry(kind, rng)
    group = point_group(symmetry).astype(np.float32)
    points = _grid()
    density, contrast = KINDS[kind](points, group, rng)
    inside = density > 0
    beads = points[inside] + rng.uniform(-0.25, 0.25, (int(inside.sum()), 3)).astype(np.float32) * 2 / (GRID - 1)
    shape = structure_from_mass(f"{kind}-{symmetry}", kind, beads, density[inside], sigma=0.0)
    cell = (2 / (GRID - 1)) ** 3
    if diameter is not None:
        scale = diameter / shape.diameter
    else:
        assert mass_kda is not None
        scale = float((1000 * mass_kda / DALTON_PER_CUBIC_ANGSTROM / (density[inside].sum() * cell)) ** (1 / 3))
    return structure_from_mass(
        shape.name,
        kind,
        shape.beads * scale,
        density[inside] * cell * scale**3 * DALTON_PER_CUBIC_ANGSTROM,
        sigma=scale / (GRID - 1),
        symmetry=symmetry,
        contrast=contrast[inside],
    )


def _globular(points: Array, group: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Make one to six touching rough ellipsoids, repeated by the symmetry."""
    density = _lobes(points, group, rng, count=int(rng.integers(1, 7 if len(group) < 4 else 5)))
    return density, np.ones_like(density)


def _cage(points: Array, group: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Make a shell, thicker at the subunits, like ferritins, capsids and encapsulins."""
    squeeze = np.array([1, 1, rng.uniform(1.0, 1.4) if len(group) < 12 else 1.0], np.float32)
    radius = np.linalg.norm(points * squeeze, axis=1)
    bumps = _bumps(points, group, rng, sharpness=rng.uniform(6, 20))
    inner = rng.uniform(0.5, 0.82)
    shell = (radius < 0.9 + 0.1 * np.minimum(bumps, 1)) & (radius > inner)
    density = shell * (0.5 + 0.25 * np.minimum(bumps, 2))
    return density.astype(np.float32), np.ones_like(density)


def _barrel(points: Array, group: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Make stacked rings around an open channel, like proteasomes, chaperonins and proteases."""
    height, fold = rng.uniform(0.45, 1.0), _fold(group)
    width = np.sqrt(1 - 0.5 * height**2)
    x, y, z = points.T
    radius, angle = np.hypot(x, y) / width, np.arctan2(y, x)
    rings = int(rng.integers(1, 5))
    waist = 1 - 0.12 * (1 - np.cos(2 * np.pi * rings * (z / height + 1) / 2)) / 2
    outer = (0.85 + 0.15 * np.cos(fold * angle)) * waist
    wall = (radius < outer) & (radius > rng.uniform(0.3, 0.7)) & (np.abs(z) < height * np.sqrt(0.5) * 1.2)
    return wall.astype(np.float32), np.ones(len(points), np.float32)


def _rod(points: Array, group: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Make a long, knobbly, slightly bent body."""
    aspect = rng.uniform(2.5, 6)
    x, y, z = points.T
    x = x - rng.uniform(0, 0.25) * z**2 * (len(group) == 1)
    thick = (1 + 0.3 * np.cos(rng.uniform(4, 12) * z + rng.uniform(0, 6))) / aspect
    inside = (x**2 + y**2) < thick**2 * np.sqrt(np.maximum(1 - z**4, 0))
    return inside.astype(np.float32), np.ones(len(points), np.float32)


def _disc(points: Array, group: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Make a flat body with a scalloped edge, sometimes with a hole."""
    x, y, z = points.T
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    edge = 0.9 + 0.1 * np.cos(_fold(group) * angle)
    hole = rng.uniform(0.15, 0.45) if rng.random() < 0.4 else 0.0
    inside = (radius < edge) & (radius >= hole) & (np.abs(z) < rng.uniform(0.15, 0.35))
    return inside.astype(np.float32), np.ones(len(points), np.float32)


def _membrane(points: Array, group: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Make a membrane protein: a bundle with soluble domains, and a micelle of about half its contrast around it."""
    protein = _lobes(points * 1.1, group, rng, count=int(rng.integers(1, 4)), spread=0.35) > 0
    x, y, z = points.T
    radius = np.hypot(x, y)
    bundle = (radius < rng.uniform(0.25, 0.4)) & (np.abs(z) < rng.uniform(0.4, 0.8))
    centre, half = rng.uniform(-0.2, 0.2), rng.uniform(0.2, 0.3)
    belt = (radius / rng.uniform(0.75, 0.95)) ** 2 + ((z - centre) / half) ** 2 < 1
    protein = protein | bundle
    density = np.where(protein, 1.0, belt * 0.8).astype(np.float32)
    return density, np.where(protein, 1.0, 0.6).astype(np.float32)


def _rna(points: Array, group: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Make a lobed body with nucleic acid on one side or, if symmetric, in its core, like ribosomes and small viruses."""
    density = _lobes(points, group, rng, count=int(rng.integers(3, 7)))
    depth = points @ _direction(rng) if len(group) == 1 else np.linalg.norm(points, axis=1) - 0.5
    rna = depth < rng.uniform(-0.1, 0.3)
    return density, np.where(rna, NUCLEIC_CONTRAST, 1.0).astype(np.float32)


Shape = Callable[[Array, Array, np.random.Generator], tuple[Array, Array]]
KINDS: dict[str, Shape] = {
    "globular": _globular,
    "cage": _cage,
    "barrel": _barrel,
    "membrane": _membrane,
    "rna": _rna,
    "rod": _rod,
    "disc": _disc,
}


def _lobes(points: Array, group: Array, rng: np.random.Generator, *, count: int, spread: float = 0.65) -> Array:
    """Return 1 inside a chain of `count` rough ellipsoids or its symmetric copies, scaled to fill the cube."""
    size = rng.uniform(0.28, 0.6, count) * (0.7 if len(group) >= 12 else 1.0)
    centres = np.zeros((count, 3))
    centres[0] = _direction(rng) * rng.uniform(0.0, spread) * (len(group) > 1)
    for lobe in range(1, count):
        other = int(rng.integers(lobe))
        centres[lobe] = centres[other] + _direction(rng) * (size[lobe] + size[other]) * rng.uniform(0.5, 0.9)
    axes = size[:, None] * np.exp(0.3 * rng.normal(size=(count, 3)))
    turns = np.linalg.qr(rng.normal(size=(count, 3, 3)))[0]
    stretch = (turns / axes[:, None, :]).astype(np.float32)
    waves, phases = rng.normal(0, 5, (3, 12)).astype(np.float32), rng.uniform(0, 6.3, 12).astype(np.float32)
    reach = np.float32((np.linalg.norm(centres, axis=1) + axes.max(1)).max())
    nearest = np.full(len(points), np.inf, np.float32)
    for turn in group:
        local = (points * reach) @ turn
        rough = 0.15 * np.cos(local @ waves + phases).sum(1)
        distance = (np.einsum("nj,ljk->nlk", local, stretch) - np.einsum("lj,ljk->lk", centres, stretch)) ** 2
        nearest = np.minimum(nearest, distance.sum(2).min(1) + rough)
    return (nearest < 1).astype(np.float32)


def _bumps(points: Array, group: Array, rng: np.random.Generator, *, sharpness: float) -> Array:
    """Return a positive function of direction with mean 1 and maxima in three random directions and their copies."""
    places = np.concatenate([group @ _direction(rng) for _ in range(3)]).astype(np.float32)
    towards = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-6)
    field = np.exp(sharpness * (towards @ places.T - 1)).sum(1)
    return np.asarray(field / field.mean(), np.float32)


def _random_symmetry(kind: str, rng: np.random.Generator) -> str:
    if kind == "cage":
        return str(rng.choice(["O", "I", "T", "D7", "D5"]))
    if kind == "barrel":
        return str(rng.choice(["C6", "C7", "D4", "D5", "D6", "D7", "D8", "D9"]))
    if kind == "disc":
        return str(rng.choice(["C3", "C4", "C5", "C6", "C8", "C11"]))
    if kind in {"rod", "rna"}:
        return "C1"
    if kind == "membrane":
        return str(rng.choice(["C1", "C2", "C3", "C4", "C5"]))
    return str(rng.choice(list(SYMMETRY_SHARE), p=list(SYMMETRY_SHARE.values())))


def _fold(group: Array) -> int:
    """Return the number of rotations about z in the group."""
    return int((group[:, 2, 2] > 0.999).sum())


def _direction(rng: np.random.Generator) -> NDArray[np.float32]:
    vector = rng.normal(size=3)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def _grid() -> Array:
    axis = np.linspace(-1, 1, GRID, dtype=np.float32)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
