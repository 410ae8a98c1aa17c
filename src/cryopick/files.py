"""Atomic writes, after which a file is complete or absent, and locks between processes."""

import errno
import fcntl
import hashlib
import logging
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from secrets import token_hex
from socket import gethostname

from cryopick.errors import FileError

FOLDER_LOCK = ".run.lock"
PREFIX = ".cryopick-tmp-"
"""Beginning of the names of temporary files, which no other program uses; the machine and a random number follow."""
LONGEST_SUFFIX = 16
"""Bytes of the longest suffix that a temporary file keeps."""
ATTEMPTS = 5
ABANDONED = 24 * 3600.0
"""Seconds without change after which a temporary file of another machine, whose locks may be invisible here, counts as left."""

_TEMPORARY = re.compile(re.escape(PREFIX) + r"([0-9a-f]{8})-[0-9a-f]{12}(\.[^.]*)?", re.DOTALL)
_swept: set[str] = set()
"""Folders from which this process has removed what killed writers left."""

logger = logging.getLogger(__name__)
UNSUPPORTED = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}
"""Errors of file systems without locks, such as Lustre mounted without `flock`."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder to write to; on success it is synced and renamed to `path`, otherwise removed.

    A missing folder is created, and temporary files that killed writers left in it are removed. The temporary name keeps the
    suffix, from which image writers choose the format. The file gets the permissions of new files, whatever its writer sets.
    Raises `FileError` if `path` exists and is not a regular file.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise FileError(path, "is not a regular file", "Give the name of a file to write")
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep_once(path.parent)
    with _errors_about(path), _temporary_file(path) as (temporary, mode):
        yield temporary
        with temporary.open("rb+") as written:
            if stat.S_IMODE(os.fstat(written.fileno()).st_mode) != mode:
                os.fchmod(written.fileno(), mode)
            os.fsync(written.fileno())
        temporary.replace(path)


@contextmanager
def _temporary_file(path: Path) -> Iterator[tuple[Path, int]]:
    """Return an empty temporary file beside `path`, locked as long as it is being written, and its permissions."""
    suffix = path.suffix if len(os.fsencode(path.suffix)) <= LONGEST_SUFFIX else ""
    for _ in range(ATTEMPTS):
        temporary = path.with_name(f"{PREFIX}{_machine()}-{token_hex(6)}{suffix}")
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        if _lock_if_possible(handle) is not False and os.fstat(handle).st_nlink:
            break  # otherwise another process has removed it between the two steps
        os.close(handle)
        temporary.unlink(missing_ok=True)
    else:
        raise FileError(path, "cannot be written: its temporary file was removed at once", "Write it again")
    try:
        yield temporary, stat.S_IMODE(os.fstat(handle).st_mode)
    finally:
        temporary.unlink(missing_ok=True)
        os.close(handle)


def _lock_if_possible(handle: int) -> bool | None:
    """Lock an open file. Returns whether it worked; None on file systems without locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


@cache
def _machine() -> str:
    """Eight hexadecimal digits that stand for the running system, within which locks are seen by all processes."""
    try:
        name = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        name = gethostname()
    return hashlib.sha256(name.encode()).hexdigest()[:8]


@contextmanager
def _errors_about(path: Path) -> Iterator[None]:
    """Make errors about the temporary file name `path` instead, since users do not know the temporary name."""
    try:
        yield
    except OSError as error:
        if is_temporary(Path(str(error.filename)).name):
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


def is_temporary(name: str) -> bool:
    """Return whether this is the name of a temporary file of `atomic_path`."""
    return _TEMPORARY.fullmatch(name) is not None


def leftovers(folder: Path) -> list[Path]:
    """List temporary files at any depth below `folder`, of writers that were killed or are still writing; follow no links."""
    return [Path(place, name) for place, _, names in os.walk(folder) for name in names if is_temporary(name)]


def remove_leftovers(folder: Path, *, owned: bool = False) -> None:
    """Remove the temporary files of killed writers at any depth below `folder`; those that are being written stay.

    Those of other machines are removed when they are a day old, or at once where the folder is `owned`: locked by this process.
    """
    for path in leftovers(folder):
        _remove_if_left(path, owned=owned)


def _sweep_once(folder: Path) -> None:
    """Remove what killed writers left in a folder, once in each process."""
    key = os.path.abspath(folder)  # noqa: PTH100 - without touching the disk
    if key in _swept:
        return
    _swept.add(key)
    with suppress(OSError), os.scandir(folder) as entries:
        for name in [entry.name for entry in entries if is_temporary(entry.name)]:
            _remove_if_left(folder / name)


def _remove_if_left(path: Path, *, owned: bool = False) -> None:
    """Remove a temporary file unless another process is writing it, as its lock says."""
    match = _TEMPORARY.fullmatch(path.name)
    with suppress(OSError):  # gone by now, or of another user
        status = path.lstat()
        if match is None or not stat.S_ISREG(status.st_mode):
            return
        is_old = time.time() - status.st_mtime > ABANDONED
        handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            free = _lock_if_possible(handle)
            if free is not False and (is_old or owned or (free and match[1] == _machine())):
                path.unlink()
        finally:
            os.close(handle)


class LockedError(Exception):
    """Another process holds the lock."""


@contextmanager
def locked(path: Path, *, shared: bool = False, wait: bool = False) -> Iterator[None]:
    """Hold a lock on a file, exclusively or `shared`. A missing file is created; the file stays afterwards.

    The lock works between machines if the file system supports that (NFS 4, Lustre with `flock`, GPFS). On file systems without
    locks there is a warning and no lock. Raises `LockedError` if another process holds the lock, unless `wait` is set, and
    `FileError` if the file is a link.
    """
    with lock_file(path) as handle:
        take_lock(handle, path, shared=shared, wait=wait)
        yield


_held: dict[str, ExitStack] = {}
"""Locks of folders that this process holds, until they are released or it ends."""


def hold_folder(folder: Path) -> None:
    """Lock a folder for this process until `release_folder`, or its end. Raises `LockedError` when another one has locked it."""
    key = os.path.realpath(folder)
    if key in _held:
        return
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(locked(folder / FOLDER_LOCK))
        _held[key] = stack.pop_all()


def release_folder(folder: Path) -> None:
    """Release the lock of a folder, if this process holds it."""
    if stack := _held.pop(os.path.realpath(folder), None):
        stack.close()


@contextmanager
def folders_released() -> Iterator[None]:
    """Release the folders that are locked in the block, or in the function that this decorates, at its end."""
    before = set(_held)
    try:
        yield
    finally:
        for key in set(_held) - before:
            _held.pop(key).close()


@contextmanager
def lock_file(path: Path) -> Iterator[int]:
    """Return the open file of a lock, which is released with it; it is created if missing, and a link is a `FileError`."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise FileError(path, "is a link", "Remove it") from None
        raise
    try:
        yield handle
    finally:
        os.close(handle)


def take_lock(handle: int, path: Path, *, shared: bool = False, wait: bool = False) -> None:
    """Take the lock of an open file, or change one that is held. See `locked`."""
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise LockedError(path) from None
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        logger.warning("%s cannot be locked (%s); make sure that no other run writes there", path.parent, error.strerror)
