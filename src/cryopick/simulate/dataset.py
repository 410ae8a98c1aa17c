"""A folder of simulated micrographs with their ground truth in CryoPPP's layout, as STAR tables and as COCO."""

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
"""Kinds of distractors that are written to `false_positives`: a picker may take them for particles."""
PREVIEW_SIDE = 384
"""Longest side in pixels of a micrograph on the contact sheet."""


@dataclass(frozen=True)
class DatasetSpec:
    """Definition of a simulated data set.

    Attributes
    ----------
    seed : random seed.
    size : side of the micrographs in pixels.
    pixel_size : Å.
    settings : ranges of the imaging conditions.
    structures : a file or folder of structures, the name of a pseudo-protein (``barrel-D7``), or None for random ones.
    """

    seed: int
    size: int
    pixel_size: float
    settings: SimulationSettings
    structures: Path | str | None = None

    def source(self) -> StructureSource | None:
        """Return the source of the structures; None for a new pseudo-protein in each micrograph."""
        if isinstance(self.structures, str):
            return OnePseudoProtein(self.structures, seed=self.seed)
        return None if self.structures is None else StructureFiles(self.structures)


@dataclass(frozen=True, eq=False)
class DatasetEntry:
    """One written micrograph, as the tables and the contact sheet need it.

    Attributes
    ----------
    index : its number in the series.
    name : file name.
    structure : name of the structure.
    truth, rotations, visibility, distractors, properties : as in `SimulatedMicrograph`.
    preview : uint8 (h, w, 3), the micrograph reduced to `PREVIEW_SIDE`.
    """

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
    """Simulates the micrographs of a data set and writes them to a folder, one per call; every worker process has one."""

    def __init__(self, folder: Path, spec: DatasetSpec) -> None:
        self._folder, self._spec = folder, spec
        self._structures = spec.source()

    def __call__(self, index: int) -> DatasetEntry:
        """Write micrograph `index`, its labels and its cover map; return its entry for `finish_dataset`."""
        from cryopick.display.overlays import draw
        from cryopick.io.datasets.cryoppp import DatasetFolder
        from cryopick.io.micrographs.files import write_micrograph

        found = simulate_micrograph(
            seed=self._spec.seed,
            index=index,
            size=self._spec.size,
            pixel_size=self._spec.pixel_size,
            settings=self._spec.settings,
            structures=self._structures,
        )
        dataset = DatasetFolder(self._folder)
        dataset.write(found.micrograph, found.truth, false_positives(found))
        name = found.micrograph.name
        write_micrograph(dataset.ground_truth / "cover" / Path(name).with_suffix(".png"), found.cover)
        preview = draw(found.micrograph, [], longest_side=PREVIEW_SIDE)
        return DatasetEntry(
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


def finish_dataset(folder: Path, entries: Sequence[DatasetEntry]) -> None:
    """Write the STAR tables, the COCO file and the contact sheet, once all micrographs have been written."""
    from cryopick.display.overlays import contact_sheet, write_png
    from cryopick.files import write_text
    from cryopick.io.datasets.cryoppp import DatasetFolder
    from cryopick.io.picks.formats import write_picks
    from cryopick.io.tables.star import star_text

    entries = sorted(entries, key=lambda one: one.index)
    truth_folder = DatasetFolder(folder).ground_truth
    write_text(truth_folder / "particles.star", star_text({"particles": _particle_table(entries)}))
    write_text(truth_folder / "micrographs.star", star_text({"micrographs": _micrograph_table(entries)}))
    write_text(truth_folder / "distractors.star", star_text({"distractors": _distractor_table(entries)}))
    write_picks([one.truth for one in entries], truth_folder / "coco.json", format="coco")
    captions = [f"{one.structure}, {one.truth.diameter:.0f} A, {len(one.truth)}" for one in entries]
    write_png(contact_sheet([one.preview for one in entries], captions), folder / "contact_sheet.png")


def false_positives(found: SimulatedMicrograph) -> Picks:
    """Return the centres of fragments and aggregates, which a picker may take for particles."""
    points = [kind.xy for kind in found.distractors if kind.kind in PARTICLE_SIZED]
    truth = found.truth
    return Picks(truth.micrograph, np.concatenate(points), None, truth.diameter, truth.shape_hw, truth.pixel_size)


def _particle_table(entries: Sequence[DatasetEntry]) -> dict[str, Any]:
    """Make a table with a row per particle: position, diameter, orientation and defocus in RELION's labels, and visibility."""
    counts = [len(one.truth) for one in entries]

    def of_micrograph(key: str) -> NDArray[np.float64]:
        return np.repeat([one.properties[key] for one in entries], counts)

    xy = np.concatenate([one.truth.xy for one in entries])
    angles = euler_angles(np.concatenate([one.rotations for one in entries]))
    defocus, astigmatism = of_micrograph("defocus"), of_micrograph("astigmatism")
    return {
        "rlnMicrographName": [one.name for one in entries for _ in range(len(one.truth))],
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
        "cryopickVisibility": np.concatenate([one.visibility for one in entries]),
    }


def _micrograph_table(entries: Sequence[DatasetEntry]) -> dict[str, Any]:
    """Make a table with a row per micrograph: the structure and all imaging conditions."""
    return {
        "rlnMicrographName": [one.name for one in entries],
        "cryopickStructure": [one.structure for one in entries],
        "cryopickParticles": [len(one.truth) for one in entries],
        **{f"cryopick{_camel(key)}": [one.properties[key] for one in entries] for key in entries[0].properties},
    }


def _distractor_table(entries: Sequence[DatasetEntry]) -> dict[str, Any]:
    """Make a table with a row per distractor; filaments have one row per point along their path."""
    kinds = [(one.name, kind) for one in entries for kind in one.distractors]
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
