"""Picks and ground truth paired by micrograph."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from cryopick.checks import checked_positive
from cryopick.coordinates import length_to_px
from cryopick.errors import CryopickError, NameMatchError, SettingError
from cryopick.evaluate.matching import common_pixel_size
from cryopick.io.names import DIFFERENCES, NameIndex, exposure, match_names
from cryopick.types import Picks


@dataclass(frozen=True, eq=False)
class MicrographPair:
    """Picks and ground truth of one micrograph; each supplies values that the other lacks."""

    found: Picks
    truth: Picks

    @property
    def name(self) -> str:
        """The micrograph's name in the ground truth."""
        return self.truth.micrograph

    @property
    def pixel_size(self) -> float | None:
        """Å per pixel; None when unknown. Raises `CryopickError` when the two sides differ."""
        return common_pixel_size(self.found, self.truth)

    @property
    def shape_hw(self) -> tuple[int, int]:
        """The micrograph's height and width. Raises `CryopickError` when unknown on both sides."""
        shape_hw = self.truth.shape_hw or self.found.shape_hw
        if shape_hw is None:
            raise CryopickError(f"{self.name}: borders and masks need the micrograph's shape; give the micrographs")
        return shape_hw

    def to_px(self, diameter: float | None) -> float | None:
        """Convert a diameter to pixels, from Å when the pixel size is known. Raises `SettingError` unless it is positive."""
        if diameter is None:
            return None
        return length_to_px(checked_positive(diameter, "the diameter", error=SettingError), self.pixel_size)

    def above(self, threshold: float | None) -> "MicrographPair":
        """Select the picks with a score of at least `threshold`. Raises `SettingError` if they have no scores."""
        if threshold is None or len(self.found) == 0:
            return self
        if self.found.scores is None:
            raise SettingError(f"{self.name}: the picks have no scores for the threshold {threshold:g}; omit it")
        return MicrographPair(self.found[self.found.scores >= np.float32(threshold)], self.truth)


def first_known(pair: MicrographPair, *diameters_px: float | None) -> float:
    """Return the first known diameter. Raises `CryopickError` if all are unknown."""
    for diameter_px in diameters_px:
        if diameter_px is not None:
            return diameter_px
    raise CryopickError(f"{pair.name}: neither the ground truth nor the picks have a diameter; give one")


def pair_micrographs(found: Sequence[Picks], truth: Sequence[Picks]) -> tuple[list[MicrographPair], tuple[str, ...]]:
    """Pair ground truth with the picks on its micrographs, or empty ones; also name the micrographs without ground truth.

    Names match with or without folders, extension and CryoSPARC's UID. Raises `NameMatchError` if a name matches several, is
    listed twice, or if there are picks, but none on a micrograph of `truth`.
    """
    by_name = _by_name(truth)
    picks_by_name = _by_name(found)
    loosest = {_loosest(name) for name in by_name}
    with_truth = [name for name in picks_by_name if _loosest(name) in loosest]
    without_truth = tuple(name for name in picks_by_name if _loosest(name) not in loosest)
    if without_truth and not with_truth and any(len(picks) for picks in found):
        raise NameMatchError(
            f"no picks are on a micrograph with ground truth: the picks are on {without_truth[0]!r}, the ground truth is on "
            f"{next(iter(by_name), 'no micrograph')!r}. {DIFFERENCES}"
        )
    with_truth, copies = _without_copies(with_truth, by_name)
    found_on = {known: picks_by_name[written] for written, known in match_names(with_truth, by_name).items()}
    sizes = {picks.pixel_size for picks in found}
    shared_size = sizes.pop() if len(sizes) == 1 else None  # keeps lengths in Å if nothing was found
    nothing = {name: Picks(name, pixel_size=shared_size) for name in by_name}
    pairs = [MicrographPair(found_on.get(name, nothing[name]), particles) for name, particles in by_name.items()]
    return pairs, without_truth + copies


def _by_name(every: Sequence[Picks]) -> dict[str, Picks]:
    by_name = {picks.micrograph: picks for picks in every}
    if len(by_name) < len(every):
        twice = next(name for name in by_name if sum(picks.micrograph == name for picks in every) > 1)
        raise NameMatchError(f"the micrograph {twice!r} is listed twice; put all of its picks into one list")
    return by_name


def _loosest(name: str) -> str:
    """Return a key that is equal for all spellings of a name; names with different keys cannot match."""
    return exposure(name)


def _without_copies(names: list[str], known: Iterable[str]) -> tuple[list[str], tuple[str, ...]]:
    """Separate names from further copies of the same exposure, such as ``a_DW`` besides ``a``."""
    index = NameIndex(known)
    taken = {index.find(name) for name in names if not index.fits_exposure_only(name)}
    copies = {name: None for name in names if index.fits_exposure_only(name) and index.find(name) in taken}
    return [name for name in names if name not in copies], tuple(copies)
