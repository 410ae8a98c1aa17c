"""Structures from files: biological assemblies of atomic models (mmCIF, PDB) and density maps (MRC)."""

import gzip
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cryopick.errors import FileError
from cryopick.io.micrographs.common import first_bytes
from cryopick.simulate.settings import Range
from cryopick.simulate.structures import DALTON_PER_CUBIC_ANGSTROM, NUCLEIC_CONTRAST, Structure, structure_from_mass

if TYPE_CHECKING:
    import gemmi

MODEL_SUFFIXES = {".cif", ".mmcif", ".pdb", ".ent"}
MAP_SUFFIXES = {".mrc", ".map"}
RESIDUE_SIGMA = 2.6
"""Å, half the side of a cube with the volume of an average residue."""
WATER_MASS = 18.015
FURTHEST = 1e5
"""Largest distance of a valid position from the origin in Å."""
MOST_BEADS = 20_000_000
LEAST_LIMIT, MOST_UNPACKED = 1 << 26, 100
"""Bytes to which any gzipped model may unpack, and the largest factor for larger ones."""
LARGEST_VOXEL = 100.0
MAP_THRESHOLD = 0.3
"""Fraction of a map's 99.95th percentile above which a voxel belongs to the particle."""


class StructureFiles:
    """Source of structures from a folder of models and maps, or a single file.

    Files are read when they are first drawn. Raises `FileError` if the folder contains no structures.
    """

    def __init__(self, folder: Path | str) -> None:
        self._paths = structure_paths(folder)
        self._read: dict[Path, Structure] = {}

    def draw(self, rng: np.random.Generator, diameter: Range) -> Structure:
        """Draw a structure, at its own size. Raises `FileError` if it cannot be read."""
        path = self._paths[int(rng.integers(len(self._paths)))]
        if path not in self._read:
            self._read[path] = read_structure(path)
        return self._read[path]


def structure_paths(folder: Path | str) -> list[Path]:
    """List the models and maps in a folder, sorted by name, or the single file given. Raises `FileError` if there are none."""
    folder = Path(folder)
    if folder.is_file():
        return [folder]
    if not folder.exists():
        raise FileError(folder, "does not exist", "Check the path, or use `random`")
    known = MODEL_SUFFIXES | MAP_SUFFIXES
    paths = [path for path in sorted(folder.glob("[!.]*")) if _suffix(path) in known and not path.is_dir()]
    if not paths:
        raise FileError(folder, "contains no structures", "Give a folder of .cif, .pdb, .mrc or .map files, gzipped or not")
    return paths


def read_structure(path: Path | str) -> Structure:
    """Read a model (one bead per residue of its first biological assembly, if there is one) or a map (one bead per voxel).

    Raises `FileError` if the file cannot be read or contains no particle.
    """
    path = Path(path)
    suffix = _suffix(path)
    if suffix in MODEL_SUFFIXES:
        try:
            return _read_model(path)
        except UnicodeDecodeError as error:  # gemmi decodes a name when it is asked for
            raise FileError(path, f"has a name that is not UTF-8 ({error})", "Correct the names of chains and residues") from None
    if suffix in MAP_SUFFIXES:
        return _read_map(path)
    raise FileError(path, "is neither a model nor a map", "Give a .cif, .pdb, .mrc or .map file, gzipped or not")


def _read_model(path: Path) -> Structure:
    import gemmi

    _check_packed(path)
    try:
        model = gemmi.read_structure(str(path))
        model.setup_entities()
    except IndexError as error:  # from gemmi for a CIF without blocks
        raise FileError(path, "contains no atoms", "Give a file with coordinates") from error
    except (RuntimeError, ValueError, OSError) as error:
        raise FileError(path, f"cannot be read as an atomic model ({error})", "Check the file") from error
    if len(model) == 0 or not any(len(residue) for chain in model[0] for residue in chain):
        raise FileError(path, "contains no atoms", "Give a file with coordinates")
    residues = [(chain.name, residue) for chain in model[0] for residue in chain if not residue.is_water() and len(residue)]
    if not residues:
        raise FileError(path, "contains only water", "Give a file with a molecule")
    places, masses, nucleic = (np.array(column) for column in zip(*(_bead(residue) for _, residue in residues), strict=True))
    if not (np.isfinite(places).all() and np.abs(places).max() < FURTHEST):
        raise FileError(path, "has atoms without a valid position", "Correct their coordinates, or remove them")
    chains = np.array([name for name, _ in residues])
    subchains = np.array([residue.subchain for _, residue in residues])
    copies = _assembly(model, chains, subchains)
    if not all(np.isfinite(turn).all() and np.isfinite(shift).all() for _, turn, shift in copies):
        raise FileError(path, "has a biological assembly without valid operators", "Correct or remove it")
    if (count := sum(len(index) for index, _, _ in copies)) > MOST_BEADS:
        found = f"has {count:,} residues in its biological assembly; at most {MOST_BEADS:,} can be simulated"
        raise FileError(path, found, "Give one copy of the particle")
    beads = np.concatenate([places[index] @ turn.T + shift for index, turn, shift in copies])
    index = np.concatenate([index for index, _, _ in copies])
    contrast = np.where(nucleic[index], NUCLEIC_CONTRAST, 1.0)
    return structure_from_mass(_stem(path), "model", beads, masses[index], sigma=RESIDUE_SIGMA, contrast=contrast)


