"""What every picker is, and the one way from a model's detections to picks."""

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

from cryopick.types import Micrograph, Picks

Ready = TypeVar("Ready")
Seen = TypeVar("Seen")


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
