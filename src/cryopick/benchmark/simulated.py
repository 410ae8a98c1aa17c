"""Simulated benchmark sets, from easy to hard, of structures that the package's weights were not trained on.

They are the same on every machine. Each set shows a single structure, like a real session.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from cryopick.errors import SettingError
from cryopick.files import write_text
from cryopick.io.datasets.cryoppp import DatasetFolder
from cryopick.randomness import generator
from cryopick.simulate import FixedStructures, Structure, load_settings, pseudo_protein, simulate_micrograph
from cryopick.simulate.dataset import false_positives

SEED = 74_001
"""Random seed of the sets; training uses other seeds and therefore other structures."""
DIAMETERS = {"easy": 220.0, "typical": 160.0, "carbon": 200.0, "hard": 130.0}
"""Particle diameter in Å by preset of `cryopick simulate`."""


@dataclass(frozen=True)
class Scale:
    """Size of the simulated sets: micrographs per set, their side in pixels, and the pixel size in Å."""

    micrographs: int
    side: int
    pixel_size: float


SCALES = {"tiny": Scale(1, 512, 4.0), "small": Scale(3, 1536, 2.0), "full": Scale(20, 4096, 1.0)}


def make_sets(folder: Path, name: str, *, on_made: Callable[[str], None] = lambda made: None) -> Path:
    """Simulate the sets of one of `SCALES` in `folder`, except micrographs that exist, and return the list of sets.

    `on_made` is called with the name of every new micrograph. Raises `SettingError` for an unknown scale.
    """
    if name not in SCALES:
        raise SettingError(f"unknown scale of simulated sets {name!r}; use one of {', '.join(SCALES)}")
    entries = [_make(folder / f"simulated-{name}-{preset}", preset, SCALES[name], on_made) for preset in DIAMETERS]
    path = folder / f"simulated-{name}.yaml"
    write_text(path, yaml.safe_dump(entries, sort_keys=False))
    return path


def structure_of(preset: str) -> Structure:
    """Return the structure of the simulated set of a preset."""
    return pseudo_protein(generator(SEED, "benchmark", preset), diameter=DIAMETERS[preset])


def _make(root: Path, preset: str, scale: Scale, on_made: Callable[[str], None]) -> dict[str, object]:
    folder, structure = DatasetFolder(root), structure_of(preset)
    for index in range(scale.micrographs):
        name = f"sim_{SEED}_{index:06d}.mrc"
        if not (folder.coordinates / name).with_suffix(".csv").exists():
            simulated = simulate_micrograph(
                seed=SEED,
                index=index,
                size=scale.side,
                pixel_size=scale.pixel_size,
                settings=load_settings(preset),
                structures=FixedStructures([structure]),
            )
            folder.write(simulated.micrograph, simulated.truth, false_positives(simulated))
            on_made(f"{root.name}/{name}")
    return {
        "name": root.name,
        "micrographs": f"{root.name}/micrographs",
        "truth": f"{root.name}/ground_truth/particle_coordinates",
        "negatives": f"{root.name}/ground_truth/false_positives",
        "diameter": round(structure.diameter, 1),
        "pixel_size": scale.pixel_size,
    }
