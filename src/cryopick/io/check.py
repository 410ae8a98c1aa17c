"""Every fault of a micrograph or of a file of picks, not only the first one that a reader would stop at."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cryopick.coordinates import inside
from cryopick.errors import CryopickError, FileError
from cryopick.io.micrographs.files import pixel_fault, read_raw_image
from cryopick.io.micrographs.sources import MicrographSource
from cryopick.io.picks.formats import detect_format, read_picks
from cryopick.types import Picks


@dataclass(frozen=True)
class CheckResult:
    """What there is to say about a file.

    Attributes
    ----------
    faults : why it cannot be used, or not as it is; empty for a good file.
    notes : oddities that do not stop a reader.
    facts : what is in it, as far as it could be read: a name and a text each.
    """

    faults: tuple[CryopickError, ...] = ()
    notes: tuple[str, ...] = ()
    facts: dict[str, str] = field(default_factory=dict)


def check_micrograph(path: Path | str) -> CheckResult:
    """Read a micrograph; of a cut one the rows that are there are examined too."""
    path = Path(path)
    faults: list[CryopickError] = []
    try:
        picture = read_raw_image(path, salvage=False)
    except FileError as unreadable:
        faults.append(unreadable)
        try:
            picture = read_raw_image(path, salvage=True)
        except FileError:
            return CheckResult(tuple(faults))
    if fault := pixel_fault(picture.pixels, path):
        faults.append(fault)
    height, width = picture.pixels.shape
    facts = {
        "size": f"{width} x {height} pixels (width x height)",
        "stored": picture.stored,
        "pixel size": "unknown" if picture.pixel_size is None else f"{picture.pixel_size:g} Å",
        "values": _statistics(picture.pixels),
    }
    return CheckResult(tuple(faults), picture.notes, facts)


def check_picks(path: Path | str, *, micrographs: Sequence[MicrographSource] | None = None) -> CheckResult:
    """Read a file or folder of picks in any known format; with its micrographs, their names and edges are checked as well."""
    try:
        name = detect_format(path)
        all_picks = read_picks(path, format=name, micrographs=micrographs)
    except CryopickError as fault:
        return CheckResult((fault,))
    return check_read_picks(all_picks, Path(path), name)


def check_read_picks(all_picks: Sequence[Picks], path: Path, format_name: str) -> CheckResult:
    """What there is to say about picks that were read from a path."""
    count = sum(len(picks) for picks in all_picks)
    scores = [picks.scores for picks in all_picks if picks.scores is not None and len(picks)]
    facts = {"format": format_name, "picks": f"{count} on {len(all_picks)} micrograph{'' if len(all_picks) == 1 else 's'}"}
    if scores:
        facts["scores"] = f"{min(part.min() for part in scores):.4g} to {max(part.max() for part in scores):.4g}"
    faults = [fault for picks in all_picks for fault in _pick_faults(picks, path)]
    notes = () if count else ("no picks at all",)
    return CheckResult(tuple(faults), notes, facts)


def _pick_faults(picks: Picks, path: Path) -> list[CryopickError]:
    faults: list[CryopickError] = []
    if picks.shape_hw is not None:
        outside = int(np.count_nonzero(~inside(picks.xy, picks.shape_hw)))
        size = f"{picks.shape_hw[1]} x {picks.shape_hw[0]} pixels"
    else:
        outside, size = int(np.count_nonzero((picks.xy < 0).any(axis=1))), "left of its first column or above its first row"
    if outside:
        found = f"{outside} of {len(picks)} picks lie outside {picks.micrograph} ({size})"
        faults.append(
            FileError(path, found, "Look whether they belong to a picture of another size, binning or direction of rows")
        )
    doubled = len(picks) - len(np.unique(picks.xy, axis=0))
    if doubled:
        found = f"{doubled} of {len(picks)} picks on {picks.micrograph} are there twice"
        faults.append(FileError(path, found, "Remove the doubles, or they count as particles"))
    return faults


def _statistics(pixels: NDArray[np.float32]) -> str:
    if not np.isfinite(pixels.sum(dtype=np.float64)):
        pixels = pixels[np.isfinite(pixels)]
    if not pixels.size:
        return "no finite ones"
    mean, deviation = (float(value.item()) for value in cv2.meanStdDev(pixels))
    return f"{pixels.min():g} to {pixels.max():g}, mean {mean:g}, standard deviation {deviation:g}"
