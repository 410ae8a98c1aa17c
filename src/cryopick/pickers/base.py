"""What every picker is, and the one way from a model's detections to picks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cryopick.coordinates import PixelMap, inside
from cryopick.errors import CryopickError
from cryopick.types import Micrograph, Picks

Ready = TypeVar("Ready")
Seen = TypeVar("Seen")


LEAST_ACROSS = 4.0
"""Pixels across the smallest particle that is looked for: smaller ones show no shape, and would enlarge the picture."""


@dataclass(frozen=True)
class Detections:
    """What a model found: centres float64 (n, 2) as (x, y) in the pixels of its own input, scores float32 (n,) in [0, 1]."""

    xy: NDArray[np.float64]
    scores: NDArray[np.float32]


class Picker(Protocol):
    """Finds the particles of one micrograph. Pickers hold settings and weights, never state between micrographs."""

    def pick(self, micrograph: Micrograph, *, diameter: float | None = None) -> Picks:
        """Every particle above the picker's threshold, best first.

        `diameter` is in Å, or in pixels when the micrograph's pixel size is unknown; None lets the picker estimate it, and the
        result's `diameter` tells. A micrograph without particles gives no picks, not an error.
        """
        ...


@runtime_checkable
class BatchPicker(Picker, Protocol[Ready, Seen]):
    """A picker in three parts, for GPUs: one look at several micrographs, while processors make others ready and finish others.

    `finish` of what `prepare` and `look` gave is what `pick` gives, but for the rounding of sums that depends on how many are
    looked at together. Of `prepare` and `finish`, several may run at the same time in threads; of `look`, one.
    """

    def prepare(self, micrograph: Micrograph, *, diameter: float | None = None) -> Ready:
        """All that comes before the network; see `Picker.pick`."""
        ...

    def look(self, ready: Sequence[Ready], /) -> list[Seen]:
        """What the networks say of each."""
        ...

    def finish(self, ready: Ready, seen: Seen, /) -> Picks:
        """All that comes after them."""
        ...


def pick_in_parts(picker: BatchPicker[Ready, Seen], micrograph: Micrograph, *, diameter: float | None) -> Picks:
    """The picks of one micrograph by a picker in parts."""
    ready = picker.prepare(micrograph, diameter=diameter)
    (seen,) = picker.look([ready])
    return picker.finish(ready, seen)


class PickerClass(Protocol):
    """A class in the table of pickers: a frozen dataclass of settings in `Settings`, and a picker when called with one."""

    Settings: ClassVar[type[Any]]

    def __call__(self, settings: Any, /) -> Picker: ...


def checked_size(diameter_px: float) -> float:
    """The diameter in the micrograph's pixels; `CryopickError` where no picker can see so small a particle."""
    if diameter_px < LEAST_ACROSS:
        raise CryopickError(
            f"its particles would be {diameter_px:.2g} pixels across, and {LEAST_ACROSS:g} are needed. "
            "Look whether --diameter is in Å and the pixel size is right"
        )
    return diameter_px


def to_picks(detections: Detections, to_home: PixelMap, micrograph: Micrograph, *, diameter: float | None) -> Picks:
    """Detections as picks on their micrograph, best first (ties by row, then column); those outside the picture are dropped.

    `diameter` in Å, or in pixels when the micrograph's pixel size is unknown.
    """
    xy = to_home.to_home(detections.xy)
    order = np.lexsort((xy[:, 0], xy[:, 1], -detections.scores))
    order = order[inside(xy[order], micrograph.shape_hw)]
    about = (micrograph.shape_hw, micrograph.pixel_size, micrograph.optics_group, micrograph.uid)
    return Picks(micrograph.name, xy[order], detections.scores[order], diameter, *about)
