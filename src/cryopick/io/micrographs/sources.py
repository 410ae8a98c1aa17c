"""Micrographs named by a file, a folder, a pattern, a list, a RELION STAR or a CryoSPARC `.cs` file.

Micrographs are listed without opening them, so 20,000 take no time; a missing or damaged one fails when it is read and does
not stop the others.
"""

import logging
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

import numpy as np

from cryopick.checks import checked_pixel_size, short
from cryopick.errors import CryopickError, FileError, SettingError
from cryopick.files import check_regular
from cryopick.io.micrographs.files import SUFFIXES, pixel_sizes_differ, read_micrograph, split_name, suffix_kind
from cryopick.io.micrographs.patterns import matching_paths
from cryopick.io.micrographs.side_images import tell_copies, tell_left_out, without_side_images
from cryopick.io.names import without_mark
from cryopick.io.tables.cryosparc import load_cs, number_column, path_column, refuse_group
from cryopick.io.tables.delimited import whole_numbers
from cryopick.io.tables.star import StarTable, only_table, read_star
from cryopick.types import Micrograph

logger = logging.getLogger(__name__)

LIST_SUFFIXES = {".txt", ".lst"}
LISTING_SUFFIXES = {*LIST_SUFFIXES, ".star", ".cs"}
FOLDER_SUFFIXES = {*SUFFIXES} - {".mrcs", ".map"}  # in folders these are more often stacks and maps than micrographs
NAMES_TRIED = 50
CRYOSPARC_BLOBS = ("micrograph_blob", "micrograph_blob_non_dw")


@dataclass(frozen=True)
class MicrographSource:
    """A micrograph that has not been read yet.

    Attributes
    ----------
    path : its file.
    name : its name in other programs: exactly as in the STAR or `.cs` file that lists it, else the file's name.
    pixel_size : Å per pixel as given, or from the STAR or `.cs` file; None for that of the micrograph's header.
    optics_group : RELION's group or CryoSPARC's exposure group; 1 when there is none.
    uid : CryoSPARC's number of the exposure; None from other files.

    Examples
    --------
    >>> import numpy as np
    >>> from pathlib import Path
    >>> write_micrograph("m.mrc", np.eye(8, dtype=np.float32))
    >>> MicrographSource(Path("m.mrc"), name="MotionCorr/m.mrc").read().name
    'MotionCorr/m.mrc'
    """

    path: Path
    name: str
    pixel_size: float | None = None
    optics_group: int = 1
    uid: int | None = None

    def read(self, *, salvage: bool = False) -> Micrograph:
        """Read the micrograph; `salvage` and errors are those of `read_micrograph`."""
        micrograph = read_micrograph(self.path, pixel_size=self.pixel_size, name=self.name, salvage=salvage)
        return replace(micrograph, optics_group=self.optics_group, uid=self.uid)


MicrographInputs = Path | str | MicrographSource | Sequence[Path | str | MicrographSource]
"""A file, folder, pattern, list, STAR or `.cs` file of micrographs, what `find_micrographs` found, or several of them."""


def find_micrographs(inputs: MicrographInputs, *, pixel_size: float | None = None) -> list[MicrographSource]:
    """Find the micrographs that the inputs name, in their order, each once; none is read.

    Parameters
    ----------
    inputs : one or several, each
        a micrograph; a folder (its micrographs, sorted by name, not those of folders within); a pattern (`*`, `?`, `[…]`, and
        `**` for folders at any depth; sorted); a list (`.txt`, `.lst`) of paths, one per line, relative to the list's folder or
        else the current one; RELION's `micrographs.star` or `micrographs_ctf.star`; CryoSPARC's exposures `.cs`. Paths in
        the last two are relative to the project's folder, which is searched for upwards from the file. In folders and patterns,
        only the dose-weighted one of several images of an exposure counts, see `cryopick.io.micrographs.side_images`. What this
        function returned is taken as it is.
    pixel_size : Å per pixel of all; overrides the files' own, with a warning when they differ by more than 1 %.

    Returns
    -------
    list of MicrographSource
        With `name`, `path`, `pixel_size`, and a method `read` that gives the `Micrograph`.

    Raises
    ------
    FileError
        For an input that is missing, damaged or names no micrograph, or none that exists.
    SettingError
        For anything but paths, such as pixels.
    CryopickError
        For two files whose names differ only in the extension, since their results would overwrite each other.

    Examples
    --------
    >>> import numpy as np
    >>> for number in (1, 2):
    ...     write_micrograph(f"raw/m{number}.mrc", np.eye(8, dtype=np.float32), pixel_size=1.5)
    >>> [source.name for source in find_micrographs("raw/*.mrc")]
    ['m1.mrc', 'm2.mrc']
    >>> find_micrographs("raw")[0].read().shape_hw
    (8, 8)
    """
    found = list_micrographs(inputs, pixel_size=pixel_size)
    _reject_shared_names(found)
    return found


