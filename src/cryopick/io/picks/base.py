"""The interface of pick formats, what readers know besides the file, and code that formats share."""

import logging
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, TextIO, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryopick.coordinates import Frame, length_from_px
from cryopick.errors import CryopickError, FileError, NameMatchError, SettingError
from cryopick.files import atomic_path, is_temporary, write_text
from cryopick.io.micrographs.headers import read_shape
from cryopick.io.names import NameIndex, stem
from cryopick.types import Picks

logger = logging.getLogger(__name__)

HEAD_BYTES = 1 << 15

_ENCODING, _ERRORS = "utf-8", "surrogateescape"


class Source(Protocol):
    """A micrograph by name, read or not: `cryopick.io.micrographs.sources.MicrographSource`, or a `Micrograph`."""

    @property
    def name(self) -> str:
        """See `Micrograph`."""
        ...

    @property
    def path(self) -> Path | None:
        """See `Micrograph`."""
        ...

    @property
    def pixel_size(self) -> float | None:
        """See `Micrograph`."""
        ...

    @property
    def optics_group(self) -> int:
        """See `Micrograph`."""
        ...

    @property
    def uid(self) -> int | None:
        """See `Micrograph`."""
        ...


@runtime_checkable
class SourceWithShape(Source, Protocol):
    """A `Source` that knows its shape without reading its file."""

    @property
    def shape_hw(self) -> tuple[int, int] | None:
        """Height and width in pixels; None when unknown."""
        ...


class KnownMicrographs:
    """The micrographs that picks belong to, found by any spelling of their names.

    `unknown` collects the names that match none of them; without it such a name is an error, which names the `file` of picks.
    """

    def __init__(self, sources: Iterable[Source] = (), *, unknown: set[str] | None = None, file: Path | None = None) -> None:
        self._sources = {source.name: source for source in sources}
        self._index = NameIndex(self._sources)
        self.unknown = unknown
        self._file = file

    def find(self, written: str) -> Source | None:
        """The micrograph that a name means; None when no micrographs are given, or the name is added to `unknown`.

        Raises `NameMatchError` when the name matches none of them or several, and when another spelling meant the same one.
        """
        if not self._sources:
            return None
        if self.unknown is not None and not self._index.fits(written):
            self.unknown.add(written)
            return None
        try:
            return self._sources[self._index.find_once(written)]
        except NameMatchError as error:
            raise NameMatchError(f"{self._file}: {error}") from None


@dataclass(frozen=True)
class Reading:
    """What is known besides a file of picks when it is read.

    Attributes
    ----------
    known : the micrographs, if given.
    pixel_size : Å per pixel; overrides the file's own and the micrographs'.
    downsample : the factor by which Topaz's micrographs were downsampled.
    """

    known: KnownMicrographs = field(default_factory=KnownMicrographs)
    pixel_size: float | None = None
    downsample: float = 1.0

    def picks(
        self,
        path: Path,
        written: str,
        points: Sequence[Sequence[float]] | NDArray[np.float64],
        frame: Frame,
        *,
        scores: ArrayLike | None = None,
        diameter: float | None = None,
        diameter_px: float | None = None,
        diameters: NDArray[np.float64] | None = None,
        diameters_px: NDArray[np.float64] | None = None,
        data: Mapping[str, NDArray[Any]] | None = None,
        box: ArrayLike | None = None,
        shape_hw: tuple[int, int] | None = None,
        pixel_size: float | None = None,
    ) -> Picks:
        """Make picks in the image frame from points as the file has them, on the micrograph that the name `written` means.

        `diameter` and `diameters` (n,) are in Å and dropped when no pixel size is known; those that end in `_px` are in pixels.
        Diameters of the picks are kept where they differ; the common one is their median unless given. `shape_hw` and
        `pixel_size` are the file's own. The micrograph's optics group and UID become the picks'.
        """
        source = self.known.find(written)
        if self.known.unknown is not None and written in self.known.unknown:
            return Picks(written)  # skipped later; its points may not be convertible
        if source is not None:
            actual, header_size = _shape_and_pixel_size(source)
            if frame.unit == "px" and None not in (actual, shape_hw) and actual != shape_hw:
                raise CryopickError(f"{path}: {written} has (rows, columns) {shape_hw} there, but {source.path} has {actual}")
            shape_hw = actual or shape_hw
            pixel_size = pixel_size or source.pixel_size or header_size
        pixel_size = self.pixel_size or pixel_size
        diameter, diameters = (None, None) if pixel_size is None else (diameter, diameters)
        if diameters_px is not None and len(diameters_px):
            diameters = diameters_px * length_from_px(1.0, pixel_size)
            diameter_px = float(np.median(diameters_px)) if diameter_px is None else diameter_px
        if diameter_px is not None:
            diameter = length_from_px(diameter_px, pixel_size)
        elif diameter is None and diameters is not None and len(diameters):
            diameter = float(np.median(diameters))
        values = _finite_scores(path, written, scores)
        try:
            xy = np.zeros((0, 2))
            if len(points):
                xy = frame.to_image(points, shape_hw=shape_hw, pixel_size=pixel_size, box=box)
            name, group, uid = (written, 1, None) if source is None else (source.name, source.optics_group, source.uid)
            return Picks(name, xy, values, diameter, shape_hw, pixel_size, group, uid, _differing(diameters), data or {})
        except CryopickError as error:
            raise CryopickError(f"{path}: picks of {written}: {error}") from None


