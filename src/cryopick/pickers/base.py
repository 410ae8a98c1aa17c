"""The interfaces that every picker fulfils."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

from cryopick.checks import short
from cryopick.errors import SettingError
from cryopick.types import Micrograph, Picks

Prepared = TypeVar("Prepared")
Predicted = TypeVar("Predicted")

StageFunctions = Mapping[str, tuple[Callable[..., Any], ...]]
"""Functions of a picker by stage, ``prepare`` and ``network``; none calls another of them."""


class Picker(Protocol):
    """Finds the particles of one micrograph. A picker holds settings and weights, and no state between micrographs.

    `cryopick.picker` makes one. Anything with this method is a picker; a package of your own can register one with the entry
    point ``cryopick.pickers``, see `PickerClass`.

    Examples
    --------
    >>> import numpy as np
    >>> log = picker("log")
    >>> log.pick(Micrograph(np.zeros((64, 64)), name="blank.mrc"), diameter=20)
    <Picks on 'blank.mrc': 0 picks, diameter 20 pixels>
    """

    def pick(self, micrograph: Micrograph, *, diameter: float | None = None) -> Picks:
        """Pick every particle of the `micrograph` above the picker's threshold, best first.

        `diameter` is in Å, or in pixels when the pixel size is unknown; without it the picker estimates one, which the result
        carries. A micrograph without particles gives no picks, not an error.
        """
        ...


@runtime_checkable
class BatchPicker(Picker, Protocol[Prepared, Predicted]):
    """A picker in three steps, so that a GPU can process several micrographs at once; inherit from it.

    A batch gives the picks of single micrographs, up to the rounding of sums, which depends on the batch. `prepare` and `finish`
    may run in several threads at the same time, `predict` in one.
    """

    def pick(self, micrograph: Micrograph, *, diameter: float | None = None) -> Picks:
        """See `Picker.pick`: the three steps, one after the other."""
        require_micrograph(micrograph)
        prepared = self.prepare(micrograph, diameter=diameter)
        (predicted,) = self.predict([prepared])
        return self.finish(prepared, predicted)

    def prepare(self, micrograph: Micrograph, *, diameter: float | None = None) -> Prepared:
        """Do everything before the network; see `Picker.pick`."""
        ...

    def predict(self, prepared: Sequence[Prepared], /) -> list[Predicted]:
        """Run the network on a batch."""
        ...

    def finish(self, prepared: Prepared, predicted: Predicted, /) -> Picks:
        """Do everything after the network."""
        ...


def require_micrograph(micrograph: object) -> None:
    """Raise `SettingError` for anything but a `Micrograph`."""
    if not isinstance(micrograph, Micrograph):
        remedy = "read a file with read_micrograph, or make one from an array: Micrograph(pixels, pixel_size)"
        raise SettingError(f"pick(micrograph): expected a Micrograph, got {short(micrograph)}; {remedy}")


class PickerClass(Protocol):
    """A class in the table of pickers. Called with its settings, it makes a picker.

    Attributes
    ----------
    Settings : a frozen dataclass; its fields are the picker's options.
    SUMMARY : what the picker is, in one line.
    STAGES : the functions whose time a benchmark reports; everything else counts as detection.
    """

    Settings: ClassVar[type[Any]]
    SUMMARY: ClassVar[str]
    STAGES: ClassVar[StageFunctions]

    def __call__(self, settings: Any, /) -> Picker: ...


@runtime_checkable
class Untrained(Protocol):
    """A picker that can be made with random weights, to time it where no weights are at hand."""

    def untrained(self, settings: Any, /) -> Picker:
        """Make the picker with random weights."""
        ...
