"""What picks are worth in Å: half-maps of the picked particles, reconstructed with the orientations that a simulation knows.

Everything but the picks is perfect here, so the effect of misses, false picks and centring errors is seen alone, in seconds. A
program that has to find the orientations loses more to all three.
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
"""Of a diameter: picks nearer to a particle than this have its orientation, all others a random one."""
BOX = 2.0
"""Of a diameter, the boxes' side at least: room for what contrast transfer spreads."""
PIXELS_AT_ONCE = 10_000_000
"""Of boxes: their transforms, with all that leads there, take some 40 bytes for each."""


@dataclass(frozen=True, eq=False)
class OrientedMicrograph:
    """A simulated micrograph with all that a reconstruction needs: `rotations` (n, 3, 3) of `truth`, optics of a batch of one."""

    source: MicrographSource
    truth: Picks
    rotations: NDArray[np.float64]
    optics: Optics


@dataclass(frozen=True, eq=False)
class HalfMaps:
    """Two maps (side, side, side), float32, of a random half of the picks each, and how far they agree."""

    first: NDArray[np.float32]
    second: NDArray[np.float32]
    correlation: ShellCorrelation

    @property
    def mean(self) -> NDArray[np.float32]:
        """The map of all picks."""
        return np.asarray((self.first + self.second) / 2, np.float32)


@dataclass(frozen=True, eq=False)
class Resolution:
    """What became of some picks.

    Attributes
    ----------
    truth, right, false : particles there are, those that were picked, picks that are none (each with a random orientation).
    errors : float64 (right,), Å from the pick to its particle.
    directions : float64 (right, 2), rot and tilt in degrees, from where the picked particles are seen.
    voxel_size, diameter : Å.
    as_picked : reconstructed about the picks. `recentred` : about the true centres, as if refinement had mended them all.
    """

    name: str
    truth: int
    right: int
    false: int
    errors: NDArray[np.float64]
    directions: NDArray[np.float64]
    voxel_size: float
    diameter: float
    as_picked: HalfMaps
    recentred: HalfMaps

    @property
    def missed(self) -> int:
        """Particles that were not picked."""
        return self.truth - self.right


def read_oriented(folder: Path | str) -> list[OrientedMicrograph]:
    """The micrographs that `cryopick simulate` wrote, sorted by name.

    Raises `FileError` for a folder of anything else, one that has lost micrographs, and one whose micrographs show different
    structures or have different pixel sizes.
    """
    dataset = DatasetFolder(Path(folder))
    particle_file, micrograph_file = (dataset.ground_truth / f"{name}.star" for name in ("particles", "micrographs"))
    for needed in (particle_file, micrograph_file):
        if not needed.is_file():
            raise FileError(needed, "does not exist", "Give a folder that `cryopick simulate` wrote")
    table, particles = read_star(micrograph_file)["micrographs"], read_star(particle_file)["particles"]
    for label, what in (("cryopickStructure", "structures"), ("cryopickPixelSize", "pixel sizes")):
        if len(set(table.text(label))) > 1:
            remedy = "Simulate with one structure, as --structures FILE or --structures barrel-D7, to reconstruct it"
            raise FileError(micrograph_file, f"lists micrographs of different {what}", remedy)
    sources = {source.name.rpartition("/")[2]: source for source in find_micrographs(dataset.micrographs)}
    if lost := sorted(set(table.text("rlnMicrographName")) - sources.keys()):
        raise FileError(micrograph_file, f"lists {lost[0]}, which is not there", "Run the same `cryopick simulate` again")
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


