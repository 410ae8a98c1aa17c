"""Micrograph names as spelt by programs: with or without folders, extension, CryoSPARC's UID and marks of processing."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from cryopick.errors import NameMatchError
from cryopick.messages import listed

_IMAGE_SUFFIXES = re.compile(r"(\.(mrcs?|tiff?|png|jpe?g|eer|map)(\.gz|\.bz2)?)+$", re.IGNORECASE)
_UID = re.compile(r"([0-9]{21})_(?=.)")
_UID_BITS = 64
_PROCESSED = re.compile(r"(?<=.)(_(patch|rigid)_aligned(_doseweighted)?|_doseweighted|_DWS?|_noDW)$")
"""Endings that CryoSPARC and MotionCor2 append to an exposure's name in motion correction and dose weighting."""
_PICKED = re.compile(r"(?<=.)_((auto|manual|topaz|template|log)?_?picks?|g?automatch|cryolo|extract)$", re.IGNORECASE)
"""Endings that pickers append to a micrograph's name for the file of its picks."""
_EXAMPLES = 3
DIFFERENCES = "Names may differ only in folders, extension, CryoSPARC's UID and endings such as _DW or _patch_aligned"
"""Differences between spellings of one name, for messages."""


def stem(name: str) -> str:
    """Return the name without folders and image extensions: ``May08_03.05.02`` for ``a/May08_03.05.02.mrc``."""
    base = PurePosixPath(name).name
    return _IMAGE_SUFFIXES.sub("", base) or base


def without_uid(name: str) -> str:
    """Return the file name without folders and the 21 digits that CryoSPARC prefixes to imported files."""
    return _UID.sub("", PurePosixPath(name).name, count=1) if uid(name) is not None else PurePosixPath(name).name


def uid(name: str) -> int | None:
    """Return CryoSPARC's UID at the start of the file name; None if there is none, or the 21 digits are too large for one."""
    match = _UID.match(PurePosixPath(name).name)
    number = int(match[1]) if match else None
    return None if number is None or number >> _UID_BITS else number


def exposure(name: str) -> str:
    """Return the stem without UID and marks of motion correction: ``a`` for ``UID_a_patch_aligned_doseweighted.mrc``."""
    return _PROCESSED.sub("", stem(without_uid(name)))


def without_mark(path: str) -> str:
    """Return a path without the ``>`` that CryoSPARC's exports prefix to it."""
    return path.lstrip(">") if "/" in path else path


def micrograph_of(title: str, fits: Callable[[str], bool], *, ending: str = "") -> str:
    """Return the name of the micrograph that a file of picks belongs to, from the file's name without its extension.

    A title that `fits` a micrograph is its name; otherwise the endings of pickers (``_automatch``), or `ending`, are removed.
    """
    plain = _PICKED.sub("", title)
    candidates = (title, plain, title.removesuffix(ending))
    return next((candidate for candidate in candidates if fits(candidate)), plain)


def common_ending(titles: Iterable[str]) -> str:
    """Return the last ``_word`` that several titles share; empty if they differ in it or there is only one title."""
    every = list(titles)
    endings = {title[title.rfind("_") :] if "_" in title[1:] else "" for title in every}
    ending = endings.pop() if len(endings) == 1 and len(every) > 1 else ""
    return ending if re.fullmatch(r"_[A-Za-z]+", ending) else ""


class NameIndex:
    """Index of known names that finds the one meant by another program's spelling.

    The whole name is compared first, then the file name, then without extension, then without CryoSPARC's UID, then without the
    marks of motion correction (``_DW``, ``_patch_aligned_doseweighted``). Of several matches, the one that shares the most parent
    folders with the spelling is chosen.
    """

    def __init__(self, known: Iterable[str]) -> None:
        self._known = dict.fromkeys(known)
        self._spelling: dict[str, str] = {}
        self._by_key: list[dict[str, list[str]]] = []
        for key in _KEYS:
            table: dict[str, list[str]] = defaultdict(list)
            for name in self._known:
                table[key(name)].append(name)
            self._by_key.append(dict(table))

    def find(self, written: str) -> str:
        """Find the known name that `written` means. Raises `NameMatchError` if none matches, or several match equally well."""
        for key, table in zip(_KEYS, self._by_key, strict=True):
            if fitting := table.get(key(written)):
                return self._nearest(written, fitting)
        raise NameMatchError(f"no micrograph matches the name {written!r}; there are {_listed(self._known)}. {DIFFERENCES}")

    def fits(self, written: str) -> bool:
        """Return whether `written` matches one or several of the known names."""
        return any(key(written) in table for key, table in zip(_KEYS, self._by_key, strict=True))

    def fits_exposure_only(self, written: str) -> bool:
        """Return whether `written` matches only without the marks of motion correction."""
        *closer, _ = zip(_KEYS, self._by_key, strict=True)
        return self.fits(written) and not any(key(written) in table for key, table in closer)

    def find_once(self, written: str) -> str:
        """Find a name like `find`, but raise `NameMatchError` also if another spelling has matched the same name before."""
        name = self.find(written)
        if self._spelling.setdefault(name, written) != written:
            raise NameMatchError(f"both {self._spelling[name]!r} and {written!r} match the micrograph {name!r}; rename one")
        return name

    def _nearest(self, written: str, fitting: list[str]) -> str:
        if len(fitting) == 1:
            return fitting[0]
        shared = [_shared_folders(written, name) for name in fitting]
        best = [name for name, count in zip(fitting, shared, strict=True) if count == max(shared)]
        if len(best) > 1:
            raise NameMatchError(f"the name {written!r} matches {_listed(best)}. Add the folders that distinguish them")
        return best[0]


def match_names(written: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Find the known name for each written one.

    Raises `NameMatchError` when one matches none or several, and when two spellings mean the same known name.
    """
    index = NameIndex(known)
    return {name: index.find_once(name) for name in dict.fromkeys(written)}


def _whole(name: str) -> str:
    return name


def _file_name(name: str) -> str:
    return PurePosixPath(name).name


def _stem_without_uid(name: str) -> str:
    return stem(without_uid(name))


_KEYS = (_whole, _file_name, stem, _stem_without_uid, exposure)


def _shared_folders(one: str, other: str) -> int:
    count = 0
    for a, b in zip(reversed(PurePosixPath(one).parts[:-1]), reversed(PurePosixPath(other).parts[:-1]), strict=False):
        if a != b:
            break
        count += 1
    return count


def _listed(names: Iterable[str]) -> str:
    return listed([repr(name) for name in names], shown=_EXAMPLES) or "none"
