"""Atomic writes, after which a file is complete or absent, and locks between processes."""

import errno
import fcntl
import logging
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

from cryopick.errors import FileError

NAME_KEPT = 40
"""Characters of a name that its temporary name keeps; at 4 bytes each, that still fits the limit of 255 bytes."""

_TEMPORARY = re.compile(r"\..*-[a-z0-9_]{8}(\.[^.]*)?")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder to write to; on success it is synced and renamed to `path`, otherwise removed.

    A missing folder is created. The temporary name keeps the suffix, from which image writers choose the format. Raises
    `FileError` if `path` exists and is not a regular file.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise FileError(path, "is not a regular file", "Give the name of a file to write")
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
    """Make errors about the temporary file name `path` instead, since users do not know the temporary name."""
    try:
        yield
    except OSError as error:
        if _TEMPORARY.fullmatch(Path(str(error.filename)).name):
            error.filename, error.filename2 = str(path), None
        raise


def check_regular(path: Path) -> None:
    """Raise `FileError` for a pipe, socket or device, which may be endless; a path that does not exist passes."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # opening it raises the error
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise FileError(path, "is a pipe, socket or device, not a file", "Give a regular file")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically, without converting line ends."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def leftovers(folder: Path) -> list[Path]:
    """List temporary files at any depth below `folder`, of writers that were killed or are still writing."""
    return [path for path in folder.rglob(".*-*") if _TEMPORARY.fullmatch(path.name)]


logger = logging.getLogger(__name__)
UNSUPPORTED = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}
"""Errors of file systems without locks, such as Lustre mounted without `flock`."""


class LockedError(Exception):
    """Another process holds the lock."""


@contextmanager
def locked(path: Path, *, shared: bool = False, wait: bool = False) -> Iterator[None]:
    """Hold a lock on a file, exclusively or `shared`. A missing file is created; the file stays afterwards.

    The lock works between machines if the file system supports that (NFS 4, Lustre with `flock`, GPFS). On file systems without
    locks there is a warning and no lock. Raises `LockedError` if another process holds the lock, unless `wait` is set.
    """
    with path.open("a+") as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise LockedError(path) from None
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            logger.warning("%s cannot be locked (%s); make sure that no other run writes there", path.parent, error.strerror)
        yield
