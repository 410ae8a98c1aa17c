"""Labelled micrographs on disk: finding them, and reasons why some are unusable."""

import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cryopick.coordinates import inside
from cryopick.errors import CryopickError, FileError
from cryopick.io.datasets.cryoppp import DatasetFolder, LabelledMicrograph, read_areas
from cryopick.io.micrographs.headers import read_shape
from cryopick.io.micrographs.sources import MicrographInputs, MicrographSource, find_micrographs
from cryopick.io.picks.formats import outside_of, read_picks
from cryopick.types import Picks, usual_diameter

logger = logging.getLogger(__name__)

MAX_OUTSIDE_SHARE = 0.5
"""Share of picks outside their micrograph above which they belong to another image."""
MAX_EMPTY_MARGIN_PROBABILITY = 1e-4
"""A margin without labels counts as unlabelled if the probability that it is empty by chance is below this."""
DEFAULT_BORDER = 0.5
"""Width of the unused margin in diameters: only some data sets label particles that are cut by an edge."""
MISSING_DIAMETER = "the particle diameter is unknown; give it with --diameter"
MISSING_SHAPE = "the shape of the micrograph is unknown"


@dataclass(frozen=True)
class Skipped:
    """An unusable micrograph, or name in a file of picks, and the reason."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """Labelled micrographs whose pixels have not been read.

    Attributes
    ----------
    micrographs : each `truth` has a diameter and a shape, and lies within the micrograph.
    skipped : unusable micrographs, and names in the files of picks.
    """

    micrographs: tuple[LabelledMicrograph, ...]
    skipped: tuple[Skipped, ...]


def find_labelled(
    data: MicrographInputs,
    truth: Path | str | None = None,
    *,
    diameter: float | None = None,
    pixel_size: float | None = None,
    format: str | None = None,  # noqa: A002
    downsample: float = 1.0,
) -> LabelledSet:
    """Find the micrographs of `data` that have picks in `truth`, in the order of `data`.

    Micrographs without picks are ignored. Only headers are read, not pixels.

    Parameters
    ----------
    data : a folder in CryoPPP's layout; a file of picks with names of micrographs near it (COCO JSON, STAR, …); a folder with
        micrographs and files of picks; or, with `truth`, anything that `find_micrographs` takes.
    truth : file or folder of picks in any format; replaces the picks that `data` has.
    diameter : particle diameter in Å (pixels if the pixel size is unknown). By default that of the picks or, if they have none,
        the median of the other micrographs.
    pixel_size : Å per pixel; overrides the files.
    format : format of the picks, if it cannot be told from their content.
    downsample : the factor by which the images of the picks' coordinates were reduced.

    Raises
    ------
    CryopickError
        If no micrograph is usable; names the first ones with the reasons.
    """
    sources, picks_at = _places(data, truth, format)
    readable, skipped = _readable(find_micrographs(sources, pixel_size=pixel_size))
    picks, unmatched = _picks_of(readable, picks_at, format, pixel_size, downsample)
    skipped += [Skipped(name, "has picks, but is not among the micrographs") for name in unmatched]
    negatives = _false_positives(data, readable, pixel_size)
    areas = read_areas(DatasetFolder(Path(data)).areas) if isinstance(data, Path | str) else {}
    usual = usual_diameter(picks.values())
    micrographs = []
    for source in readable:
        if (own := picks.get(source.name)) is None:
            continue
        checked = _checked(own, diameter or own.diameter or usual)
        if isinstance(checked, Skipped):
            skipped.append(checked)
        else:
            rejected = negatives.get(source.name, Picks(source.name))
            micrographs.append(LabelledMicrograph(source, checked, rejected, areas.get(source.name, ())))
    if not any(len(one.truth) for one in micrographs):
        why = "; ".join(map(str, skipped[:3])) or "no micrograph has picks"
        more = f"; and {len(skipped) - 3} more" if len(skipped) > 3 else ""
        raise CryopickError(f"{picks_at}: no micrograph can be used for training. {why}{more}")
    return LabelledSet(tuple(micrographs), tuple(skipped))


def label_border(micrographs: Iterable[LabelledMicrograph]) -> float:
    """Return the width, in diameters, of the margin in which missing labels are not informative.

    This is half a diameter or, if chance cannot explain an empty margin, the distance of the outermost label from the edges:
    some data sets do not label particles near the edges.
    """
    nearest, count, inner = math.inf, 0, []
    for one in micrographs:
        height, width, diameter = *_shape(one), _diameter_px(one)
        if len(one.truth):
            count += len(one.truth)
            x, y = one.truth.xy.T
            nearest = min(nearest, float(np.minimum.reduce([x, y, width - 1 - x, height - 1 - y]).min()) / diameter)
        inner.append((height / diameter, width / diameter))
    if count == 0:
        return DEFAULT_BORDER
    within = sum(max(0.0, h - 2 * nearest) * max(0.0, w - 2 * nearest) for h, w in inner)
    chance = (within / sum(h * w for h, w in inner)) ** count  # of random labels to keep this distance
    return max(DEFAULT_BORDER, nearest) if chance < MAX_EMPTY_MARGIN_PROBABILITY else DEFAULT_BORDER


def _places(data: MicrographInputs, truth: Path | str | None, kind: str | None) -> tuple[MicrographInputs, Path]:
    """Inputs for `find_micrographs`, and the file or folder of their picks."""
    if not isinstance(data, Path | str):
        if truth is None:
            raise CryopickError("the picks are not given; with several inputs, also give the file or folder of their picks")
        return data, Path(truth)
    folder = DatasetFolder(Path(data))
    if folder.micrographs.is_dir():
        if truth is None and not folder.coordinates.is_dir():
            raise FileError(folder.coordinates, "does not exist", "Give the file or folder of the micrographs' picks, too")
        return folder.micrographs, folder.coordinates if truth is None else Path(truth)
    if truth is not None:
        return data, Path(truth)
    if Path(data).is_file():
        return _named_in(Path(data), kind), Path(data)
    return data, Path(data)


def _named_in(picks: Path, kind: str | None) -> list[Path]:
    """Find the micrographs named in a file of picks, in its folder, the folders above it or the current folder."""
    names = [each.micrograph for each in read_picks(picks, format=kind)]
    folders = [*picks.absolute().parents, Path.cwd()]
    for folder in folders:
        if any((folder / name).is_file() for name in names):
            return [folder / name for name in names if (folder / name).is_file()]
    if not names:
        raise FileError(picks, "names no micrographs", "Give the micrographs, then the picks")
    raise FileError(picks, f"names micrographs that do not exist near it ({names[0]}, …)", "Give the micrographs, then the picks")


def _readable(sources: Iterable[MicrographSource]) -> tuple[list[MicrographSource], list[Skipped]]:
    readable, skipped = [], []
    for source in sources:
        try:
            read_shape(source.path)
            readable.append(source)
        except FileError as error:
            skipped.append(Skipped(source.name, f"{error.found}. {error.remedy}"))
        except OSError as error:
            skipped.append(Skipped(source.name, error.strerror or str(error)))
    return readable, skipped


def _picks_of(
    sources: list[MicrographSource], path: Path, kind: str | None, pixel_size: float | None, downsample: float = 1.0
) -> tuple[dict[str, Picks], list[str]]:
    """Return picks by the names of their micrographs, and the names in `path` that match none of the micrographs."""
    if not sources:
        return {}, []
    unknown: set[str] = set()
    picks = read_picks(path, format=kind, micrographs=sources, unknown=unknown, pixel_size=pixel_size, downsample=downsample)
    if (outside := outside_of(picks)) is not None:
        logger.warning("%s: %s; they are not used", path, outside)
    return {each.micrograph: each for each in picks}, sorted(unknown)


def _false_positives(data: MicrographInputs, sources: list[MicrographSource], pixel_size: float | None) -> dict[str, Picks]:
    folder = DatasetFolder(Path(data)).false_positives if isinstance(data, Path | str) else None
    if folder is None or not folder.is_dir() or not any(folder.glob("[!.]*.csv")):
        return {}
    return _picks_of(sources, folder, "cryoppp", pixel_size)[0]


def _checked(picks: Picks, diameter: float | None) -> Picks | Skipped:
    """Select the picks that lie on their micrograph, and set their diameter."""
    if diameter is None:
        return Skipped(picks.micrograph, MISSING_DIAMETER)
    if picks.shape_hw is None:
        return Skipped(picks.micrograph, MISSING_SHAPE)
    within = inside(picks.xy, picks.shape_hw)
    outside = int((~within).sum())
    if outside > MAX_OUTSIDE_SHARE * len(picks):
        height, width = picks.shape_hw
        return Skipped(
            picks.micrograph,
            f"{outside} of its {len(picks)} picks lie outside its {width} x {height} pixels and belong to another binning",
        )
    return replace(picks.where(within), diameter=diameter)


def _shape(one: LabelledMicrograph) -> tuple[int, int]:
    if one.truth.shape_hw is None:
        raise CryopickError(f"{one.source.name}: {MISSING_SHAPE}")
    return one.truth.shape_hw


def _diameter_px(one: LabelledMicrograph) -> float:
    if one.truth.diameter_px is None:
        raise CryopickError(f"{one.source.name}: {MISSING_DIAMETER}")
    return one.truth.diameter_px
