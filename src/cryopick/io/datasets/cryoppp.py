"""Labelled micrographs in CryoPPP's layout: `micrographs`, and in `ground_truth` the particles and false positives.

The file ``ground_truth/areas.json`` is an addition: areas without particles, painted by hand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from cryopick.errors import FileError
from cryopick.files import write_bytes
from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.micrographs.sources import MicrographSource
from cryopick.io.picks.formats import write_picks
from cryopick.types import Micrograph, Picks


class BadArea(msgspec.Struct, frozen=True):
    """An area without particles: all within `radius` of a line of points or a single point, in pixels of the image frame."""

    radius: Annotated[float, msgspec.Meta(gt=0)]
    points: Annotated[list[tuple[float, float]], msgspec.Meta(min_length=1)]


@dataclass(frozen=True, eq=False)
class LabelledMicrograph:
    """A micrograph that has not been read, with its particles, false positives, and areas without particles."""

    source: MicrographSource
    truth: Picks
    false_positives: Picks
    areas: Sequence[BadArea] = ()


@dataclass(frozen=True)
class DatasetFolder:
    """The paths of one dataset, which need not exist."""

    root: Path

    @property
    def micrographs(self) -> Path:
        """Folder of the micrographs."""
        return self.root / "micrographs"

    @property
    def ground_truth(self) -> Path:
        """Folder of all labels."""
        return self.root / "ground_truth"

    @property
    def coordinates(self) -> Path:
        """Folder of the particles' CSV files."""
        return self.ground_truth / "particle_coordinates"

    @property
    def false_positives(self) -> Path:
        """Folder of the false positives' CSV files."""
        return self.ground_truth / "false_positives"

    @property
    def areas(self) -> Path:
        """File of the areas without particles."""
        return self.ground_truth / "areas.json"

    def write(self, micrograph: Micrograph, truth: Picks, false_positives: Picks) -> None:
        """Write one micrograph as MRC under its name, and a CSV for each kind of label, even if empty."""
        write_micrograph(self.micrographs / micrograph.name, micrograph.pixels, pixel_size=micrograph.pixel_size)
        write_picks([truth], self.coordinates, format="cryoppp")
        write_picks([false_positives], self.false_positives, format="cryoppp")


def write_areas(areas: Mapping[str, Sequence[BadArea]], path: Path) -> None:
    """Write areas without particles as JSON, by micrograph name."""
    write_bytes(path, msgspec.json.format(msgspec.json.encode(areas), indent=1) + b"\n")


def read_areas(path: Path) -> dict[str, list[BadArea]]:
    """Read areas without particles by micrograph name; empty if the file does not exist. Raises `FileError` if damaged."""
    if not path.is_file():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, list[BadArea]])
    except msgspec.DecodeError as error:
        raise FileError(path, f"is not a valid file of areas ({error})", "Write the labels again, or remove this file") from None
