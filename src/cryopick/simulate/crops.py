"""Batches of labelled training crops, simulated on the CPU or the GPU."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from cryopick.randomness import generator
from cryopick.simulate.conditions import draw_conditions, log_uniform
from cryopick.simulate.field import Beads, simulate_field
from cryopick.simulate.micrograph import MIN_VISIBILITY
from cryopick.simulate.particles import WHOLE
from cryopick.simulate.pseudoproteins import pseudo_protein
from cryopick.simulate.settings import Range, SimulationSettings
from cryopick.simulate.sources import gather_beads
from cryopick.simulate.structures import Structure

NATIVE_PIXEL_SIZE = (0.6, 1.8)
"""Range of the pixel size in Å of the micrographs that crops are binned from."""
CROP_BEADS_ACROSS = 12
"""Beads along a particle's diameter; crops are binned, so fewer do than for micrographs."""


@dataclass(frozen=True, eq=False)
class StructureBank:
    """Structures (s) as tensors on one device.

    Attributes
    ----------
    beads : the bead models.
    diameter : float32 (s,), Å.
    """

    beads: Beads
    diameter: torch.Tensor

    def __len__(self) -> int:
        return len(self.diameter)


@dataclass(frozen=True, eq=False)
class Crops:
    """A batch of b labelled crops. The points of all crops share one list; `image` gives the crop of each.

    Attributes
    ----------
    pixels : float32 (b, h, w), electrons per pixel.
    pixel_size : float32 (b,), Å.
    diameter_px : float32 (b,), pixels.
    xy : float32 (n, 2), centres of the particles in pixels. They may lie up to half a diameter outside the crop, so that targets
        can show the part of a particle that is inside.
    image : int64 (n,), index of the crop.
    visibility : float32 (n,), visible share of each particle's disc.
    junk_xy, junk_image : centres and crops of fragments, aggregates and hidden particles.
    cover : uint8 (b, h, w), 0 or a key of `COVER_NAMES`.
    """

    pixels: torch.Tensor
    pixel_size: torch.Tensor
    diameter_px: torch.Tensor
    xy: torch.Tensor
    image: torch.Tensor
    visibility: torch.Tensor
    junk_xy: torch.Tensor
    junk_image: torch.Tensor
    cover: torch.Tensor


def structure_bank(structures: Sequence[Structure], *, device: torch.device | str = "cpu") -> StructureBank:
    """Move structures to a device as a `StructureBank`."""
    diameter = torch.tensor([structure.diameter for structure in structures], dtype=torch.float32, device=device)
    return StructureBank(gather_beads(structures, device=device, across=CROP_BEADS_ACROSS), diameter)


def random_structures(count: int, *, seed: int, diameter: Range = (80.0, 1000.0)) -> list[Structure]:
    """Make pseudo-proteins of log-uniform diameter in Å.

    With the same seed, a longer list begins with the structures of a shorter one.
    """
    structures = []
    for number in range(count):
        rng = generator(seed, "structure", number)
        structures.append(pseudo_protein(rng, diameter=float(log_uniform(rng, diameter, 1)[0])))
    return structures


def simulate_crops(
    bank: StructureBank,
    count: int,
    *,
    size: int = 256,
    diameter_px: Range = (16.0, 33.0),
    settings: SimulationSettings | None = None,
    rng: np.random.Generator,
) -> Crops:
    """Simulate `count` square crops, each of one random structure of the bank.

    Parameters
    ----------
    size : side of a crop in pixels.
    diameter_px : range of the particle diameter in pixels, log-uniform. It sets the pixel size: crops look like micrographs that
        were binned from 0.6 to 1.8 Å per pixel.
    settings : the defaults of `SimulationSettings` if omitted.

    Crops are computed on the bank's device.
    """
    settings = settings or SimulationSettings()
    device = bank.diameter.device
    chosen = rng.integers(len(bank), size=count)
    structure = torch.as_tensor(chosen, device=device)
    diameter = bank.diameter[structure].double().cpu().numpy()
    pixel_size = diameter / log_uniform(rng, diameter_px, count)
    conditions = draw_conditions(
        settings,
        rng,
        pixel_size=pixel_size,
        native=np.minimum(pixel_size, rng.uniform(*NATIVE_PIXEL_SIZE, count)),
        diameter=diameter,
        device=device,
    )
    torch_rng = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
    field = simulate_field(conditions, settings, bank.beads, structure=structure, shape_hw=(size, size), rng=torch_rng)
    particles = field.particles
    wanted = (particles.role == WHOLE) & ((field.visibility >= MIN_VISIBILITY) | _beyond(particles.xy, size))
    return Crops(
        field.electrons,
        conditions.pixel_size,
        conditions.diameter / conditions.pixel_size,
        particles.xy[wanted],
        particles.image[wanted],
        field.visibility[wanted],
        particles.xy[~wanted],
        particles.image[~wanted],
        field.cover.to(torch.uint8),
    )


def _beyond(xy: torch.Tensor, size: int) -> torch.Tensor:
    return ((xy < 0) | (xy > size - 1)).any(1)
