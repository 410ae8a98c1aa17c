"""Entries are on the disk when `append` returns, and a crash costs at most the line that it cut."""

import os
import signal
import subprocess
import sys

import pytest

from cryopick.errors import FileError
from cryopick.review.edits import Add, Paint, Remove, Step, Undo
from cryopick.review.journal import Journal

STEPS = [Step("a.mrc", Add(1.5, 2.0, 7)), Step("ü b.mrc", Remove([0, 3])), Undo("a.mrc"), Step("a.mrc", Paint(2.0, [(0.0, 1.0)]))]


def written(path, entries):
    journal = Journal(path)
    journal.append(*entries)
    journal.close()
    return path.read_bytes()


def test_entries_come_back_in_their_order(tmp_path):
    path = tmp_path / "new" / "journal.jsonl"
    written(path, STEPS[:1])
    written(path, STEPS[1:])
    assert Journal(path).entries == STEPS


@pytest.mark.parametrize("kept", [0, 1, 10, -1])
def test_a_last_line_that_was_cut_is_dropped_and_the_next_entry_follows_the_last_whole_one(tmp_path, kept):
    path = tmp_path / "journal.jsonl"
    content = written(path, STEPS)
    last = content.rfind(b"\n", 0, -1) + 1
    path.write_bytes(content[: last + kept] if kept >= 0 else content[:-1])
    written(path, [STEPS[1]])
    assert Journal(path).entries == [*STEPS[:3], STEPS[1]]


def test_a_line_that_is_damaged_within_the_file_is_named_and_nothing_is_thrown_away(tmp_path):
    path = tmp_path / "journal.jsonl"
    lines = written(path, STEPS).splitlines(keepends=True)
    broken = lines[0] + b"{not json}\n" + b"".join(lines[2:])
    path.write_bytes(broken)
    with pytest.raises(FileError, match="line 2 is damaged"):
        Journal(path)
    assert path.read_bytes() == broken


def test_an_entry_that_the_disk_does_not_take_leaves_no_trace(tmp_path, monkeypatch):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append(STEPS[0])
    whole = os.write

    def full(handle, content):
        whole(handle, content[:5])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        journal.append(STEPS[1])
    monkeypatch.undo()
    journal.append(STEPS[2])
    assert Journal(path).entries == [STEPS[0], STEPS[2]]


def test_what_was_appended_survives_a_process_that_is_killed(tmp_path):
    path = tmp_path / "journal.jsonl"
    code = (
        "import sys, os, signal; from pathlib import Path\n"
        "from cryopick.review.edits import Add, Step; from cryopick.review.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        "for n in range(20): journal.append(Step('a.mrc', Add(n, n, n)))\n"
        'os.write(journal._file, b\'{"type": "st\')\n'
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert [entry.edit.pick for entry in Journal(path).entries] == list(range(20))
