"""The journal of a review: one JSON line per entry, append-only, on disk before the edit is confirmed."""

import errno
import logging
import os
import stat
from pathlib import Path

import msgspec

from cryopick.errors import FileError
from cryopick.provenance import has_checksum, with_checksum
from cryopick.review.edits import JournalEntry

logger = logging.getLogger(__name__)


class Journal:
    """An append-only file of entries, open in one process.

    An incomplete last line, left by a crash, is dropped when the file is opened; all lines before it are complete.

    Attributes
    ----------
    entries : the entries in the file when it was opened.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the file. Raises `FileError` for a damaged line, and for a link, which is not written through."""
        self.path = path
        self._encoder = msgspec.json.Encoder()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = _open(path)
        try:
            content = path.read_bytes()
            self._size = content.rfind(b"\n") + 1
            if _is_entry(content[self._size : -1]):  # the line end itself is damaged
                raise self.damaged(content.count(b"\n") + 1, "it does not end")
            if len(content) > self._size:
                logger.warning("%s: dropped the incomplete last line, which a crash may leave", path)
                os.ftruncate(self._file, self._size)
            self.entries = self._decoded(content[: self._size])
            _sync_folder(path.parent)
        except BaseException:
            self.close()
            raise

    def append(self, *entries: JournalEntry) -> None:
        """Append entries, all or none, and return when they are on disk. Raises `OSError` if they cannot be written."""
        lines = b"".join(with_checksum(self._encoder.encode(entry)) + b"\n" for entry in entries)
        try:
            written = 0
            while written < len(lines):
                written += os.write(self._file, lines[written:])
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(lines)

    def close(self) -> None:
        """Close the file; all entries are on disk already."""
        os.close(self._file)

    def damaged(self, number: int, reason: str) -> FileError:
        """Return the error about a line, counted from 1."""
        remedy = "Restore it from a backup, or move the folder away to start a new review"
        return FileError(self.path, f"line {number} is damaged ({reason})", remedy)

    def _decoded(self, content: bytes) -> list[JournalEntry]:
        entries: list[JournalEntry] = []
        for number, line in enumerate(content.split(b"\n")[:-1], 1):
            try:
                entries.append(_decode(line))
            except _DAMAGE as error:
                raise self.damaged(number, str(error)) from None
        return entries


_DAMAGE = (msgspec.MsgspecError, ValueError, RecursionError)
_decoder: msgspec.json.Decoder[JournalEntry] = msgspec.json.Decoder(JournalEntry)


def _decode(line: bytes) -> JournalEntry:
    """Return the entry in a line; those of earlier versions have no checksum. Raises one of `_DAMAGE`."""
    has_checksum(line)
    return _decoder.decode(line)


def _is_entry(line: bytes) -> bool:
    try:
        _decode(line)
    except _DAMAGE:
        return False
    return True


def _open(path: Path) -> int:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise FileError(path, "is a link", "Remove it; a review writes nowhere else than in its folder") from None
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise FileError(path, "is not a regular file", "Remove it")
    return handle


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
