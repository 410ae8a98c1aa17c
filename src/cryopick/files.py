"""Files that are whole or absent: written beside their place under another name, then renamed into it."""

import errno
import fcntl
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

from cryopick.errors import FileError

NAME_KEPT = 40
"""Characters of up to 4 bytes: a name that is as long as can be still gives one that can be."""

_TEMPORARY = re.compile(r"\..*-[a-z0-9_]{8}(\.[^.]*)?")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A path in the same folder to write to; on success the file is synced and renamed to `path`, else removed.

    The folder is made when it is missing. The temporary name keeps the suffix, because image writers go by it. Raises `FileError`
    for a device, pipe or the like, which must not be replaced by a file.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise FileError(path, "is no ordinary file", "Name a file to write")
    path.parent.mkdir(parents=True, exist_ok=True)
    with _errors_about(path):
        temporary = path.with_name(f".{path.stem[:NAME_KEPT]}-{token_hex(4)}{path.suffix}")
        temporary.touch(exist_ok=False)
        try:
            yield temporary
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def _errors_about(path: Path) -> Iterator[None]:
    """Let errors of the temporary file, whose name tells a user nothing, be about `path`."""
    try:
        yield
    except OSError as error:
        if _TEMPORARY.fullmatch(Path(str(error.filename)).name):
            error.filename, error.filename2 = str(path), None
        raise


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically, with the line ends as they are."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def leftovers(folder: Path) -> list[Path]:
    """Temporary files at any depth below `folder`, of writers that were killed or are at work."""
    return [path for path in folder.rglob(".*-*") if _TEMPORARY.fullmatch(path.name)]


logger = logging.getLogger(__name__)
UNSUPPORTED = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}
"""What file systems without locks answer, as Lustre mounted without `flock`."""


class LockedError(Exception):
    """Another process holds the lock."""


@contextmanager
def locked(path: Path, *, shared: bool = False, wait: bool = False) -> Iterator[None]:
    """Hold a lock on a file, which is made if need be and stays: alone, or together with others that share it.

    Holds between machines where the file system does (NFS 4, Lustre with `flock`, GPFS). Where there are no locks it warns and
    goes on without. Raises `LockedError` when another process holds it and `wait` is not set.
    """
    with path.open("a+") as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise LockedError(path) from None
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            logger.warning("%s cannot be locked (%s): take care that no second run writes there", path.parent, error.strerror)
        yield
