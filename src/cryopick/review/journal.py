"""The record of a review: one JSON line an entry, only ever added to, on the disk before anybody hears of it."""

import logging
import os
from pathlib import Path

import msgspec

from cryopick.errors import FileError
from cryopick.review.edits import Entry

logger = logging.getLogger(__name__)


class Journal:
    """An append-only file of entries, open for one process.

    A line that a crash has cut is dropped when the file is opened again; all lines before it were on the disk.
    """

    def __init__(self, path: Path) -> None:
        """Open or make the file; raises `FileError` for a line within it that cannot be read."""
        self.path = path
        self._encoder = msgspec.json.Encoder()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            content = path.read_bytes()
            self._size = content.rfind(b"\n") + 1
            if len(content) > self._size:
                logger.warning("%s: its last line was cut when a review ended; it is dropped", path)
                os.ftruncate(self._file, self._size)
            self.entries = _decoded(path, content[: self._size])
            _sync_folder(path.parent)
        except BaseException:
            self.close()
            raise

    def append(self, *entries: Entry) -> None:
        """Add entries, all or none; returns when they are on the disk. Raises `OSError` when the disk does not take them."""
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
        """Close the file; every entry is on the disk already."""
        os.close(self._file)


def _decoded(path: Path, content: bytes) -> list[Entry]:
    decoder = msgspec.json.Decoder(Entry)
    entries: list[Entry] = []
    for number, line in enumerate(content.splitlines(), 1):
        try:
            entries.append(decoder.decode(line))
        except msgspec.DecodeError as error:
            remedy = "Restore it from a copy, or move the folder away to start the review anew"
            raise FileError(path, f"line {number} is damaged ({error})", remedy) from None
    return entries


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
