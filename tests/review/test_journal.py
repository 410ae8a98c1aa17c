"""Entries are on disk when `append` returns, and a crash costs at most one incomplete line."""

import os
import re
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


def test_every_changed_bit_is_found_or_harmless(tmp_path):
    path = tmp_path / "journal.jsonl"
    content = written(path, ENTRIES)
    last = content.rfind(b"\n", 0, -1) + 1
    for bit in range(0, 8 * len(content), 5):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            entries = Journal(path).entries
        except FileError as error:
            assert re.search(r"journal\.jsonl: line [1-4] is damaged", str(error))  # noqa: PT017
        else:  # a bit of a word "checksum", or the last line end and so an incomplete line
            assert entries == ENTRIES or (bit // 8 >= last and entries == ENTRIES[:3])


def test_lines_without_a_checksum_as_earlier_versions_wrote_are_read(tmp_path):
    path = tmp_path / "journal.jsonl"
    lines = written(path, ENTRIES).splitlines(keepends=True)
    path.write_bytes(b"".join(b"{" + line.partition(b",")[2] for line in lines))
    written(path, ENTRIES[:1])
    assert Journal(path).entries == [*ENTRIES, ENTRIES[0]]


@pytest.mark.parametrize(
    "line",
    [b"", b"[" * 100_000, b'{"type":"undo","micrograph":"a\xff"}', b'{"type":"undo","micrograph":1}', b"9" * 5000, bytes(99)],
)
def test_a_damaged_line_of_any_kind_is_reported(tmp_path, line):
    path = tmp_path / "journal.jsonl"
    content = written(path, ENTRIES) + line + b"\n"
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"journal\.jsonl: line 5 is damaged"):
        Journal(path)
    assert path.read_bytes() == content


def test_a_link_is_refused_and_what_it_leads_to_stays(tmp_path):
    (tmp_path / "victim").write_text("whole line\nlast line")
    (tmp_path / "journal.jsonl").symlink_to(tmp_path / "victim")
    with pytest.raises(FileError, match=r"journal\.jsonl: is a link"):
        Journal(tmp_path / "journal.jsonl")
    assert (tmp_path / "victim").read_text() == "whole line\nlast line"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileError, match="not a regular file"):
        Journal(tmp_path / "pipe")
