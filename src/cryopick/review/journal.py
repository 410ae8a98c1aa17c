"""The journal of a review: one JSON line per entry, append-only, on disk before the edit is confirmed."""

import logging
import os
from pathlib import Path

import msgspec

from cryopick.errors import FileError
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
        """Open or create the file. Raises `FileError` for a damaged line."""
        self.path = path
        self._encoder = msgspec.json.Encoder()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            content = path.read_bytes()
            self._size = content.rfind(b"\n") + 1
            if len(content) > self._size:
                logger.warning("%s: dropped the incomplete last line, which a crash may leave", path)
                os.ftruncate(self._file, self._size)
            self.entries = _decoded(path, content[: self._size])
            _sync_folder(path.parent)
        except BaseException:
            self.close()
            raise

    def append(self, *entries: JournalEntry) -> None:
        """Append entries, all or none, and return when they are on disk. Raises `OSError` if they cannot be written."""
        lines = b"".join(self._encoder.encode(entry) + b"\n" for entry in entries)
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


def _decoded(path: Path, content: bytes) -> list[JournalEntry]:
    decoder = msgspec.json.Decoder(JournalEntry)
    entries: list[JournalEntry] = []
    for number, line in enumerate(content.splitlines(), 1):
        try:
            entries.append(decoder.decode(line))
        except msgspec.DecodeError as error:
            remedy = "Restore it from a backup, or move the folder away to start a new review"
            raise FileError(path, f"line {number} is damaged ({error})", remedy) from None
    return entries


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
