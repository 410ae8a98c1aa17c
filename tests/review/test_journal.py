"""Entries are on disk when `append` returns, and a crash costs at most one incomplete line."""

import os
import signal
import subprocess
import sys

import pytest

from cryopick.errors import FileError
from cryopick.review.edits import Add, EditEntry, Paint, Remove, UndoEntry
from cryopick.review.journal import Journal

ENTRIES = [
    EditEntry("a.mrc", Add(1.5, 2.0, 7)),
    EditEntry("ü b.mrc", Remove([0, 3])),
    UndoEntry("a.mrc"),
    EditEntry("a.mrc", Paint(2.0, [(0.0, 1.0)])),
]


def written(path, entries):
    journal = Journal(path)
    journal.append(*entries)
    journal.close()
    return path.read_bytes()


def test_entries_are_read_back_in_order(tmp_path):
    path = tmp_path / "new" / "journal.jsonl"
    written(path, ENTRIES[:1])
    written(path, ENTRIES[1:])
    assert Journal(path).entries == ENTRIES


@pytest.mark.parametrize("kept", [0, 1, 10, -1])
def test_an_incomplete_last_line_is_dropped_and_the_next_entry_replaces_it(tmp_path, kept):
    path = tmp_path / "journal.jsonl"
    content = written(path, ENTRIES)
    last = content.rfind(b"\n", 0, -1) + 1
    path.write_bytes(content[: last + kept] if kept >= 0 else content[:-1])
    written(path, [ENTRIES[1]])
    assert Journal(path).entries == [*ENTRIES[:3], ENTRIES[1]]


def test_a_damaged_line_within_the_file_is_reported_and_the_file_is_kept(tmp_path):
    path = tmp_path / "journal.jsonl"
    lines = written(path, ENTRIES).splitlines(keepends=True)
    broken = lines[0] + b"{not json}\n" + b"".join(lines[2:])
    path.write_bytes(broken)
    with pytest.raises(FileError, match="line 2 is damaged"):
        Journal(path)
    assert path.read_bytes() == broken


def test_an_entry_that_cannot_be_written_leaves_no_trace(tmp_path, monkeypatch):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append(ENTRIES[0])
    whole = os.write

    def full(handle, content):
        whole(handle, content[:5])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        journal.append(ENTRIES[1])
    monkeypatch.undo()
    journal.append(ENTRIES[2])
    assert Journal(path).entries == [ENTRIES[0], ENTRIES[2]]


def test_appended_entries_survive_when_the_process_is_killed(tmp_path):
    path = tmp_path / "journal.jsonl"
    code = (
        "import sys, os, signal; from pathlib import Path\n"
        "from cryopick.review.edits import Add, EditEntry; from cryopick.review.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        "for n in range(20): journal.append(EditEntry('a.mrc', Add(n, n, n)))\n"
        'os.write(journal._file, b\'{"type": "st\')\n'
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert [entry.edit.pick for entry in Journal(path).entries] == list(range(20))
