"""Errors that a user can fix: each says what is wrong, what was found and what to do."""

import warnings
from collections.abc import Iterable
from pathlib import Path


class CryopickError(Exception):
    """Base of all errors that the input or the settings cause.

    Examples
    --------
    >>> try:
    ...     Picks("m.mrc", [[1, 2]], [0.5, 0.6])
    ... except CryopickError as error:
    ...     print(error)
    m.mrc: 1 pick but 2 scores; give one for each pick
    """


class FileError(CryopickError):
    """A file that cannot be used.

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
    """A setting, option or argument that does not exist, or has an invalid value.

    Examples
    --------
    >>> try:
    ...     write_picks("picks.star", [])
    ... except SettingError as error:
    ...     print(error)
    write_picks(picks, path): the second argument must be a path; give the picks first
    """


class MissingExtraError(CryopickError):
    """Libraries that a purpose needs are not installed: the optional part of the package that has them, and how to install it."""

    def __init__(self, extra: str, purpose: str) -> None:
        self.extra = extra
        self.purpose = purpose
        super().__init__(extra, purpose)

    def __str__(self) -> str:
        command = f"pip install -c constraints.txt '.[{self.extra}]'"
        return f"{self.purpose} needs libraries that are not installed; in the clone of cryopick run: {command}"


class NameMatchError(CryopickError):
    """Names of micrographs that match none of the known ones, or several.

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
    """The end of a sentence about an unknown name: ``; did you mean 'NAME'?`` where one is similar, else a full stop."""
    from difflib import get_close_matches

    found = get_close_matches(name, list(names), n=1)
    return f"; did you mean {found[0]!r}?" if found else "."
