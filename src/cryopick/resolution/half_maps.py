"""Map resolution from picks: half-maps of the picked particles, reconstructed with the true orientations of a simulation.

Everything but the picks is perfect, so the results show only the effects of missed particles, false picks and centring errors,
within seconds. They are worse for programs that have to determine the orientations.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import next_fast_len

from cryopick.errors import FileError, SettingError
from cryopick.evaluate.matching import match_points
from cryopick.evaluate.pairing import pair_micrographs
from cryopick.io.datasets.cryoppp import DatasetFolder
from cryopick.io.micrographs.sources import MicrographSource, find_micrographs
from cryopick.io.picks.formats import read_picks
from cryopick.io.tables.star import StarTable, read_star
from cryopick.randomness import generator
from cryopick.resolution.fsc import ShellCorrelation, shell_correlation, soft_sphere
from cryopick.resolution.reconstruction import Reconstruction
from cryopick.simulate.ctf import Optics, frequencies, transfer
from cryopick.simulate.symmetry import point_group, random_rotations, rotations_of
from cryopick.types import Picks

TOLERANCE = 0.5
"""Largest distance in diameters at which a pick gets the orientation of a particle; other picks get a random one."""
BOX = 2.0
"""Smallest side of a box in diameters, sufficient for delocalisation by contrast transfer."""
PIXELS_AT_ONCE = 10_000_000
"""Pixels of boxes that are transformed together, at about 40 bytes each."""


@dataclass(frozen=True, eq=False)
class OrientedMicrograph:
    """A simulated micrograph with what a reconstruction needs.

    Attributes
    ----------
    source : the micrograph.
    truth : its particles.
    rotations : float64 (n, 3, 3), from the structure's frame to the image's, for each particle.
    optics : a batch of one.
    """

    source: MicrographSource
    truth: Picks
    rotations: NDArray[np.float64]
    optics: Optics


@dataclass(frozen=True, eq=False)
class HalfMaps:
    """Two maps float32 (side, side, side), each from a random half of the picks, and their correlation."""

    first: NDArray[np.float32]
    second: NDArray[np.float32]
    correlation: ShellCorrelation

    @property
    def mean(self) -> NDArray[np.float32]:
        """Map of all picks."""
        return np.asarray((self.first + self.second) / 2, np.float32)


@dataclass(frozen=True, eq=False)
class Resolution:
    """Map resolution that a set of picks reaches.

    Attributes
    ----------
    name : name of the picks in tables.
    truth, correct, false : number of particles, of correct picks, and of false picks (which have random orientations).
    errors : float64 (correct,), distance from each correct pick to its particle in Å.
    directions : float64 (correct, 2), viewing directions of the picked particles as rot and tilt in degrees.
    voxel_size, diameter : Å.
    as_picked : half-maps reconstructed about the picks.
    recentred : half-maps reconstructed about the true centres, as after a perfect refinement.
    """

    name: str
    truth: int
    correct: int
    false: int
    errors: NDArray[np.float64]
    directions: NDArray[np.float64]
    voxel_size: float
    diameter: float
    as_picked: HalfMaps
    recentred: HalfMaps

    @property
    def missed(self) -> int:
        """Number of particles that were not picked."""
        return self.truth - self.correct


def read_oriented(folder: Path | str) -> list[OrientedMicrograph]:
    """Read micrographs that `cryopick simulate` wrote, sorted by name.

    Raises `FileError` if the folder holds anything else, if micrographs are missing, or if structures or pixel sizes differ.
    """
    dataset = DatasetFolder(Path(folder))
    particle_file, micrograph_file = (dataset.ground_truth / f"{name}.star" for name in ("particles", "micrographs"))
    for needed in (particle_file, micrograph_file):
        if not needed.is_file():
            raise FileError(needed, "does not exist", "Give a folder that `cryopick simulate` wrote")
    table, particles = read_star(micrograph_file)["micrographs"], read_star(particle_file)["particles"]
    for label, what in (("cryopickStructure", "structures"), ("cryopickPixelSize", "pixel sizes")):
        if len(set(table.text(label))) > 1:
            remedy = "Simulate a single structure, with --structures FILE or --structures barrel-D7"
            raise FileError(micrograph_file, f"lists micrographs of different {what}", remedy)
    sources = {source.name.rpartition("/")[2]: source for source in find_micrographs(dataset.micrographs)}
    if lost := sorted(set(table.text("rlnMicrographName")) - sources.keys()):
        raise FileError(micrograph_file, f"lists {lost[0]}, which does not exist", "Run the same `cryopick simulate` again")
    truth = {picks.micrograph: picks for picks in read_picks(particle_file, format="star")}
    names = np.array(particles.text("rlnMicrographName"))
    rotations = rotations_of(np.stack([particles.numbers(f"rlnAngle{which}") for which in ("Rot", "Tilt", "Psi")], 1))
    diameter, size = float(table.numbers("cryopickDiameter")[0]), float(table.numbers("cryopickPixelSize")[0])
    return [
        OrientedMicrograph(
            sources[name],
            truth.get(name, Picks(name, diameter=diameter, pixel_size=size)),
            rotations[names == name],
            _optics(table, row),
        )
        for row, name in sorted(enumerate(table.text("rlnMicrographName")), key=lambda one: one[1])
    ]


def reconstruct_picks(
    name: str,
    picks: Sequence[Picks],
    micrographs: Sequence[OrientedMicrograph],
    *,
    symmetry: str = "C1",
    seed: int = 0,
) -> Resolution:
    """Reconstruct half-maps of the picked particles of simulated micrographs.

    Parameters
    ----------
    name : name of the picks in tables.
    picks : on any of the micrographs.
    micrographs : from `read_oriented`.
    symmetry : point group of the structure, with the axes of `point_group`.
    seed : random seed of the halves and of the orientations of false picks.

    Raises `SettingError` if the ground truth has no pixel size or diameter or the symmetry is unknown, and `NameMatchError` for
    picks on other micrographs.
    """
    truth = micrographs[0].truth
    size, diameter = truth.pixel_size, truth.diameter
    if size is None or diameter is None:
        raise SettingError("the ground truth has no pixel size or no diameter; simulate the micrographs again")
    side = box_side(diameter / size, times=BOX)
    group = torch.from_numpy(point_group(symmetry)).float()
    halves = [[Reconstruction(side), Reconstruction(side)] for _ in range(2)]
    rows = list(_matched(picks, micrographs, radius_px=TOLERANCE * diameter / size, seed=seed))
    for one, particles in zip(micrographs, rows, strict=True):
        if len(particles.xy):
            weight = transfer(one.optics, frequencies((side, side), torch.tensor([size])))
            _add_micrograph(one.source.read().pixels, particles, weight, halves, side=side)
    mask = soft_sphere(side, diameter_px=diameter / size)
    as_picked, recentred = (_half_maps(pair, group, voxel_size=size, mask=mask) for pair in halves)
    correct = np.concatenate([row.correct for row in rows])
    errors = np.concatenate([np.linalg.norm(row.xy - row.true_xy, axis=1) for row in rows])[correct] * size
    views = torch.cat([row.rotations for row in rows]).numpy()[correct][:, 2]
    directions = np.rad2deg(np.stack([np.arctan2(views[:, 1], views[:, 0]), np.arccos(np.clip(views[:, 2], -1, 1))], 1))
    there, found = sum(len(one.truth) for one in micrographs), int(correct.sum())
    return Resolution(name, there, found, len(correct) - found, errors, directions, size, diameter, as_picked, recentred)


def correlation_with_truth(found: Resolution, truth: Resolution) -> ShellCorrelation:
    """Correlate the map of picks with that of the ground truth: each half with the other half, so that they share no particle.

    Half-maps of picks with a systematic error agree with each other though both are wrong, but not with those of the ground
    truth. Both must come from the same micrographs and the same seed.
    """
    mask = soft_sphere(len(found.as_picked.first), diameter_px=found.diameter / found.voxel_size)
    couples = ((found.as_picked.first, truth.as_picked.second), (found.as_picked.second, truth.as_picked.first))
    both = [shell_correlation(one, other, voxel_size=found.voxel_size, mask=mask) for one, other in couples]
    return ShellCorrelation(both[0].frequency, np.mean([one.correlation for one in both], axis=0))


def box_transforms(pixels: NDArray[np.float32], xy: NDArray[np.float64], *, side: int) -> torch.Tensor:
    """Cut out boxes about points (n, 2) of a micrograph and transform them, with the points as origins.

    Returns complex (n, side, side // 2 + 1). The micrograph is standardised with bright particles, and zero beyond its edges.
    """
    bright = (pixels.mean() - pixels) / (pixels.std() or 1)
    padded = np.pad(bright, side)
    whole = np.rint(xy).astype(np.intp)
    corner = np.clip(whole - side // 2 + side, 0, np.array(padded.shape[::-1]) - side)
    boxes = np.stack([padded[y : y + side, x : x + side] for x, y in corner])
    origin = torch.from_numpy(xy - whole + side // 2)
    row, column = torch.fft.fftfreq(side), torch.fft.rfftfreq(side)
    phase = origin[:, 1, None, None] * row[None, :, None] + origin[:, 0, None, None] * column[None, None, :]
    shifted: torch.Tensor = torch.fft.rfft2(torch.from_numpy(boxes)) * torch.exp(2j * torch.pi * phase).to(torch.complex64)
    return shifted


def box_side(diameter_px: float, *, times: float) -> int:
    """Return an even side in pixels that transforms fast, at least `times` the particle diameter."""
    return 2 * int(next_fast_len(int(np.ceil(times * diameter_px / 2)), real=True))


@dataclass(frozen=True, eq=False)
class _MatchedPicks:
    """The n picks of a micrograph with their particles.

    `true_xy` (n, 2) are the centres of the particles, or of the pick itself if it is false; `half` (n,) is 0 or 1.
    """

    xy: NDArray[np.float64]
    true_xy: NDArray[np.float64]
    rotations: torch.Tensor
    correct: NDArray[np.bool_]
    half: NDArray[np.intp]


def _matched(
    picks: Sequence[Picks], micrographs: Sequence[OrientedMicrograph], *, radius_px: float, seed: int
) -> Iterator[_MatchedPicks]:
    couples, _ = pair_micrographs(picks, [one.truth for one in micrographs])
    start = 0  # halves alternate over all micrographs, so those of the ground truth differ by one particle at most
    for number, (couple, one) in enumerate(zip(couples, micrographs, strict=True)):
        rng = generator(seed, "resolution", number)
        pairs = match_points(couple.found.xy, couple.truth.xy, radius_px=radius_px).pairs
        half_of_true = (rng.permutation(len(couple.truth)) + start) % 2  # a particle is in the same half for all sets of picks
        start += len(couple.truth)
        count = len(couple.found)
        correct, true_xy, half = np.zeros(count, bool), couple.found.xy.copy(), rng.integers(2, size=count)
        correct[pairs[:, 0]], true_xy[pairs[:, 0]] = True, couple.truth.xy[pairs[:, 1]]
        half[pairs[:, 0]] = half_of_true[pairs[:, 1]]
        rotations = random_rotations(count, torch.Generator().manual_seed(int(rng.integers(2**62))))
        rotations[pairs[:, 0]] = torch.from_numpy(one.rotations[pairs[:, 1]]).float()
        yield _MatchedPicks(couple.found.xy, true_xy, rotations, correct, half)


def _add_micrograph(
    pixels: NDArray[np.float32],
    particles: _MatchedPicks,
    weight: torch.Tensor,
    halves: Sequence[Sequence[Reconstruction]],
    *,
    side: int,
) -> None:
    """Add a micrograph's particles to the halves of two reconstructions: about the picks, and about the true centres."""
    step = max(1, PIXELS_AT_ONCE // side**2)
    for start in range(0, len(particles.xy), step):
        part = slice(start, start + step)
        for centres, pair in zip((particles.xy[part], particles.true_xy[part]), halves, strict=True):
            transforms = box_transforms(pixels, centres, side=side)
            for half, reconstruction in enumerate(pair):
                chosen = torch.from_numpy(particles.half[part] == half)
                reconstruction.add(transforms[chosen], weight, particles.rotations[part][chosen])


def _half_maps(pair: Sequence[Reconstruction], group: torch.Tensor, *, voxel_size: float, mask: NDArray[np.float64]) -> HalfMaps:
    first, second = (half.map(group) for half in pair)
    return HalfMaps(first, second, shell_correlation(first, second, voxel_size=voxel_size, mask=mask))


def _optics(table: StarTable, row: int) -> Optics:
    """Return the optics in one row of the table of micrographs."""
    labels = {
        "defocus": "Defocus",
        "astigmatism": "Astigmatism",
        "azimuth": "Azimuth",
        "cs": "Cs",
        "amplitude_contrast": "AmplitudeContrast",
        "phase_shift": "PhaseShift",
        "b_factor": "BFactor",
        "voltage": "Voltage",
    }
    column = {key: table.numbers(f"cryopick{label}")[row : row + 1] for key, label in labels.items()}
    return Optics(**{key: torch.from_numpy(value).float() for key, value in column.items()})