def _check_packed(path: Path) -> None:
    """Raise `FileError` for a gzipped model that unpacks to far more than text would, and for files that cannot be opened."""
    if first_bytes(path, 2) != b"\x1f\x8b":
        return
    most = max(LEAST_LIMIT, MOST_UNPACKED * path.stat().st_size)
    unpacked = 0
    try:
        with gzip.open(path) as stream:
            while unpacked <= most and (part := stream.read1(1 << 20)):
                unpacked += len(part)
    except (OSError, EOFError, zlib.error) as error:
        raise FileError(path, f"is truncated or damaged ({error})", "Copy it again, or create it again") from error
    if unpacked > most:
        raise FileError(path, f"unpacks to more than {most:,} bytes", "Unpack it and check its content")


def _bead(residue: "gemmi.Residue") -> tuple[list[float], float, bool]:
    """Return a residue's centre of mass, its mass in Da as part of a chain, and whether it is a nucleotide."""
    import gemmi

    weights = np.array([atom.element.weight for atom in residue])
    centre = np.average([atom.pos.tolist() for atom in residue], axis=0, weights=np.maximum(weights, 1e-3))
    known = gemmi.find_tabulated_residue(residue.name)
    in_chain = known.is_amino_acid() or known.is_nucleic_acid()
    mass = known.weight - WATER_MASS if in_chain and known.weight > WATER_MASS else float(weights.sum())
    return centre.tolist(), mass, bool(known.is_nucleic_acid())


def _assembly(
    model: "gemmi.Structure", chains: NDArray[np.str_], subchains: NDArray[np.str_]
) -> list[tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]]:
    """Return the residues of each copy with its rotation and shift in Å; all residues once if the file defines no assembly."""
    copies: list[tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]] = []
    for part in model.assemblies[0].generators if len(model.assemblies) else []:
        chosen = np.isin(subchains, list(part.subchains)) if len(part.subchains) else np.isin(chains, list(part.chains))
        for operator in part.operators if chosen.any() else []:
            transform: Any = operator.transform
            copies.append((chosen.nonzero()[0], np.array(transform.mat.tolist()), np.array(transform.vec.tolist())))
    return copies or [(np.arange(len(chains)), np.eye(3), np.zeros(3))]


def _read_map(path: Path) -> Structure:
    from cryopick.io.volumes import read_map

    density, voxel = read_map(path)
    if voxel is None:
        raise FileError(path, "has no voxel size in its header", "Set it, for instance with mrcfile")
    if not 0 < voxel < LARGEST_VOXEL:
        raise FileError(path, f"has an implausible voxel size of {voxel:g} Å", "Set it in Å, for instance with mrcfile")
    scale = float(np.percentile(density.astype(np.float64), 99.95))
    inside = density > MAP_THRESHOLD * scale
    if scale <= 0 or not inside.any():
        raise FileError(path, "contains no positive density", "Give a map in which the particle has positive values")
    z, y, x = inside.nonzero()
    occupied = density[inside].astype(np.float64)
    occupied /= occupied.mean()
    masses = occupied * voxel**3 * DALTON_PER_CUBIC_ANGSTROM
    return structure_from_mass(_stem(path), "map", np.stack([x, y, z], 1) * voxel, masses, sigma=voxel / 2)


def _suffix(path: Path) -> str:
    return Path(path.name.removesuffix(".gz")).suffix.lower()


def _stem(path: Path) -> str:
    return Path(path.name.removesuffix(".gz")).stem