def list_micrographs(inputs: MicrographInputs, *, pixel_size: float | None = None) -> list[MicrographSource]:
    """List micrographs as `find_micrographs` does, but allow files that share a name, for uses that write no results."""
    checked_pixel_size(pixel_size, "the micrographs")
    sources: dict[str, MicrographSource] = {}
    named = list(inputs) if isinstance(inputs, Iterable) and not isinstance(inputs, str | np.ndarray) else [inputs]
    given_paths = [each if isinstance(each, MicrographSource) else _path(each) for each in named]
    tell_copies(each for each in given_paths if isinstance(each, str) and suffix_kind(Path(each)))
    for given in given_paths:
        found = [given] if isinstance(given, MicrographSource) else list(_expand(given))
        for source in _with_pixel_size(found, pixel_size, str(given)):
            sources.setdefault(os.path.abspath(source.path), source)  # noqa: PTH100 - Path.absolute keeps "..", resolve is slow
    return list(sources.values())


def _path(given: object) -> str:
    if isinstance(given, str | os.PathLike):
        return os.fspath(given)
    remedy = "wrap pixels of your own: Micrograph(pixels, pixel_size)"
    raise SettingError(f"expected paths of micrographs, got {short(given)}; {remedy}")


def _expand(given: str) -> Iterator[MicrographSource]:
    path = Path(given).expanduser()
    check_regular(path)
    refuse_group(path)
    if path.is_dir():
        yield from _in_folder(path)
    elif not path.exists() and any(mark in given for mark in "*?["):
        yield from _matching(path)
    elif not path.exists() and not path.is_symlink():
        raise FileError(path, "no such file or folder", "Check the path, and that the disk it is on is mounted")
    elif path.suffix.lower() in LIST_SUFFIXES:
        yield from _in_list(path)
    elif path.suffix.lower() == ".star":
        yield from _in_star(path)
    elif path.suffix.lower() == ".cs":
        yield from _in_cs(path)
    else:
        yield MicrographSource(path, path.name)


def _in_folder(folder: Path) -> Iterator[MicrographSource]:
    try:
        with os.scandir(folder) as entries:
            names = {entry.name for entry in entries if _is_listed(entry.name) and _may_be_read(entry)}
    except OSError as error:
        raise FileError(folder, f"cannot be listed ({error.strerror})", "Ask its owner for permission (chmod +rx)") from None
    chosen, instead = without_side_images(sorted(names))
    tell_left_out(str(folder), instead)
    if not names:
        found = f"is a folder without micrographs ({', '.join(sorted(FOLDER_SUFFIXES))}, also compressed)"
        raise FileError(folder, found, f"Give another one, or include its subfolders with the pattern '{folder}/**/*.mrc'")
    for name in chosen:
        yield MicrographSource(folder / name, name)


def _is_listed(name: str) -> bool:
    return not name.startswith(".") and split_name(name)[1].lower() in FOLDER_SUFFIXES


def _may_be_read(entry: Path | os.DirEntry[str]) -> bool:
    """Return whether it is a file, or a broken link, which must fail when read instead of vanishing from the list."""
    try:
        return entry.is_file() or (entry.is_symlink() and not entry.is_dir())
    except OSError:
        return True


def _matching(pattern: Path) -> Iterator[MicrographSource]:
    found = (Path(name) for name in sorted(matching_paths(str(pattern))))
    paths = [str(path) for path in found if suffix_kind(path) and _may_be_read(path)]
    if not paths:
        raise FileError(pattern, "no micrograph matches this pattern", f"Known suffixes: {', '.join(SUFFIXES)}, also compressed")
    chosen, instead = without_side_images(paths)
    tell_left_out(str(pattern), instead)
    for path in map(Path, chosen):
        yield MicrographSource(path, path.name)


def _in_list(path: Path) -> Iterator[MicrographSource]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(path, f"cannot be read as text ({error})", "A list has one path per line") from error
    names = [line for line in lines if line and not line.startswith("#")]
    folder = _project_of(path, names, [path.absolute().parent, Path.cwd()])
    for name in names:
        yield MicrographSource(folder / name, PurePath(name).name)


