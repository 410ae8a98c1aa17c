"""One simulated micrograph with its ground truth."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from cryopick.checks import checked_positive
from cryopick.coordinates import inside
from cryopick.errors import SettingError
from cryopick.models.inference import require_device
from cryopick.randomness import generator
from cryopick.simulate.conditions import Conditions, draw_conditions
from cryopick.simulate.field import Field, simulate_field
from cryopick.simulate.particles import AGGREGATE, COPIES_IN_AGGREGATE, FRAGMENT, WHOLE
from cryopick.simulate.settings import Range, SimulationSettings
from cryopick.simulate.sources import RandomStructures, StructureSource, gather_beads
from cryopick.simulate.structures import Structure
from cryopick.types import Micrograph, Picks

MIN_VISIBILITY = 0.35
"""Visible share below which a particle counts as a distractor, since it cannot be picked."""
SMALLEST_DIAMETER_PX = 12.0
LARGEST_DIAMETER_SHARE = 0.25
"""Largest diameter of random structures, as a share of the shorter side of the micrograph."""


@dataclass(frozen=True, eq=False)
class Distractors:
    """Objects of one kind that a picker should ignore.

    Attributes
    ----------
    kind : hidden, fragment, aggregate or filament.
    xy : float64 (n, 2), centres in pixels.
    diameter_px : float64 (n,), pixels.
    """

    kind: str
    xy: NDArray[np.float64]
    diameter_px: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.xy)


@dataclass(frozen=True, eq=False)
class SimulatedMicrograph:
    """A simulated micrograph with its particles and imaging conditions.

    Attributes
    ----------
    micrograph : electrons per pixel.
    truth : the visible particles with their centres inside the image, without scores.
    rotations : float32 (n, 3, 3), for each particle of `truth`, from the structure's frame to the image's.
    visibility : float32 (n,), share of each particle's disc that is inside the image and on bare ice.
    structure : the particle.
    distractors : one entry per kind: hidden particles, fragments, aggregates, filaments.
    cover : uint8 (h, w), 0 or a key of `COVER_NAMES`: carbon, contamination, crystalline ice, gold, border.
    properties : defocus and all other drawn values by name, in the units of `Conditions`.

    Examples
    --------
    >>> simulated = simulate_micrograph(seed=1, size=256, pixel_size=4.0)
    >>> simulated.truth.micrograph, len(simulated.truth) == len(simulated.rotations)
    ('sim_1_000000.mrc', True)
    """

    micrograph: Micrograph
    truth: Picks
    rotations: NDArray[np.float32]
    visibility: NDArray[np.float32]
    structure: Structure
    distractors: tuple[Distractors, ...]
    cover: NDArray[np.uint8]
    properties: dict[str, float] = field(default_factory=dict)

    @property
    def defocus_um(self) -> float:
        """Mean defocus in µm, positive for underfocus."""
        return self.properties["defocus"] / 1e4


def simulate_micrograph(
    *,
    seed: int,
    index: int = 0,
    size: int | tuple[int, int] = 4096,
    pixel_size: float = 1.0,
    preset: str = "typical",
    settings: SimulationSettings | None = None,
    structures: StructureSource | None = None,
    device: str = "cpu",
) -> SimulatedMicrograph:
    """Simulate micrograph number `index` of the series that the seed and the settings define.

    Parameters
    ----------
    seed : random seed of the series.
    index : number in the series.
    size : side, or (height, width), in pixels.
    pixel_size : Å per pixel.
    preset : name of a simulation preset; ignored if `settings` are given.
    settings : ranges of the imaging conditions.
    structures : source of the particle; random pseudo-proteins if omitted.
    device : device to compute on. With one thread on one kind of machine, the same call gives the same bytes.

    Returns
    -------
    SimulatedMicrograph
        The micrograph, its particles as `truth`, and the imaging conditions.

    Raises
    ------
    SettingError
        For an unknown preset or device, an invalid seed, index, size or pixel size, and an image that is too small for a
        particle.

    Examples
    --------
    >>> simulated = simulate_micrograph(seed=1, size=256, pixel_size=4.0)
    >>> simulated.micrograph.shape_hw, simulated.truth.pixel_size
    ((256, 256), 4.0)
    """
    shape_hw = _checked_shape(size)
    checked_positive(pixel_size, "the pixel size", " Å", error=SettingError)
    if not (isinstance(index, int | np.integer) and index >= 0):
        raise SettingError(f"index must be a whole number of at least 0, got {index!r}")
    require_device(device)
    settings = settings or load_settings(preset)
    rng = generator(seed, "micrograph", index)
    structure = (structures or RandomStructures()).draw(rng, _diameters(settings.diameter, shape_hw, pixel_size))
    one = np.ones(1)
    conditions = draw_conditions(
        settings,
        rng,
        pixel_size=pixel_size * one,
        native=pixel_size * one,
        diameter=structure.diameter * one,
        device=device,
    )
    torch_rng = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
    simulated = simulate_field(
        conditions,
        settings,
        gather_beads([structure], device=device, across=settings.beads_across),
        structure=torch.zeros(1, dtype=torch.long, device=device),
        shape_hw=shape_hw,
        rng=torch_rng,
    )
    return _describe(simulated, conditions, structure, name=micrograph_name(seed, index))


def _checked_shape(size: object) -> tuple[int, int]:
    sides = size if isinstance(size, tuple | list) else (size, size)
    if len(sides) != 2 or not all(isinstance(side, int | np.integer) and side > 0 for side in sides):
        raise SettingError(f"size must be a number of pixels, or (height, width), got {size!r}")
    return int(sides[0]), int(sides[1])


def micrograph_name(seed: int, index: int) -> str:
    """Return the file name of micrograph number `index` of the series of a seed."""
    return f"sim_{seed}_{index:06d}.mrc"


def load_settings(preset: str) -> SimulationSettings:
    """Return the settings of a simulation preset. Raises `SettingError` that lists the presets if there is none of that name."""
    from cryopick.config import load_preset, resolve

    return resolve(SimulationSettings, load_preset("simulate", preset))


def _diameters(limits: Range, shape_hw: tuple[int, int], pixel_size: float) -> Range:
    """Return the part of the range in Å between a few pixels and a quarter of the image; it may be empty."""
    low = max(limits[0], SMALLEST_DIAMETER_PX * pixel_size)
    high = min(limits[1], LARGEST_DIAMETER_SHARE * min(shape_hw) * pixel_size)
    return low, high


def _describe(simulated: Field, conditions: Conditions, structure: Structure, *, name: str) -> SimulatedMicrograph:
    """Return the first image of a batch with its ground truth, as numpy arrays."""
    pixels = simulated.electrons[0].cpu().numpy()
    pixel_size = float(conditions.pixel_size[0])
    xy = simulated.particles.xy.double().cpu().numpy()
    role, visibility = simulated.particles.role.cpu().numpy(), simulated.visibility.cpu().numpy()
    present = inside(xy, pixels.shape)
    good = (role == WHOLE) & present & (visibility >= MIN_VISIBILITY)
    hidden = (role == WHOLE) & present & ~good
    diameter = structure.diameter / pixel_size
    clumps = xy[role == AGGREGATE].reshape(-1, COPIES_IN_AGGREGATE, 2).mean(1)
    paths = simulated.filaments.path.double().cpu().numpy().reshape(-1, 2)
    widths = np.repeat(simulated.filaments.width.double().cpu().numpy() / pixel_size, simulated.filaments.path.shape[1])
    distractors = (
        Distractors("hidden", xy[hidden], np.full(int(hidden.sum()), diameter)),
        Distractors("fragment", xy[role == FRAGMENT], np.full(int((role == FRAGMENT).sum()), 0.8 * diameter)),
        Distractors("aggregate", clumps, np.full(len(clumps), 1.6 * diameter)),
        Distractors("filament", paths, widths),
    )
    return SimulatedMicrograph(
        Micrograph(pixels, pixel_size, name),
        Picks(name, xy[good], None, structure.diameter, pixels.shape, pixel_size),
        simulated.particles.rotation.cpu().numpy()[good],
        visibility[good],
        structure,
        tuple(_inside_image(kind, pixels.shape) for kind in distractors),
        simulated.cover[0].cpu().numpy().astype(np.uint8),
        _properties(simulated, conditions),
    )


def _inside_image(distractors: Distractors, shape_hw: tuple[int, int]) -> Distractors:
    keep = inside(distractors.xy, shape_hw)
    return Distractors(distractors.kind, distractors.xy[keep], distractors.diameter_px[keep])


def _properties(simulated: Field, conditions: Conditions) -> dict[str, float]:
    """Return the conditions of the first image as plain numbers."""
    drawn = {**vars(conditions.optics), **{key: value for key, value in vars(conditions).items() if key != "optics"}}
    drawn["strength"] = simulated.strength
    return {key: float(value[0]) for key, value in drawn.items()}
