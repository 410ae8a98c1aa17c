"""One simulated micrograph and everything that is true of it."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from cryopick.coordinates import inside
from cryopick.randomness import generator
from cryopick.simulate.conditions import Conditions, draw_conditions
from cryopick.simulate.field import Field, simulate_field
from cryopick.simulate.particles import AGGREGATE, COPIES_IN_AGGREGATE, FRAGMENT, WHOLE
from cryopick.simulate.settings import Range, SimulationSettings
from cryopick.simulate.sources import RandomStructures, StructureSource, gather_beads
from cryopick.simulate.structures import Structure
from cryopick.types import Micrograph, Picks

LEAST_VISIBLE = 0.35
"""Particles of which less is on bare ice are recorded as distractors: nobody could pick them."""
SMALLEST_DIAMETER_PX = 12.0
LARGEST_DIAMETER_SHARE = 0.25


@dataclass(frozen=True, eq=False)
class Distractors:
    """Things of one kind that look like something and are no particle: centres (n, 2) in pixels, diameter (n,) in pixels."""

    kind: str
    xy: NDArray[np.float64]
    diameter_px: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.xy)


@dataclass(frozen=True, eq=False)
class SimulatedMicrograph:
    """A micrograph, its particles, and all that was drawn to make it.

    Attributes
    ----------
    micrograph : electrons per pixel.
    truth : the particles whose centres are in the picture and that are visible, without scores.
    rotations : float32 (n, 3, 3), for each particle of `truth`, from the structure's frame to the picture's.
    visibility : float32 (n,), share of each one's disc that is in the picture and on bare ice.
    structure : what the particles are.
    distractors : one entry a kind: fragments, aggregates, hidden particles, filaments.
    cover : uint8 (h, w), 0 or a number of `COVER_NAMES`: carbon, contamination, crystalline ice, gold, border.
    properties : defocus and all else that was drawn, by name, in the units of `Conditions`.
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
        """Mean defocus, positive for under-focus."""
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
    """Micrograph number `index` of the endless series that `seed` and the settings define.

    Parameters
    ----------
    size : side, or (height, width), in pixels.
    pixel_size : Å.
    preset : one of the package's, unless `settings` are given.
    structures : where the particle comes from, random pseudo-proteins unless given.
    device : where to work it out. On one kind of machine and with one thread the same call gives the same bytes.

    Raises
    ------
    SettingError : no such preset, or a picture too small to hold a random particle.
    """
    shape_hw = (size, size) if isinstance(size, int) else size
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
    picture = simulate_field(
        conditions,
        settings,
        gather_beads([structure], device=device, across=settings.beads_across),
        structure=torch.zeros(1, dtype=torch.long, device=device),
        shape_hw=shape_hw,
        rng=torch_rng,
    )
    return _describe(picture, conditions, structure, name=micrograph_name(seed, index))


def micrograph_name(seed: int, index: int) -> str:
    """What micrograph number `index` of a seed's series is called."""
    return f"sim_{seed}_{index:06d}.mrc"


def load_settings(preset: str) -> SimulationSettings:
    """The settings of a preset of the package. Raises `SettingError` with the names there are."""
    from cryopick.config import load_preset, resolve

    return resolve(SimulationSettings, load_preset("simulate", preset))


def _diameters(limits: Range, shape_hw: tuple[int, int], pixel_size: float) -> Range:
    """The part of the range whose particles are more than a few pixels and less than a quarter of the picture; may be empty."""
    low = max(limits[0], SMALLEST_DIAMETER_PX * pixel_size)
    high = min(limits[1], LARGEST_DIAMETER_SHARE * min(shape_hw) * pixel_size)
    return low, high


def _describe(picture: Field, conditions: Conditions, structure: Structure, *, name: str) -> SimulatedMicrograph:
    """The first picture of a field with its truth, in numpy."""
    pixels = picture.electrons[0].cpu().numpy()
    pixel_size = float(conditions.pixel_size[0])
    xy = picture.particles.xy.double().cpu().numpy()
    role, visibility = picture.particles.role.cpu().numpy(), picture.visibility.cpu().numpy()
    present = inside(xy, pixels.shape)
    good = (role == WHOLE) & present & (visibility >= LEAST_VISIBLE)
    hidden = (role == WHOLE) & present & ~good
    diameter = structure.diameter / pixel_size
    clumps = xy[role == AGGREGATE].reshape(-1, COPIES_IN_AGGREGATE, 2).mean(1)
    paths = picture.filaments.path.double().cpu().numpy().reshape(-1, 2)
    widths = np.repeat(picture.filaments.width.double().cpu().numpy() / pixel_size, picture.filaments.path.shape[1])
    distractors = (
        Distractors("hidden", xy[hidden], np.full(int(hidden.sum()), diameter)),
        Distractors("fragment", xy[role == FRAGMENT], np.full(int((role == FRAGMENT).sum()), 0.8 * diameter)),
        Distractors("aggregate", clumps, np.full(len(clumps), 1.6 * diameter)),
        Distractors("filament", paths, widths),
    )
    return SimulatedMicrograph(
        Micrograph(pixels, pixel_size, name),
        Picks(name, xy[good], None, structure.diameter, pixels.shape, pixel_size),
        picture.particles.rotation.cpu().numpy()[good],
        visibility[good],
        structure,
        tuple(_in_picture(kind, pixels.shape) for kind in distractors),
        picture.cover[0].cpu().numpy().astype(np.uint8),
        _properties(picture, conditions),
    )


def _in_picture(distractors: Distractors, shape_hw: tuple[int, int]) -> Distractors:
    keep = inside(distractors.xy, shape_hw)
    return Distractors(distractors.kind, distractors.xy[keep], distractors.diameter_px[keep])


def _properties(picture: Field, conditions: Conditions) -> dict[str, float]:
    """Everything drawn for the first picture, as plain numbers."""
    drawn = {**vars(conditions.optics), **{key: value for key, value in vars(conditions).items() if key != "optics"}}
    drawn["strength"] = picture.strength
    return {key: float(value[0]) for key, value in drawn.items()}
