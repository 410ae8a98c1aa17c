"""A folder of simulated micrographs with their truth in every form that pickers and training want."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryopick.simulate.micrograph import Distractors, SimulatedMicrograph, simulate_micrograph
from cryopick.simulate.settings import SimulationSettings
from cryopick.simulate.sources import OnePseudoProtein, StructureSource
from cryopick.simulate.structure_files import StructureFiles
from cryopick.simulate.symmetry import euler_angles
from cryopick.types import Picks

PARTICLE_SIZED = ("fragment", "aggregate")
"""Distractors that a picker may take for particles: they go into `false_positives`."""
PREVIEW_SIDE = 384


@dataclass(frozen=True)
class Recipe:
    """All that defines the micrographs of a data set.

    `structures` is a file or folder of them, the name of one pseudo-protein (``barrel-D7``), or None for random ones.
    """

    seed: int
    size: int
    pixel_size: float
    settings: SimulationSettings
    structures: Path | str | None = None

    def source(self) -> StructureSource | None:
        """Where micrographs take their structure from; None is a new pseudo-protein each time."""
        if isinstance(self.structures, str):
            return OnePseudoProtein(self.structures, seed=self.seed)
        return None if self.structures is None else StructureFiles(self.structures)


@dataclass(frozen=True, eq=False)
class Written:
    """What the tables and the contact sheet need of a micrograph that has been written."""

    index: int
    name: str
    structure: str
    truth: Picks
    rotations: NDArray[np.float32]
    visibility: NDArray[np.float32]
    distractors: tuple[Distractors, ...]
    properties: dict[str, float]
    preview: NDArray[np.uint8]


class DatasetWriter:
    """Simulates and writes micrographs of a recipe by their numbers; makes one in each process that works on a data set."""

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self._folder, self._recipe = folder, recipe
        self._structures = recipe.source()

    def __call__(self, index: int) -> Written:
        """Write micrograph `index`, its labels and its map of covered pixels."""
        from cryopick.display.overlays import draw
        from cryopick.io.datasets.cryoppp import DatasetFolder
        from cryopick.io.micrographs.files import write_micrograph

        found = simulate_micrograph(
            seed=self._recipe.seed,
            index=index,
            size=self._recipe.size,
            pixel_size=self._recipe.pixel_size,
            settings=self._recipe.settings,
            structures=self._structures,
        )
        dataset = DatasetFolder(self._folder)
        dataset.write(found.micrograph, found.truth, false_positives(found))
        name = found.micrograph.name
        write_micrograph(dataset.ground_truth / "cover" / Path(name).with_suffix(".png"), found.cover)
        preview = draw(found.micrograph, [], longest_side=PREVIEW_SIDE)
        return Written(
            index,
            name,
            found.structure.name,
            found.truth,
            found.rotations,
            found.visibility,
            found.distractors,
            found.properties,
            preview,
        )


def finish_dataset(folder: Path, written: Sequence[Written]) -> None:
    """Write the tables, the COCO file and the contact sheet of a data set whose micrographs have all been written."""
    from cryopick.display.overlays import contact_sheet, write_png
    from cryopick.files import write_text
    from cryopick.io.datasets.cryoppp import DatasetFolder
    from cryopick.io.picks.formats import write_picks
    from cryopick.io.tables.star import star_text

    written = sorted(written, key=lambda one: one.index)
    truth_folder = DatasetFolder(folder).ground_truth
    write_text(truth_folder / "particles.star", star_text({"particles": _particle_table(written)}))
    write_text(truth_folder / "micrographs.star", star_text({"micrographs": _micrograph_table(written)}))
    write_text(truth_folder / "distractors.star", star_text({"distractors": _distractor_table(written)}))
    write_picks([one.truth for one in written], truth_folder / "coco.json", format="coco")
    captions = [f"{one.structure}, {one.truth.diameter:.0f} A, {len(one.truth)}" for one in written]
    write_png(contact_sheet([one.preview for one in written], captions), folder / "contact_sheet.png")


def false_positives(found: SimulatedMicrograph) -> Picks:
    """Where things lie that a picker may take for particles and that are none."""
    points = [kind.xy for kind in found.distractors if kind.kind in PARTICLE_SIZED]
    truth = found.truth
    return Picks(truth.micrograph, np.concatenate(points), None, truth.diameter, truth.shape_hw, truth.pixel_size)


def _particle_table(written: Sequence[Written]) -> dict[str, Any]:
    """A row a particle: place, size, orientation and defocus under RELION's labels, and how much of it can be seen."""
    counts = [len(one.truth) for one in written]

    def of_micrograph(key: str) -> NDArray[np.float64]:
        return np.repeat([one.properties[key] for one in written], counts)

    xy = np.concatenate([one.truth.xy for one in written])
    angles = euler_angles(np.concatenate([one.rotations for one in written]))
    defocus, astigmatism = of_micrograph("defocus"), of_micrograph("astigmatism")
    return {
        "rlnMicrographName": [one.name for one in written for _ in range(len(one.truth))],
        "rlnCoordinateX": xy[:, 0],
        "rlnCoordinateY": xy[:, 1],
        "rlnMicrographPixelSize": of_micrograph("pixel_size"),
        "rlnParticleDiameter": of_micrograph("diameter"),
        "rlnAngleRot": angles[:, 0],
        "rlnAngleTilt": angles[:, 1],
        "rlnAnglePsi": angles[:, 2],
        "rlnDefocusU": defocus + astigmatism,
        "rlnDefocusV": defocus - astigmatism,
        "rlnDefocusAngle": np.rad2deg(of_micrograph("azimuth")),
        "rlnPhaseShift": np.rad2deg(of_micrograph("phase_shift")),
        "cryopickVisibility": np.concatenate([one.visibility for one in written]),
    }


def _micrograph_table(written: Sequence[Written]) -> dict[str, Any]:
    """A row a micrograph: the structure and everything that was drawn."""
    return {
        "rlnMicrographName": [one.name for one in written],
        "cryopickStructure": [one.structure for one in written],
        "cryopickParticles": [len(one.truth) for one in written],
        **{f"cryopick{_camel(key)}": [one.properties[key] for one in written] for key in written[0].properties},
    }


def _distractor_table(written: Sequence[Written]) -> dict[str, Any]:
    """A row a distractor; a filament is a row for each of the points along it."""
    kinds = [(one.name, kind) for one in written for kind in one.distractors]
    xy = np.concatenate([kind.xy for _, kind in kinds])
    return {
        "rlnMicrographName": [name for name, kind in kinds for _ in range(len(kind))],
        "cryopickKind": [kind.kind for _, kind in kinds for _ in range(len(kind))],
        "rlnCoordinateX": xy[:, 0],
        "rlnCoordinateY": xy[:, 1],
        "cryopickDiameterPx": np.concatenate([kind.diameter_px for _, kind in kinds]),
    }


def _camel(key: str) -> str:
    return "".join(word.capitalize() for word in key.split("_"))
