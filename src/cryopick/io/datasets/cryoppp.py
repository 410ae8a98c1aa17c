"""Labelled micrographs in the folders of CryoPPP: `micrographs`, and under `ground_truth` the particles and false positives.

One file is our own: ``ground_truth/areas.json`` with the areas that hold no particle, as a person painted them.
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
    """All that is no further than `radius` from a line of points or a single one; pixels, image frame."""

    radius: Annotated[float, msgspec.Meta(gt=0)]
    points: Annotated[list[tuple[float, float]], msgspec.Meta(min_length=1)]


@dataclass(frozen=True, eq=False)
class LabelledMicrograph:
    """A micrograph that is known but not read, its particles, places that look like particles and are none, and bad areas."""

    source: MicrographSource
    truth: Picks
    false_positives: Picks
    areas: Sequence[BadArea] = ()


@dataclass(frozen=True)
class DatasetFolder:
    """The folders of one data set, which need not exist yet."""

    root: Path

    @property
    def micrographs(self) -> Path:
        return self.root / "micrographs"

    @property
    def ground_truth(self) -> Path:
        return self.root / "ground_truth"

    @property
    def coordinates(self) -> Path:
        return self.ground_truth / "particle_coordinates"

    @property
    def false_positives(self) -> Path:
        return self.ground_truth / "false_positives"

    @property
    def areas(self) -> Path:
        return self.ground_truth / "areas.json"

    def write(self, micrograph: Micrograph, truth: Picks, false_positives: Picks) -> None:
        """Write one micrograph as MRC, under its name, and a CSV of each kind of label, also where there is none."""
        write_micrograph(self.micrographs / micrograph.name, micrograph.pixels, pixel_size=micrograph.pixel_size)
        write_picks([truth], self.coordinates, format="cryoppp")
        write_picks([false_positives], self.false_positives, format="cryoppp")


def write_areas(areas: Mapping[str, Sequence[BadArea]], path: Path) -> None:
    """Write the bad areas of micrographs, by their names, as JSON."""
    write_bytes(path, msgspec.json.format(msgspec.json.encode(areas), indent=1) + b"\n")


def read_areas(path: Path) -> dict[str, list[BadArea]]:
    """Bad areas by the names of their micrographs; none where there is no such file. Raises `FileError` for a damaged one."""
    if not path.is_file():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, list[BadArea]])
    except msgspec.DecodeError as error:
        raise FileError(path, f"holds no bad areas ({error})", "Write the labels again, or remove this file") from None
