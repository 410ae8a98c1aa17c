"""Checks that find all faults of a micrograph or a file of picks, while readers stop at the first."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cryopick.coordinates import inside
from cryopick.errors import CryopickError, FileError
from cryopick.io.micrographs.files import pixel_sizes_differ, read_raw_image
from cryopick.io.micrographs.sources import MicrographSource
from cryopick.io.micrographs.values import pixel_size_doubt, usable_pixels
from cryopick.io.picks.formats import detect_format, read_picks, reduced_doubt
from cryopick.messages import counted
from cryopick.types import Picks


@dataclass(frozen=True)
class CheckResult:
    """Faults, notes and facts about a file.

    Attributes
    ----------
    faults : problems that make it unusable as it is; empty for a valid file.
    notes : oddities that do not prevent reading.
    facts : its contents as far as they could be read, as text by name.
    """

    faults: tuple[CryopickError, ...] = ()
    notes: tuple[str, ...] = ()
    facts: dict[str, str] = field(default_factory=dict)


def check_micrograph(path: Path | str, *, pixel_size: float | None = None) -> CheckResult:
    """Check a micrograph, including the readable rows of a truncated file.

    `pixel_size` in Å is that of a STAR or `.cs` file, which replaces the micrograph's own.
    """
    path = Path(path)
    faults: list[CryopickError] = []
    try:
        image = read_raw_image(path, salvage=False)
    except FileError as unreadable:
        faults.append(unreadable)
        try:
            image = read_raw_image(path, salvage=True)
        except FileError:
            return CheckResult(tuple(faults))
    notes = [*image.notes]
    try:
        notes += usable_pixels(image.pixels, path)[1]
    except FileError as unusable:
        faults.append(unusable)
    if pixel_sizes_differ(pixel_size, image.pixel_size):
        notes.append(f"its own pixel size is {image.pixel_size:.4g} Å; {pixel_size:.4g} Å is used")
    size = pixel_size or image.pixel_size
    if doubt := pixel_size_doubt(size):
        notes.append(doubt)
    height, width = image.pixels.shape
    facts = {
        "size": f"{width} x {height} pixels (width x height)",
        "stored": image.stored,
        "pixel size": "unknown" if size is None else f"{size:g} Å",
        "values": _statistics(image.pixels),
    }
    return CheckResult(tuple(faults), tuple(notes), facts)


def check_picks(
    path: Path | str, *, micrographs: Sequence[MicrographSource] | None = None, downsample: float = 1.0
) -> CheckResult:
    """Check a file or folder of picks in any known format; with its micrographs, also check names and edges."""
    try:
        name = detect_format(path)
        all_picks = read_picks(path, format=name, micrographs=micrographs, downsample=downsample)
    except CryopickError as fault:
        return CheckResult((fault,))
    return check_read_picks(all_picks, Path(path), name)


def check_read_picks(all_picks: Sequence[Picks], path: Path, format_name: str) -> CheckResult:
    """Check picks that have been read from a path."""
    count = sum(len(picks) for picks in all_picks)
    scores = [picks.scores for picks in all_picks if picks.scores is not None and len(picks)]
    facts = {"format": format_name, "picks": f"{count:,} on {counted(len(all_picks), 'micrograph')}"}
    if scores:
        facts["scores"] = f"{min(part.min() for part in scores):.4g} to {max(part.max() for part in scores):.4g}"
    faults = [fault for picks in all_picks for fault in _pick_faults(picks, path)]
    notes = [] if count else ["no picks"]
    if (doubt := reduced_doubt(all_picks)) is not None:
        notes.append(doubt)
    return CheckResult(tuple(faults), tuple(notes), facts)


def _pick_faults(picks: Picks, path: Path) -> list[CryopickError]:
    faults: list[CryopickError] = []
    if picks.shape_hw is not None:
        outside = int(np.count_nonzero(~inside(picks.xy, picks.shape_hw)))
        size = f"{picks.shape_hw[1]} x {picks.shape_hw[0]} pixels"
    else:
        outside, size = int(np.count_nonzero((picks.xy < 0).any(axis=1))), "left of its first column or above its first row"
    if outside:
        found = f"{outside} of {len(picks)} picks lie outside {picks.micrograph} ({size})"
        faults.append(FileError(path, found, "Check whether they belong to an image of another size, binning or row order"))
    doubled = len(picks) - len(np.unique(picks.xy, axis=0))
    if doubled:
        found = f"{doubled} of {len(picks)} picks on {picks.micrograph} are duplicates"
        faults.append(FileError(path, found, "Remove them; otherwise they are extracted twice"))
    return faults


def _statistics(pixels: NDArray[np.float32]) -> str:
    finite = np.isfinite(pixels)
    if not finite.all():
        pixels = pixels[finite]
    if not pixels.size:
        return "no finite values"
    mean, deviation = (float(value.item()) for value in cv2.meanStdDev(pixels))
    return f"{pixels.min():g} to {pixels.max():g}, mean {mean:g}, standard deviation {deviation:g}"
