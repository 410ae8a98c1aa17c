"""Interfaces of pickers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

from cryopick.checks import short
from cryopick.errors import SettingError
from cryopick.types import Micrograph, Picks

Prepared = TypeVar("Prepared")
Predicted = TypeVar("Predicted")

StageFunctions = Mapping[str, tuple[Callable[..., Any], ...]]
"""Functions of a picker by stage, ``prepare`` and ``network``; none of them calls another."""


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

        `diameter` is in Å, or in pixels if the pixel size is unknown; if omitted, the picker estimates it and stores the
        estimate in the result. A micrograph without particles gives no picks, not an error.
        """
        ...


@runtime_checkable
class BatchPicker(Picker, Protocol[Prepared, Predicted]):
    """A picker in three steps, with which a GPU can process several micrographs at once; a base class.

    A batch gives the same picks as single micrographs, except for the rounding of sums, which depends on the batch. `prepare`
    and `finish` may run in several threads at the same time, `predict` in one.
    """

    def pick(self, micrograph: Micrograph, *, diameter: float | None = None) -> Picks:
        """See `Picker.pick`: the three steps, one after the other."""
        require_micrograph(micrograph)
        prepared = self.prepare(micrograph, diameter=diameter)
        (predicted,) = self.predict([prepared])
        return self.finish(prepared, predicted)

    def prepare(self, micrograph: Micrograph, *, diameter: float | None = None) -> Prepared:
        """Prepare a micrograph for the network; see `Picker.pick`."""
        ...

    def predict(self, prepared: Sequence[Prepared], /) -> list[Predicted]:
        """Run the network on a batch."""
        ...

    def finish(self, prepared: Prepared, predicted: Predicted, /) -> Picks:
        """Convert the output of the network to picks."""
        ...


def require_micrograph(micrograph: object) -> None:
    """Raise `SettingError` for anything but a `Micrograph`."""
    if not isinstance(micrograph, Micrograph):
        remedy = "read a file with read_micrograph, or make one from an array: Micrograph(pixels, pixel_size)"
        raise SettingError(f"pick(micrograph): expected a Micrograph, got {short(micrograph)}; {remedy}")


class PickerClass(Protocol):
    """A class of pickers, called with its settings.

    Attributes
    ----------
    Settings : frozen dataclass with the picker's options.
    SUMMARY : description of the picker in one line.
    STAGES : functions whose time is reported by the benchmark; everything else counts as detection.
    """

    Settings: ClassVar[type[Any]]
    SUMMARY: ClassVar[str]
    STAGES: ClassVar[StageFunctions]

    def __call__(self, settings: Any, /) -> Picker: ...


@runtime_checkable
class Untrained(Protocol):
    """A picker that can be made with random weights, so that it can be timed without trained ones."""

    def untrained(self, settings: Any, /) -> Picker:
        """Make the picker with random weights."""
        ...
