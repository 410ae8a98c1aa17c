"""Labelled micrographs as COCO JSON for detection networks: one file to learn from, one to validate on, one to test on."""

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
    """Names dealt out at random in these shares, each part sorted; the same names and seed give the same parts in any order.

    A part whose share is not 0 gets at least one name where there are enough. Raises `SettingError` for shares that are
    negative or do not sum to 1.
    """
    wanted = np.asarray(shares, np.float64)
    if not (np.isfinite(wanted).all() and (wanted >= 0).all() and np.isclose(wanted.sum(), 1)):
        raise SettingError(f"shares of {', '.join(f'{share:g}' for share in shares)} cannot be; give parts of 1 that sum to 1")
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
    """Write ``train.json``, ``val.json`` and ``test.json`` into a folder, but no empty ones; gives back what is in each.

    A box is as wide as the particle, or `box` pixels; a picture's ``file_name`` leads to it from the folder.

    Parameters
    ----------
    upside_down : the pictures' last rows are the first of those that were labelled: CryoPPP's JPEGs, and whatever else the
        published programs made, against picks on MRC files.
    """
    by_name = {one.source.name: one for one in micrographs}
    if len(by_name) < len(micrographs):
        raise CryopickError("two micrographs share a name; put them into sets of their own")
    parts = dict(zip(PARTS, split_names(list(by_name), shares, seed=seed), strict=True))
    written = {part: [_placed(by_name[name], out, upside_down) for name in names] for part, names in parts.items() if names}
    for part, picks in written.items():
        write_picks(picks, out / f"{part}.json", format="coco", box=box)
    return written


def _placed(one: LabelledMicrograph, out: Path, upside_down: bool) -> Picks:
    truth = one.truth
    if truth.shape_hw is None:
        raise CryopickError(f"{truth.micrograph}: nobody says how many rows and columns it has")
    rows = PixelMap.flip_rows(truth.shape_hw[0]) if upside_down else PixelMap()
    path = os.path.relpath(one.source.path, out)
    return replace(truth, micrograph=PurePath(path).as_posix(), xy=rows.from_home(truth.xy))


def _dealt(total: int, shares: NDArray[np.float64]) -> list[int]:
    """Whole numbers that sum to `total`, nearest to the shares; none is 0 whose share is not, where there are enough."""
    exact = shares * total
    least = (shares > 0).astype(int) if total >= np.count_nonzero(shares) else np.zeros(len(shares), int)
    counts = np.maximum(np.floor(exact).astype(int), least)
    while counts.sum() < total:
        counts[np.argmax(exact - counts)] += 1
    while counts.sum() > total:
        counts[np.argmax(np.where(counts > least, counts - exact, -np.inf))] -= 1
    return [int(count) for count in counts]