def resolve_picks(
    name: str,
    picks: Sequence[Picks],
    micrographs: Sequence[OrientedMicrograph],
    *,
    symmetry: str = "C1",
    seed: int = 0,
) -> Resolution:
    """Reconstruct what was picked on simulated micrographs, twice two halves.

    Parameters
    ----------
    name : what the picks are called in tables.
    symmetry : of the structure, in the frame that the orientations refer to (`point_group` has the axes).
    seed : of the halves and of false picks' orientations.

    Raises `SettingError` where the truth has no size or the symmetry no name, `NameMatchError` for picks on other micrographs.
    """
    truth = micrographs[0].truth
    size, diameter = truth.pixel_size, truth.diameter
    if size is None or diameter is None:
        raise SettingError("the true particles have no pixel size or no diameter; simulate the micrographs again")
    side = box_side(diameter / size, times=BOX)
    group = torch.from_numpy(point_group(symmetry)).float()
    halves = [[Reconstruction(side), Reconstruction(side)] for _ in range(2)]
    rows = list(_matched(picks, micrographs, radius_px=TOLERANCE * diameter / size, seed=seed))
    for one, particles in zip(micrographs, rows, strict=True):
        if len(particles.xy):
            weight = transfer(one.optics, frequencies((side, side), torch.tensor([size])))
            _put_in(one.source.read().pixels, particles, weight, halves, side=side)
    mask = soft_sphere(side, diameter_px=diameter / size)
    as_picked, recentred = (_half_maps(pair, group, voxel_size=size, mask=mask) for pair in halves)
    right = np.concatenate([row.right for row in rows])
    errors = np.concatenate([np.linalg.norm(row.xy - row.true_xy, axis=1) for row in rows])[right] * size
    views = torch.cat([row.rotations for row in rows]).numpy()[right][:, 2]
    directions = np.rad2deg(np.stack([np.arctan2(views[:, 1], views[:, 0]), np.arccos(np.clip(views[:, 2], -1, 1))], 1))
    there, found = sum(len(one.truth) for one in micrographs), int(right.sum())
    return Resolution(name, there, found, len(right) - found, errors, directions, size, diameter, as_picked, recentred)


def agreement(found: Resolution, truth: Resolution) -> ShellCorrelation:
    """How far the map of picks is the true one: each of its halves with the truth's other half, so that they share no particle.

    Two half-maps of picks that are off in one way agree with each other, though both are wrong; with the truth's they do not.
    Both must come from the same micrographs, with one seed.
    """
    mask = soft_sphere(len(found.as_picked.first), diameter_px=found.diameter / found.voxel_size)
    couples = ((found.as_picked.first, truth.as_picked.second), (found.as_picked.second, truth.as_picked.first))
    both = [shell_correlation(one, other, voxel_size=found.voxel_size, mask=mask) for one, other in couples]
    return ShellCorrelation(both[0].frequency, np.mean([one.correlation for one in both], axis=0))


def box_transforms(pixels: NDArray[np.float32], xy: NDArray[np.float64], *, side: int) -> torch.Tensor:
    """Transforms, complex (n, side, side // 2 + 1), of boxes about points (n, 2) of a micrograph, the points being the origins.

    The micrograph is standardised and turned so that particles are bright; beyond its edges it is at its mean, 0.
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
    """The even side, quick to transform, of a box at least `times` as wide as the particle."""
    return 2 * int(next_fast_len(int(np.ceil(times * diameter_px / 2)), real=True))


@dataclass(frozen=True, eq=False)
class _Picked:
    """Picks (n) of a micrograph: where they are, where their particles are (false ones: where they are), halves 0 and 1."""

    xy: NDArray[np.float64]
    true_xy: NDArray[np.float64]
    rotations: torch.Tensor
    right: NDArray[np.bool_]
    half: NDArray[np.intp]


def _matched(
    picks: Sequence[Picks], micrographs: Sequence[OrientedMicrograph], *, radius_px: float, seed: int
) -> Iterator[_Picked]:
    couples, _ = pair_micrographs(picks, [one.truth for one in micrographs])
    start = 0  # halves alternate through all micrographs, so that the truth's differ by one particle at most
    for number, (couple, one) in enumerate(zip(couples, micrographs, strict=True)):
        rng = generator(seed, "resolution", number)
        pairs = match_points(couple.found.xy, couple.truth.xy, radius_px=radius_px).pairs
        half_of_true = (rng.permutation(len(couple.truth)) + start) % 2  # a particle is in one half, whoever picks it
        start += len(couple.truth)
        count = len(couple.found)
        right, true_xy, half = np.zeros(count, bool), couple.found.xy.copy(), rng.integers(2, size=count)
        right[pairs[:, 0]], true_xy[pairs[:, 0]] = True, couple.truth.xy[pairs[:, 1]]
        half[pairs[:, 0]] = half_of_true[pairs[:, 1]]
        rotations = random_rotations(count, torch.Generator().manual_seed(int(rng.integers(2**62))))
        rotations[pairs[:, 0]] = torch.from_numpy(one.rotations[pairs[:, 1]]).float()
        yield _Picked(couple.found.xy, true_xy, rotations, right, half)


def _put_in(
    pixels: NDArray[np.float32],
    particles: _Picked,
    weight: torch.Tensor,
    halves: Sequence[Sequence[Reconstruction]],
    *,
    side: int,
) -> None:
    """Add a micrograph's particles to the halves of two reconstructions: about their picks, and about their true centres."""
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
    """The optics of one row of the table of micrographs, whose columns are those of `Optics`."""
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
