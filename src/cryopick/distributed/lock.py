"""Locks on files, which the system takes back when their process ends, however it ends."""

import errno
import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
