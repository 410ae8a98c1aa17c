"""The interface of pick formats, and code shared by formats."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import ClassVar, Protocol, TextIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryopick.coordinates import Frame
from cryopick.errors import CryopickError, FileError, NameMatchError, SettingError
from cryopick.files import atomic_path, is_temporary
from cryopick.io.names import stem
from cryopick.io.picks.reading import MOST_PIXELS, Reading
from cryopick.types import Picks

LONGEST_NAME = 255
"""Most bytes of a file name, on all common file systems."""
HEAD_BYTES = 1 << 20

_ENCODING, _ERRORS = "utf-8", "surrogateescape"


@dataclass(frozen=True)
class Writing:
    """Options of writing that some formats use. Raises `SettingError` unless the box is a whole number of pixels.

    Attributes
    ----------
    box : box size in pixels; None takes the diameter.
    downsample : the factor by which the images of Topaz's coordinates are reduced.
    """

    box: int | None = None
    downsample: float = 1.0

    def __post_init__(self) -> None:
        if self.box is not None and not (isinstance(self.box, int | np.integer) and self.box > 0):
            raise SettingError(f"the box size must be a whole number of pixels, at least 1, got {self.box!r}")

    def sides(self, picks: Picks) -> NDArray[np.float64]:
        """Return the side of each pick's box (n,) in pixels; rounded, except for picks with individual diameters.

        Raises `SettingError` if neither a box nor a diameter is known.
        """
        if self.box is not None:
            return np.full(len(picks), float(self.box))
        if picks.diameters_px is not None:
            return picks.diameters_px
        if picks.diameter_px is None and len(picks):
            raise SettingError(f"{picks.micrograph}: this format needs a box size; give one, or picks with a diameter")
        return np.full(len(picks), float(round(picks.diameter_px or 0)))


def placed(picks: Picks, frame: Frame, *, box: ArrayLike | None = None) -> NDArray[np.float64]:
    """Convert the picks' points (n, 2) to a format's frame. Raises `CryopickError` naming the micrograph."""
    if not len(picks):
        return np.zeros((0, 2))
    if beyond := picks.xy[np.abs(picks.xy) > MOST_PIXELS].tolist():
        raise CryopickError(f"{picks.micrograph}: a pick has the coordinate {beyond[0]:g}; remove it")
    try:
        return frame.from_image(picks.xy, shape_hw=picks.shape_hw, pixel_size=picks.pixel_size, box=box)
    except CryopickError as error:
        raise CryopickError(f"{picks.micrograph}: {error}") from None


def in_a_row(name: str) -> str:
    """Return the name if it fits into a row of a text table. Raises `CryopickError` for one with a line end or tab."""
    if set(name) & set("\n\r\t"):
        raise CryopickError(f"the name {name!r} has a line end or tab, which this format does not support; rename the micrograph")
    return name


@contextmanager
def text_file(path: Path) -> Iterator[TextIO]:
    """Open a text file for atomic writing; bytes in names that are not UTF-8 are preserved."""
    with atomic_path(path) as temporary, temporary.open("w", encoding=_ENCODING, errors=_ERRORS, newline="") as file:
        yield file


@contextmanager
def spool(folder: Path) -> Iterator[TextIO]:
    """Open a temporary file on the folder's disk, for rows that must be written before the header above them."""
    with tempfile.TemporaryFile("w+", encoding=_ENCODING, errors=_ERRORS, newline="", dir=folder) as file:
        yield file


@dataclass(frozen=True)
class Peek:
    """The beginning of a file as text, or a folder's entries, by which formats are recognised."""

    path: Path
    head: str
    entries: tuple[str, ...]

    @staticmethod
    def at(path: Path) -> "Peek":
        """Read the beginning of a path. Raises `FileError` if it cannot be read."""
        try:
            if path.is_dir():
                return Peek(path, "", tuple(sorted(entry.name for entry in path.iterdir() if not is_temporary(entry.name))))
            with path.open("rb") as file:
                return Peek(path, file.read(HEAD_BYTES).decode("utf-8", "replace"), ())
        except OSError as error:
            raise FileError(path, f"cannot be read ({error.strerror or error})", "Check the path and its permissions") from None


def check_own_file(name: str, micrograph: str) -> None:
    """Raise `NameMatchError` where a micrograph's own file cannot have this name, or would be hidden and not read again."""
    if not stem(PurePath(micrograph).name):
        problem = "it names no file"
    elif name.startswith("."):
        problem = f"the file {name} would be hidden"
    elif "\0" in name:
        problem = "it has a character that no file name has"
    elif len(name.encode("utf-8", "surrogatepass")) > LONGEST_NAME:
        problem = f"a file name has at most {LONGEST_NAME} bytes"
    else:
        return
    raise NameMatchError(
        f"{micrograph!r}: its picks cannot have a file of their own: {problem}. Rename it, or write another format"
    )


class UniqueNames:
    """Names as a format spells them; two micrographs must not share one, or their picks would be mixed."""

    def __init__(self, path: Path, spell: Callable[[str], str]) -> None:
        self._path = path
        self._spell = spell
        self._micrographs: dict[str, str] = {}

    def add(self, micrograph: str) -> str:
        """Return the micrograph's name in the file. Raises `NameMatchError` if another micrograph has it already."""
        name = self._spell(micrograph)
        if name in self._micrographs:
            both = f"{self._micrographs[name]} and {micrograph}"
            raise NameMatchError(f"{self._path}: {both} would both be written as {name}; use different files")
        self._micrographs[name] = micrograph
        return name


class PickFormat(Protocol):
    """A file format of picks. To add one, write a class in a module of its own and list it in `FORMATS`.

    Attributes
    ----------
    frame : its coordinate convention.
    suffix : ending of its files' names.
    single : whether one file holds the picks of all micrographs; otherwise each has its own file in a folder.
    """

    frame: ClassVar[Frame]
    suffix: ClassVar[str]
    single: ClassVar[bool]

    def recognises(self, peek: Peek) -> bool:
        """Return whether a file or folder looks like this format."""
        ...

    def read(self, path: Path, reading: Reading) -> list[Picks]:
        """Read the picks of each micrograph, in the file's order. Raises `FileError` for an invalid file."""
        ...

    def write(self, picks: Iterable[Picks], path: Path, writing: Writing) -> None:
        """Write the picks of each micrograph, one after another; every file atomically."""
        ...


def split_by_name(path: Path, names: Sequence[str]) -> dict[str, NDArray[np.intp]]:
    """Return row numbers by name, in the order of first occurrence. Raises `FileError` for a row without a name."""
    nameless = {name for name in set(names) if not name.strip(" >")}
    if nameless:
        row = next(row for row, name in enumerate(names, 1) if name in nameless)
        raise FileError(path, f"row {row} names no micrograph", "Fill in its name, or remove that row")
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    group = np.fromiter(map(numbers.__getitem__, names), np.intp, len(names))
    rows = np.argsort(group, kind="stable")
    ends = np.cumsum(np.bincount(group, minlength=len(numbers)))
    return dict(zip(numbers, np.split(rows, ends[:-1]), strict=True)) if numbers else {}
