"""Labelled micrographs on disk: find them, and report the ones that cannot be used."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cryopick.coordinates import inside
from cryopick.errors import CryopickError, FileError
from cryopick.io.datasets.cryoppp import DatasetFolder, LabelledMicrograph, read_areas
from cryopick.io.micrographs.headers import read_shape
from cryopick.io.micrographs.sources import MicrographSource, find_micrographs
from cryopick.io.picks.formats import read_picks
from cryopick.types import Picks

MAX_OUTSIDE_SHARE = 0.5
"""If more than this share of its picks lies outside a micrograph, they belong to another image."""
MAX_EMPTY_MARGIN_PROBABILITY = 1e-4
"""A margin without labels counts as unlabelled if the probability that it is empty by chance is below this."""
DEFAULT_BORDER = 0.5
"""Diameters from the edges that are not used: data sets differ in whether they label particles cut by an edge."""
UNKNOWN_DIAMETER = "the particle diameter is unknown; give it with --diameter"
UNKNOWN_SHAPE = "the shape of the micrograph is unknown"


@dataclass(frozen=True)
class Skipped:
    """A micrograph, or a name in a file of picks, that cannot be used, and the reason."""

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
    skipped : micrographs, and names in the files of picks, that cannot be used.
    """

    micrographs: tuple[LabelledMicrograph, ...]
    skipped: tuple[Skipped, ...]


def find_labelled(
    data: Sequence[Path | str] | Path | str,
    truth: Path | str | None = None,
    *,
    diameter: float | None = None,
    pixel_size: float | None = None,
    format: str | None = None,  # noqa: A002
) -> LabelledSet:
    """Find the micrographs of `data` that have picks in `truth`; returns them in the order of `data`.

    Micrographs without picks are ignored. Only headers are read, not pixels.

    Parameters
    ----------
    data : a folder laid out like CryoPPP; a file of picks that names micrographs near it (COCO JSON, STAR, …); a folder with
        micrographs and files of picks side by side; or, with `truth`, anything that `find_micrographs` takes.
    truth : file or folder of picks in any format; replaces the picks that `data` has.
    diameter : particle diameter in Å (pixels if the pixel size is unknown). By default that of the picks or, if they have none,
        the median of the other micrographs.
    pixel_size : Å per pixel; overrides the files.
    format : format of the picks, if it cannot be told from their content.

    Raises
    ------
    CryopickError
        If no micrograph can be used; names the first ones that were skipped and why.
    """
    sources, picks_at = _places(data, truth, format)
    readable, skipped = _readable(find_micrographs(sources, pixel_size=pixel_size))
    picks, unmatched = _picks_of(readable, picks_at, format, pixel_size)
    skipped += [Skipped(name, "has picks, but is not among the micrographs") for name in unmatched]
    negatives = _false_positives(data, readable, pixel_size)
    areas = read_areas(DatasetFolder(Path(data)).areas) if isinstance(data, Path | str) else {}
    usual = _usual_diameter(picks.values())
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
    """Width, in diameters, of the margin in which missing labels say nothing.

    Half a diameter; or the distance of the outermost label from the edges, if chance cannot explain that the margin is empty, as
    in data sets that do not label particles near the edges.
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
    chance = (within / sum(h * w for h, w in inner)) ** count  # that labels placed at random keep this distance
    return max(DEFAULT_BORDER, nearest) if chance < MAX_EMPTY_MARGIN_PROBABILITY else DEFAULT_BORDER


def _places(
    data: Sequence[Path | str] | Path | str, truth: Path | str | None, kind: str | None
) -> tuple[Sequence[Path | str] | Path | str, Path]:
    """Inputs for `find_micrographs`, and the file or folder of their picks."""
    if not isinstance(data, Path | str):
        if truth is None:
            raise CryopickError("picks are not given; with several inputs, name the file or folder of their picks too")
        return data, Path(truth)
    folder = DatasetFolder(Path(data))
    if folder.micrographs.is_dir():
        if truth is None and not folder.coordinates.is_dir():
            raise FileError(folder.coordinates, "does not exist", "Name the file or folder of the micrographs' picks too")
        return folder.micrographs, folder.coordinates if truth is None else Path(truth)
    if truth is not None:
        return data, Path(truth)
    if Path(data).is_file():
        return _named_in(Path(data), kind), Path(data)
    return data, Path(data)


def _named_in(picks: Path, kind: str | None) -> list[Path]:
    """Micrographs that a file of picks names, found in its folder, the folders above it or the current folder."""
    names = [each.micrograph for each in read_picks(picks, format=kind)]
    folders = [*picks.absolute().parents, Path.cwd()]
    for folder in folders:
        if any((folder / name).is_file() for name in names):
            return [folder / name for name in names if (folder / name).is_file()]
    if not names:
        raise FileError(picks, "names no micrographs", "Give the micrographs, then the picks")
    raise FileError(picks, f"names micrographs that are not near it ({names[0]}, …)", "Give the micrographs, then the picks")


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
    sources: list[MicrographSource], path: Path, kind: str | None, pixel_size: float | None
) -> tuple[dict[str, Picks], list[str]]:
    """Picks by the names of their micrographs, and the names in `path` that match none of the micrographs."""
    if not sources:
        return {}, []
    unknown: set[str] = set()
    picks = read_picks(path, format=kind, micrographs=sources, unknown=unknown, pixel_size=pixel_size)
    return {each.micrograph: each for each in picks}, sorted(unknown)


def _false_positives(
    data: Sequence[Path | str] | Path | str, sources: list[MicrographSource], pixel_size: float | None
) -> dict[str, Picks]:
    folder = DatasetFolder(Path(data)).false_positives if isinstance(data, Path | str) else None
    if folder is None or not folder.is_dir() or not any(folder.glob("[!.]*.csv")):
        return {}
    return _picks_of(sources, folder, "cryoppp", pixel_size)[0]


def _usual_diameter(picks: Iterable[Picks]) -> float | None:
    known = [each.diameter for each in picks if each.diameter is not None]
    return float(np.median(known)) if known else None


def _checked(picks: Picks, diameter: float | None) -> Picks | Skipped:
    """The picks that lie on their micrograph, with a diameter."""
    if diameter is None:
        return Skipped(picks.micrograph, UNKNOWN_DIAMETER)
    if picks.shape_hw is None:
        return Skipped(picks.micrograph, UNKNOWN_SHAPE)
    within = inside(picks.xy, picks.shape_hw)
    outside = int((~within).sum())
    if outside > MAX_OUTSIDE_SHARE * len(picks):
        height, width = picks.shape_hw
        return Skipped(
            picks.micrograph,
            f"{outside} of its {len(picks)} picks lie outside its {width} x {height} pixels; they belong to another binning",
        )
    return replace(picks.where(within), diameter=diameter)


def _shape(one: LabelledMicrograph) -> tuple[int, int]:
    if one.truth.shape_hw is None:
        raise CryopickError(f"{one.source.name}: {UNKNOWN_SHAPE}")
    return one.truth.shape_hw


def _diameter_px(one: LabelledMicrograph) -> float:
    if one.truth.diameter_px is None:
        raise CryopickError(f"{one.source.name}: {UNKNOWN_DIAMETER}")
    return one.truth.diameter_px