@dataclass(frozen=True)
class Writing:
    """Options of writing that some formats use.

    Attributes
    ----------
    box : box size in pixels; None takes the diameter.
    downsample : as in `Reading`.
    """

    box: int | None = None
    downsample: float = 1.0

    def sides(self, picks: Picks) -> NDArray[np.float64]:
        """The side of each pick's box (n,) in pixels; whole numbers, but for picks with a diameter each.

        Raises `SettingError` when neither a box nor a diameter is known.
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
    try:
        return frame.from_image(picks.xy, shape_hw=picks.shape_hw, pixel_size=picks.pixel_size, box=box)
    except CryopickError as error:
        raise CryopickError(f"{picks.micrograph}: {error}") from None


@contextmanager
def text_file(path: Path) -> Iterator[TextIO]:
    """Open a text file that is written completely or not at all; names keep bytes that are not UTF-8."""
    with atomic_path(path) as temporary, temporary.open("w", encoding=_ENCODING, errors=_ERRORS, newline="") as file:
        yield file


@contextmanager
def spool(folder: Path) -> Iterator[TextIO]:
    """Open a temporary file on the folder's disk, for rows that are known before the header above them."""
    with tempfile.TemporaryFile("w+", encoding=_ENCODING, errors=_ERRORS, newline="", dir=folder) as file:
        yield file


@dataclass(frozen=True)
class Peek:
    """A peek at a path, to recognise its format: the beginning of a file as text, or a folder's entries."""

    path: Path
    head: str
    entries: tuple[str, ...]

    @staticmethod
    def at(path: Path) -> "Peek":
        """Peek at a path. Raises `FileError` when it cannot be read."""
        try:
            if path.is_dir():
                return Peek(path, "", tuple(sorted(entry.name for entry in path.iterdir() if not is_temporary(entry.name))))
            with path.open("rb") as file:
                return Peek(path, file.read(HEAD_BYTES).decode("utf-8", "replace"), ())
        except OSError as error:
            raise FileError(path, f"cannot be read ({error.strerror or error})", "Check the path and its permissions") from None


class UniqueNames:
    """Names as a format writes them; two micrographs may not share one, or their picks would be mixed."""

    def __init__(self, path: Path, spell: Callable[[str], str]) -> None:
        self._path = path
        self._spell = spell
        self._micrographs: dict[str, str] = {}

    def add(self, micrograph: str) -> str:
        """The micrograph's name in the file. Raises `NameMatchError` when another micrograph has it already."""
        name = self._spell(micrograph)
        if name in self._micrographs:
            both = f"{self._micrographs[name]} and {micrograph}"
            raise NameMatchError(f"{self._path}: {both} would both be written as {name}; use different files")
        self._micrographs[name] = micrograph
        return name


