"""Errors that a user can mend. Every one says what was found and what to do."""

from collections.abc import Iterable
from pathlib import Path


class CryopickError(Exception):
    """Base of every error that is the input's or the settings' fault, not the program's."""


class FileError(CryopickError):
    """A file that cannot be used: which one, what was found in it, and the remedy."""

    def __init__(self, path: Path | str, found: str, remedy: str) -> None:
        self.path = Path(path)
        self.found = found
        self.remedy = remedy
        super().__init__(path, found, remedy)

    def __str__(self) -> str:
        return f"{self.path}: {self.found}. {self.remedy}"


class SettingError(CryopickError):
    """A setting with a value that cannot work."""


class NameMatchError(CryopickError):
    """Micrograph names in two files that match nothing, or more than one thing."""


def nearest(name: str, names: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: ``; did you mean 'NAME'?`` where one is similar, else a full stop."""
    from difflib import get_close_matches

    found = get_close_matches(name, list(names), n=1)
    return f"; did you mean {found[0]!r}?" if found else "."
