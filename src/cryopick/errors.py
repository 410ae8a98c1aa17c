"""Errors that a user can fix: the message says what is wrong, the value, and what to do."""

import warnings
from collections.abc import Iterable
from pathlib import Path


class CryopickError(Exception):
    """Base class of all errors caused by the input or the settings.

    Examples
    --------
    >>> try:
    ...     Picks("m.mrc", [[1, 2]], [0.5, 0.6])
    ... except CryopickError as error:
    ...     print(error)
    m.mrc: 1 pick but 2 scores; give one for each pick
    """


class FileError(CryopickError):
    """Raised for a file that cannot be used.

    Attributes
    ----------
    path : the file.
    found : what is wrong with it.
    remedy : what to do.

    Examples
    --------
    >>> try:
    ...     read_micrograph("absent.mrc")
    ... except FileError as error:
    ...     print(error.path, "-", error.found)
    absent.mrc - no such file
    """

    def __init__(self, path: Path | str, found: str, remedy: str) -> None:
        self.path = Path(path)
        self.found = found
        self.remedy = remedy
        super().__init__(path, found, remedy)

    def __str__(self) -> str:
        return f"{self.path}: {self.found}. {self.remedy}"


class SettingError(CryopickError):
    """Raised for a setting, option or argument that is unknown or has an invalid value.

    Examples
    --------
    >>> try:
    ...     write_picks("picks.star", [])
    ... except SettingError as error:
    ...     print(error)
    write_picks(picks, path): the second argument must be a path; give the picks first
    """


class MissingExtraError(CryopickError):
    """Raised when optional libraries are not installed; the message says how to install them."""

    def __init__(self, extra: str, purpose: str) -> None:
        self.extra = extra
        self.purpose = purpose
        super().__init__(extra, purpose)

    def __str__(self) -> str:
        command = f"pip install -c constraints.txt '.[{self.extra}]'"
        return f"{self.purpose} needs libraries that are not installed; in the clone of cryopick run: {command}"


class NameMatchError(CryopickError):
    """Raised for the name of a micrograph that matches none of the known ones, or several.

    Examples
    --------
    >>> try:
    ...     evaluate_picks([Picks("a.mrc", [[1, 2]])], [Picks("b.mrc", [[1, 2]])], diameter=10)
    ... except NameMatchError as error:
    ...     print(str(error).partition(":")[0])
    no picks are on a micrograph with ground truth
    """


def deprecated(message: str) -> None:
    """Log one warning about a name that will be removed, and emit it as a `DeprecationWarning` for tests of Python code."""
    import logging  # not with the package, which is imported in milliseconds

    logging.getLogger(__name__).warning(message)
    warnings.warn(message, DeprecationWarning, stacklevel=3)


def nearest(name: str, names: Iterable[str]) -> str:
    """Return the end of a sentence about an unknown name: ``; did you mean 'NAME'?`` if one is similar, else a full stop."""
    from difflib import get_close_matches

    found = get_close_matches(name, list(names), n=1)
    return f"; did you mean {found[0]!r}?" if found else "."