class PickFormat(Protocol):
    """A file format of picks. A new one is a class in a module of its own and a line in `FORMATS`.

    Attributes
    ----------
    frame : its convention for points.
    suffix : the ending of its files' names.
    single : whether one file holds the picks of all micrographs; otherwise each has its own, in a folder.
    """

    frame: ClassVar[Frame]
    suffix: ClassVar[str]
    single: ClassVar[bool]

    def recognises(self, peek: Peek) -> bool:
        """Whether a file or folder looks like this format."""
        ...

    def read(self, path: Path, reading: Reading) -> list[Picks]:
        """Read the picks of each micrograph, in the file's order. Raises `FileError` for an invalid file."""
        ...

    def write(self, picks: Iterable[Picks], path: Path, writing: Writing) -> None:
        """Write each micrograph's picks, consuming them one by one; every file completely or not at all."""
        ...


class FilePerMicrograph(ABC):
    """Base of formats with one file per micrograph, named like it: reads and writes a single file or a folder.

    Attributes
    ----------
    suffix : what follows the micrograph's stem in a file's name.
    folder : the subfolder with the files.
    """

    suffix: ClassVar[str]
    single: ClassVar[bool] = False
    folder: ClassVar[str] = "."

    @abstractmethod
    def read_one(self, path: Path, written: str, reading: Reading) -> Picks:
        """Read the picks of one file; `written` is the micrograph's stem, from the file's name."""

    @abstractmethod
    def text(self, picks: Picks, writing: Writing) -> str:
        """The content of one file."""

    def recognises(self, peek: Peek) -> bool:
        """See `PickFormat.recognises`: by the file's name, or those of files in the folder."""
        return any(name.lower().endswith(self.suffix) for name in (peek.path.name, *peek.entries))

    def read(self, path: Path, reading: Reading) -> list[Picks]:
        """See `PickFormat.read`."""
        files = self.files(path) if path.is_dir() else [path]
        if not files:
            raise FileError(path, f"has no file that ends in {self.suffix}", "Give the folder with the files, or another format")
        return [self.read_one(file, stem(_without(file.name, self.suffix)), reading) for file in files]

    def files(self, folder: Path) -> list[Path]:
        """The format's files in a folder, sorted by name."""
        inner = folder / self.folder
        entries = (inner if inner.is_dir() else folder).iterdir()
        return sorted(entry for entry in entries if entry.name.lower().endswith(self.suffix) and not entry.name.startswith("."))

    def write(self, picks: Iterable[Picks], path: Path, writing: Writing) -> None:
        """See `PickFormat.write`."""
        single = path.name.lower().endswith(self.suffix) and not path.is_dir()
        places = UniqueNames(path, lambda name: path.name if single else f"{stem(name)}{self.suffix}")
        for each in picks:
            place = places.add(each.micrograph)
            write_text(path if single else path / self.folder / place, self.text(each, writing))


def split_by_name(names: Sequence[str]) -> dict[str, NDArray[np.intp]]:
    """Row numbers of each name, in the order of first occurrence."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    group = np.fromiter(map(numbers.__getitem__, names), np.intp, len(names))
    rows = np.argsort(group, kind="stable")
    ends = np.cumsum(np.bincount(group, minlength=len(numbers)))
    return dict(zip(numbers, np.split(rows, ends[:-1]), strict=True)) if numbers else {}


def _finite_scores(path: Path, written: str, scores: ArrayLike | None) -> NDArray[np.float32] | None:
    if scores is None:
        return None
    values = np.asarray(scores, np.float32)
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0]) + 1
        raise FileError(path, f"pick {row} of {written} has a score that is not a number", "Correct or remove that pick")
    return values


def _differing(diameters: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    """Diameters where they say more than their median: positive ones that are not all the same."""
    if diameters is None or not len(diameters) or diameters.min() <= 0 or np.ptp(diameters) == 0:
        return None
    return diameters


def _shape_and_pixel_size(source: Source) -> tuple[tuple[int, int] | None, float | None]:
    if isinstance(source, SourceWithShape):
        return source.shape_hw, source.pixel_size
    if source.path is None:
        return None, None
    try:
        return read_shape(source.path)
    except FileError as error:  # most formats need no shape; the frame raises where one does
        logger.warning("%s", error)
        return None, None


def _without(name: str, suffix: str) -> str:
    return name[: -len(suffix)] if name.lower().endswith(suffix) else name
