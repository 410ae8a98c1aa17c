"""Micrographs with picks on disk, as something to learn from: which there are, and what is wrong with the others."""

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

MOST_OUTSIDE = 0.5
"""Larger share of a micrograph's picks outside of it than this means that they belong to another picture."""
CHANCE = 1e-4
"""A margin that is empty by a smaller chance than this was not labelled."""
EDGE = 0.5
"""Diameters from the edge within which habits differ: some label the particles that it cuts, some do not."""


@dataclass(frozen=True)
class Skipped:
    """Something that cannot be learnt from, and why."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """Labelled micrographs, not read yet; their `truth` has a diameter and a shape, and lies within the picture.

    Attributes
    ----------
    skipped : micrographs, and names in the files of picks, that were left out.
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
    """The micrographs of `data` that have picks in `truth`, in the order of `data`.

    Micrographs without picks are passed over. Headers are read, pixels are not.

    Parameters
    ----------
    data : a folder of CryoPPP's shape; a file of picks that names micrographs near it (COCO JSON, STAR, …); a folder with
        micrographs and files of picks side by side; with `truth` also anything that `find_micrographs` takes.
    truth : picks of any format, a file or a folder; where `data` has its own, these win.
    diameter : of the particles in Å, in pixels where the pixel size is unknown; None takes the picks' own and, for micrographs
        whose picks have none, the median of the others'.
    pixel_size : Å per pixel; wins over what the files say.
    format : of the picks, when their content does not tell.

    Raises
    ------
    CryopickError
        Where nothing is left to learn from; it names the first of what was skipped.
    """
    sources, picks_at = _places(data, truth, format)
    readable, skipped = _readable(find_micrographs(sources, pixel_size=pixel_size))
    picks, strangers = _picks_of(readable, picks_at, format, pixel_size)
    skipped += [Skipped(name, "has picks, but is not among the micrographs") for name in strangers]
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
        raise CryopickError(f"{picks_at}: nothing to learn from. {why}{more}")
    return LabelledSet(tuple(micrographs), tuple(skipped))


def label_border(micrographs: Iterable[LabelledMicrograph]) -> float:
    """How far from the edges labels say nothing, in diameters: half a one, or up to where the first label lies.

    The second where chance cannot explain that the margin is empty, as in sets that leave out what is near the edge.
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
        return EDGE
    within = sum(max(0.0, h - 2 * nearest) * max(0.0, w - 2 * nearest) for h, w in inner)
    chance = (within / sum(h * w for h, w in inner)) ** count  # that labels anywhere keep this far from the edges
    return max(EDGE, nearest) if chance < CHANCE else EDGE


def _places(
    data: Sequence[Path | str] | Path | str, truth: Path | str | None, kind: str | None
) -> tuple[Sequence[Path | str] | Path | str, Path]:
    """Where the micrographs are, and where their picks."""
    if not isinstance(data, Path | str):
        if truth is None:
            raise CryopickError("several inputs do not say where their picks are; name the file or folder of picks too")
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
    """The micrographs that a file of picks names, looked for in its folder and those above, then the current one."""
    names = [each.micrograph for each in read_picks(picks, format=kind)]
    folders = [*picks.absolute().parents, Path.cwd()]
    for folder in folders:
        if any((folder / name).is_file() for name in names):
            return [folder / name for name in names if (folder / name).is_file()]
    first = f"for instance {names[0]}" if names else "it names none"
    raise FileError(picks, f"the micrographs that it names are not near it ({first})", "Name the micrographs, then the picks")


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
    """Picks by the micrographs' names, and the names in `path` that mean none of them."""
    if not sources:
        return {}, []
    unknown: set[str] = set()
    picks = read_picks(path, format=kind, micrographs=sources, unknown=unknown, pixel_size=pixel_size)
    return {each.micrograph: each for each in picks}, sorted(unknown)


def _false_positives(
    data: Sequence[Path | str] | Path | str, sources: list[MicrographSource], pixel_size: float | None
) -> dict[str, Picks]:
    folder = DatasetFolder(Path(data)).false_positives if isinstance(data, Path | str) else None
    if folder is None or not folder.is_dir() or not any(folder.glob("*.csv")):
        return {}
    return _picks_of(sources, folder, "cryoppp", pixel_size)[0]


def _usual_diameter(picks: Iterable[Picks]) -> float | None:
    known = [each.diameter for each in picks if each.diameter is not None]
    return float(np.median(known)) if known else None


def _checked(picks: Picks, diameter: float | None) -> Picks | Skipped:
    """The picks that lie on their micrograph, with a diameter."""
    if diameter is None:
        return Skipped(picks.micrograph, "nobody says how large its particles are; give their diameter")
    if picks.shape_hw is None:
        return Skipped(picks.micrograph, "nobody says how many rows and columns it has")
    within = inside(picks.xy, picks.shape_hw)
    outside = int((~within).sum())
    if outside > MOST_OUTSIDE * len(picks):
        height, width = picks.shape_hw
        return Skipped(
            picks.micrograph,
            f"{outside} of its {len(picks)} picks lie outside of its {width} x {height} pixels; they are of another binning",
        )
    return replace(picks.where(within), diameter=diameter)


def _shape(one: LabelledMicrograph) -> tuple[int, int]:
    if one.truth.shape_hw is None:
        raise CryopickError(f"{one.source.name}: nobody says how many rows and columns it has")
    return one.truth.shape_hw


def _diameter_px(one: LabelledMicrograph) -> float:
    if one.truth.diameter_px is None:
        raise CryopickError(f"{one.source.name}: nobody says how large its particles are; give their diameter")
    return one.truth.diameter_px
