"""Labelled micrographs as COCO JSON for detection networks, split into training, validation and test sets."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from cryopick.coordinates import PixelMap
from cryopick.errors import CryopickError, SettingError
from cryopick.io.datasets.cryoppp import LabelledMicrograph
from cryopick.io.picks.formats import write_picks
from cryopick.randomness import generator
from cryopick.types import Picks

PARTS = ("train", "val", "test")
PUBLISHED_SHARES = (0.8, 0.1, 0.1)


def split_names(names: Sequence[str], shares: Sequence[float], *, seed: int = 0) -> list[list[str]]:
    """Split names at random into parts of these shares, each sorted. The result does not depend on the order of the names.

    A part with a share above 0 gets at least one name if there are enough. Raises `SettingError` for shares that are negative
    or do not sum to 1.
    """
    wanted = np.asarray(shares, np.float64)
    if not (np.isfinite(wanted).all() and (wanted >= 0).all() and np.isclose(wanted.sum(), 1)):
        raise SettingError(f"shares must sum to 1 and not be negative, got {', '.join(f'{share:g}' for share in shares)}")
    order = generator(seed, "split").permutation(len(names))
    mixed = np.array(sorted(names), dtype=object)[order]
    counts = _dealt(len(names), wanted)
    return [sorted(part) for part in np.split(mixed, np.cumsum(counts)[:-1])]


def write_coco_sets(
    micrographs: Sequence[LabelledMicrograph],
    out: Path,
    *,
    shares: Sequence[float] = PUBLISHED_SHARES,
    seed: int = 0,
    upside_down: bool = False,
    box: int | None = None,
) -> dict[str, list[Picks]]:
    """Write ``train.json``, ``val.json`` and ``test.json`` to a folder, omitting empty ones; return the picks in each.

    ``file_name`` is the micrograph's path relative to the folder.

    Parameters
    ----------
    micrographs : micrographs with their labels.
    out : the folder.
    shares : of the three sets, which sum to 1.
    seed : random seed of the split.
    upside_down : flip the rows of the labels, for images whose rows are in reverse order, such as CryoPPP's JPEGs with
        labels of MRC files.
    box : box size in pixels; the diameter if omitted.
    """
    by_name = {one.source.name: one for one in micrographs}
    if len(by_name) < len(micrographs):
        raise CryopickError("two micrographs share a name; write them to different folders")
    parts = dict(zip(PARTS, split_names(list(by_name), shares, seed=seed), strict=True))
    written = {part: [_placed(by_name[name], out, upside_down) for name in names] for part, names in parts.items() if names}
    for part, picks in written.items():
        write_picks(picks, out / f"{part}.json", format="coco", box=box)
    return written


def _placed(one: LabelledMicrograph, out: Path, upside_down: bool) -> Picks:
    truth = one.truth
    if truth.shape_hw is None:
        raise CryopickError(f"{truth.micrograph}: its height and width are unknown; give the micrographs")
    rows = PixelMap.flip_rows(truth.shape_hw[0]) if upside_down else PixelMap()
    path = os.path.relpath(one.source.path, out)
    return replace(truth, micrograph=PurePath(path).as_posix(), xy=rows.from_home(truth.xy))


def _dealt(total: int, shares: NDArray[np.float64]) -> list[int]:
    """Divide `total` into integers nearest to the shares; only a share of 0 gives 0, unless there are too few."""
    exact = shares * total
    least = (shares > 0).astype(int) if total >= np.count_nonzero(shares) else np.zeros(len(shares), int)
    counts = np.maximum(np.floor(exact).astype(int), least)
    while counts.sum() < total:
        counts[np.argmax(exact - counts)] += 1
    while counts.sum() > total:
        counts[np.argmax(np.where(counts > least, counts - exact, -np.inf))] -= 1
    return [int(count) for count in counts]