def _in_star(path: Path) -> Iterator[MicrographSource]:
    tables = read_star(path)
    table = tables.get("micrographs") or only_table(path, tables, "rlnMicrographName")
    if table is None or "rlnMicrographName" not in table:
        remedy = "Give RELION's micrographs.star, as MotionCorr, CtfFind, Import and Select jobs write it"
        raise FileError(path, "lists no micrographs (no column _rlnMicrographName)", remedy)
    if "rlnCoordinateX" in table:
        raise FileError(path, "lists particles, not micrographs", "Give the micrographs.star that they were picked from")
    names = [without_mark(name) for name in table.text("rlnMicrographName")]
    if blank := next((row for row, name in enumerate(names, 1) if not name.strip()), None):
        raise FileError(path, f"row {blank} has no _rlnMicrographName", "Fill in the micrograph, or remove that row")
    groups = table.groups("rlnOpticsGroup") if "rlnOpticsGroup" in table else [1] * len(names)
    sizes = _star_pixel_sizes(table, tables.get("optics"), groups)
    folder = _project_of(path, names, _folders_above(path))
    for name, group, size in zip(names, groups, sizes, strict=True):
        yield MicrographSource(folder / name, name, size, group)


def _star_pixel_sizes(table: StarTable, optics: StarTable | None, groups: list[int]) -> list[float | None]:
    """Return pixel sizes from RELION 3.1's optics groups, or 3.0's detector pixel (µm) and magnification; None without either."""
    if optics is not None and "rlnMicrographPixelSize" in optics:
        known = zip(optics.groups("rlnOpticsGroup"), optics.numbers("rlnMicrographPixelSize"), strict=True)
        by_group = {group: _known_size(size) for group, size in known}
        return [by_group.get(group) for group in groups]
    if "rlnDetectorPixelSize" in table and "rlnMagnification" in table:
        magnifications = table.numbers("rlnMagnification")
        sizes = 1e4 * table.numbers("rlnDetectorPixelSize") / np.where(magnifications > 0, magnifications, np.nan)
        return [_known_size(size) for size in sizes]
    return [None] * len(groups)


def _in_cs(path: Path) -> Iterator[MicrographSource]:
    rows = load_cs(path)
    fields = rows.dtype.names or ()
    blob = next((blob for blob in CRYOSPARC_BLOBS if f"{blob}/path" in fields), None)
    if blob is None:
        raise FileError(path, "lists no micrographs (no field micrograph_blob/path)", "Give the .cs file of an exposures output")
    names = path_column(path, rows, f"{blob}/path")
    sizes = number_column(path, rows, f"{blob}/psize_A").tolist() if f"{blob}/psize_A" in fields else [0.0] * len(names)
    group = "mscope_params/exp_group_id"
    groups = whole_numbers(path, group, number_column(path, rows, group)) if group in fields else [1] * len(names)
    uids = number_column(path, rows, "uid") if "uid" in fields else None
    known = (
        [None] * len(names) if uids is None or uids.dtype.kind == "f" else [uid if uid >= 0 else None for uid in uids.tolist()]
    )
    folder = _project_of(path, names, _folders_above(path))
    for name, size, group_number, uid in zip(names, sizes, groups, known, strict=True):
        yield MicrographSource(folder / name, name, _known_size(size), group_number, uid)


def _folders_above(path: Path) -> list[Path]:
    """Return possible project folders, nearest first: parents of the file and of its link target; the current folder last."""
    return [*path.absolute().parents, *path.resolve().parents, Path.cwd()]


def _project_of(path: Path, names: list[str], folders: Iterable[Path]) -> Path:
    """Find the first folder in which one of the first names exists."""
    if not names:
        raise FileError(path, "names no micrographs", "Give a file with at least one")
    if any("\0" in name for name in names):
        raise FileError(path, "names micrographs with NUL characters", "Write it again; a list is UTF-8 text, one path per line")
    tried = names[:NAMES_TRIED]
    for folder in folders:
        if any(os.path.exists(folder / name) for name in tried):  # noqa: PTH110 - no name is too long
            return folder
    remedy = "Keep the file in its project folder, or run in the folder that its paths start from"
    raise FileError(path, f"names micrographs that do not exist, for instance {tried[0]}", remedy)


def _with_pixel_size(found: list[MicrographSource], given: float | None, origin: str) -> list[MicrographSource]:
    if given is None:
        return found
    other = [source.pixel_size for source in found if pixel_sizes_differ(given, source.pixel_size)]
    if other:
        logger.warning("%s: its pixel size is %.4g Å; %.4g Å was given and is used", origin, other[0], given)
    return [replace(source, pixel_size=given) for source in found]


def _reject_shared_names(sources: Iterable[MicrographSource]) -> None:
    by_stem: dict[str, MicrographSource] = {}
    for source in sources:
        stem, _ = split_name(source.name)
        other = by_stem.setdefault(stem, source)
        if other is not source:
            raise CryopickError(
                f"{other.path} and {source.path} share the name {stem}, so their results would overwrite each other; "
                "exclude one (a pattern such as '*.mrc' may help), or pick them in two runs"
            )


def _known_size(size: float) -> float | None:
    """Round the size to six digits, the precision of float32 (1.77, not 1.7699999); None for an invalid size, such as 0."""
    return float(f"{size:.6g}") if math.isfinite(size) and size > 0 else None
