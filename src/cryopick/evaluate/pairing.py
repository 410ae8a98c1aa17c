"""What every protocol does first: bring found picks and truth of the same micrograph together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cryopick.coordinates import length_to_px
from cryopick.errors import CryopickError, NameMatchError, SettingError
from cryopick.evaluate.matching import common_pixel_size
from cryopick.io.names import match_names, stem, without_uid
from cryopick.types import Picks


@dataclass(frozen=True, eq=False)
class MicrographPair:
    """Found picks and true particles of one micrograph; what one side does not know of it, the other tells."""

    found: Picks
    truth: Picks

    @property
    def name(self) -> str:
        """The micrograph as the truth names it."""
        return self.truth.micrograph

    @property
    def pixel_size(self) -> float | None:
        """Å per pixel, None when neither side knows. Raises `CryopickError` when the two differ."""
        return common_pixel_size(self.found, self.truth)

    @property
    def shape_hw(self) -> tuple[int, int]:
        """The micrograph's shape. Raises `CryopickError` when neither side knows it."""
        shape_hw = self.truth.shape_hw or self.found.shape_hw
        if shape_hw is None:
            raise CryopickError(f"{self.name}: borders and masks need the micrograph's shape; give the micrographs")
        return shape_hw

    def to_px(self, diameter: float | None) -> float | None:
        """A diameter in Å (in pixels when the pixel size is unknown) in pixels. Raises `SettingError` unless it is positive."""
        if diameter is None:
            return None
        if not (np.isfinite(diameter) and diameter > 0):
            raise SettingError(f"a diameter of {diameter} cannot be; give a positive number")
        return length_to_px(diameter, self.pixel_size)

    def above(self, threshold: float | None) -> "MicrographPair":
        """Without found picks that score less than `threshold`. Raises `SettingError` when they have no scores."""
        if threshold is None or len(self.found) == 0:
            return self
        if self.found.scores is None:
            raise SettingError(f"{self.name}: picks without scores cannot be held against a threshold of {threshold:g}")
        return MicrographPair(self.found.where(self.found.scores >= np.float32(threshold)), self.truth)


def first_known(pair: MicrographPair, *diameters_px: float | None) -> float:
    """The first diameter that is known. Raises `CryopickError` when none is."""
    for diameter_px in diameters_px:
        if diameter_px is not None:
            return diameter_px
    raise CryopickError(f"{pair.name}: neither the truth nor the picks say the particles' diameter; give it")


def pair_micrographs(found: Sequence[Picks], truth: Sequence[Picks]) -> tuple[list[MicrographPair], tuple[str, ...]]:
    """Every truth with the picks found on its micrograph, or empty picks; and the names of picks' micrographs without truth.

    Names match with or without folders, extension and CryoSPARC's UID. Raises `NameMatchError` when one matches several, when one
    stands twice, or when there are picks and none lies on a micrograph of `truth`.
    """
    by_name = _by_name(truth)
    picks_by_name = _by_name(found)
    loosest = {_loosest(name) for name in by_name}
    with_truth = [name for name in picks_by_name if _loosest(name) in loosest]
    without_truth = tuple(name for name in picks_by_name if _loosest(name) not in loosest)
    if without_truth and not with_truth and any(len(picks) for picks in found):
        raise NameMatchError(
            f"no picks lie on a micrograph that has a truth: picks are on {without_truth[0]!r}, the truth is on "
            f"{next(iter(by_name), 'no micrograph')!r}. Names may differ in folders, extension and CryoSPARC's UID only"
        )
    found_on = {known: picks_by_name[written] for written, known in match_names(with_truth, by_name).items()}
    sizes = {picks.pixel_size for picks in found}
    shared_size = sizes.pop() if len(sizes) == 1 else None  # so that a length in Å stays one where nothing was found
    nothing = {name: Picks(name, pixel_size=shared_size) for name in by_name}
    return [MicrographPair(found_on.get(name, nothing[name]), particles) for name, particles in by_name.items()], without_truth


def _by_name(every: Sequence[Picks]) -> dict[str, Picks]:
    by_name = {picks.micrograph: picks for picks in every}
    if len(by_name) < len(every):
        twice = next(name for name in by_name if sum(picks.micrograph == name for picks in every) > 1)
        raise NameMatchError(f"the micrograph {twice!r} stands twice; put its picks into one list")
    return by_name


def _loosest(name: str) -> str:
    """Equal for all spellings of one name; names that differ in it cannot match."""
    return stem(without_uid(name))
