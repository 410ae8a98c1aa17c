"""Noise-free projections of structures, for inspection."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from cryopick.simulate.ctf import frequencies
from cryopick.simulate.projection import blur, project_particles
from cryopick.simulate.sources import gather_beads
from cryopick.simulate.structures import Structure
from cryopick.simulate.symmetry import random_rotations

GALLERY_BEADS = 28
"""Beads along a particle's diameter."""
MARGIN = 1.2
"""Side of a projection in particle diameters."""


def projections(structures: Sequence[Structure], *, views: int = 4, side: int = 96, seed: int = 0) -> NDArray[np.float32]:
    """Project structures at random orientations: (n, views, side, side) in V·Å, each scaled to fill its image."""
    rng = torch.Generator().manual_seed(seed)
    count = len(structures) * views
    beads = gather_beads(structures, across=GALLERY_BEADS)
    which = torch.arange(len(structures)).repeat_interleave(views)
    pixel_size = torch.tensor([MARGIN * structure.diameter / side for structure in structures])[which]
    points = project_particles(
        beads.places,
        beads.weights,
        structure=which,
        image=torch.arange(count),
        xy=torch.full((count, 2), (side - 1) / 2),
        rotation=random_rotations(count, rng),
        amplitude=torch.ones(count),
        cut=torch.tensor([0.0, 0.0, 1.0, torch.inf]).expand(count, 4),
        pixel_size=pixel_size,
        shape=(count, side, side),
    )
    sigma = torch.maximum(beads.sigma[which], pixel_size / 2)
    spectrum = torch.fft.rfft2(points) * blur(sigma, pixel_size, frequencies((side, side), pixel_size))
    images = torch.fft.irfft2(spectrum, s=(side, side)).view(len(structures), views, side, side)
    return np.asarray(images.numpy(), np.float32)


def gallery(structures: Sequence[Structure], *, views: int = 4, side: int = 96, seed: int = 0) -> NDArray[np.uint8]:
    """Draw a contact sheet (h, w, 3): one row of views per structure, with its name, diameter and mass."""
    from cryopick.display.overlays import contact_sheet

    strips = []
    for images in projections(structures, views=views, side=side, seed=seed):
        strip = np.concatenate(list(images), axis=1)
        grey = 200 - 180 * np.clip(strip / strip.max(), 0, 1)
        strips.append(np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2))
    captions = [f"{one.name}  {one.diameter:.0f} A  {one.mass_kda:.0f} kDa" for one in structures]
    return contact_sheet(strips, captions)
