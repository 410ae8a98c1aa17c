"""Formats with one file per micrograph, named after it."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import ClassVar

from cryopick.errors import FileError
from cryopick.files import write_bytes
from cryopick.io.names import common_ending, micrograph_of, stem
from cryopick.io.picks.base import Peek, UniqueNames, Writing
from cryopick.io.picks.reading import KnownMicrographs, Reading
from cryopick.types import Picks

GAUTOMATCH = "_automatch"
GAUTOMATCH_OTHERS = ("_nonunique", "_rejected")
"""Endings of further files of Gautomatch."""


class FilePerMicrograph(ABC):
    """Base class of formats with one file per micrograph, named after it: reads and writes a single file or a folder.

    Attributes
    ----------
    suffix : ending of a file's name after the micrograph's stem.
    folder : the subfolder with the files.
    """

    suffix: ClassVar[str]
    single: ClassVar[bool] = False
    folder: ClassVar[str] = "."

    @abstractmethod
    def read_one(self, path: Path, written: str, reading: Reading) -> Picks | list[Picks]:
        """Read the picks of one file; a list if it names several micrographs. `written` is the name from the file's name."""

    @abstractmethod
    def text(self, picks: Picks, writing: Writing) -> str:
        """Return the content of one file."""

    def recognises(self, peek: Peek) -> bool:
        """See `PickFormat.recognises`: by the file's name, or those of files in the folder."""
        return any(name.lower().endswith(self.suffix) and name[0] != "." for name in (peek.path.name, *peek.entries))

    def read(self, path: Path, reading: Reading) -> list[Picks]:
        """See `PickFormat.read`."""
        files = self.files(path) if path.is_dir() else [path]
        if not files:
            raise FileError(path, f"has no file that ends in {self.suffix}", "Give the folder with the files, or another format")
        found: list[Picks] = []
        for title, file in titled(path, {file: stem(_without(file.name, self.suffix)) for file in files}, reading.known):
            picks = self.read_one(file, title, reading)
            found += [picks] if isinstance(picks, Picks) else picks
        return found

    def files(self, folder: Path) -> list[Path]:
        """Return the format's files in a folder, sorted by name."""
        inner = folder / self.folder
        entries = (inner if inner.is_dir() else folder).iterdir()
        return sorted(entry for entry in entries if entry.name.lower().endswith(self.suffix) and not entry.name.startswith("."))

    def write(self, picks: Iterable[Picks], path: Path, writing: Writing) -> None:
        """See `PickFormat.write`."""
        single = path.name.lower().endswith(self.suffix) and not path.is_dir()
        places = UniqueNames(path, lambda name: path.name if single else f"{stem(name)}{self.suffix}")
        texts = {  # all are formatted before the first is written, so that an error leaves none of them
            self._place(path, places.add(each.micrograph), single): self.text(each, writing) for each in picks
        }
        for place, text in texts.items():
            write_bytes(place, text.encode("utf-8", "surrogateescape"))

    def _place(self, path: Path, name: str, single: bool) -> Path:
        return path if single else path / self.folder / name


def titled(folder: Path, titles: Mapping[Path, str], known: KnownMicrographs) -> list[tuple[str, Path]]:
    """Return the micrograph's name and the path of each file of picks, from the files' names without extension.

    Files of Gautomatch's rejected picks are excluded. Raises `FileError` if two files belong to one micrograph.
    """
    chosen = dict(titles)
    if any(title.endswith(GAUTOMATCH) for title in chosen.values()):
        chosen = {file: title for file, title in chosen.items() if not title.endswith(GAUTOMATCH_OTHERS)}
    ending = common_ending(PurePosixPath(title).name for title in chosen.values())
    found: dict[str, Path] = {}
    for file, title in chosen.items():
        name = micrograph_of(title, known.fits, ending=ending)
        if name in found:
            remedy = "Keep one of them in the folder, or give the other as a file"
            raise FileError(folder, f"has two files of the micrograph {name}: {found[name].name} and {file.name}", remedy)
        found[name] = file
    return list(found.items())


def _without(name: str, suffix: str) -> str:
    """Return a file's name without the format's suffix, or else without one that is no part of an image's name."""
    if name.lower().endswith(suffix):
        return name[: -len(suffix)]
    return re.sub(r"(?<=.)\.[A-Za-z]\w*$", "", name) if stem(name) == name else name
