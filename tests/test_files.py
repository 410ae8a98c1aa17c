"""A reader never sees half a file."""

import errno
import os
from pathlib import Path

import pytest

from cryopick.errors import FileError
from cryopick.files import atomic_path, leftovers, write_text


def write_and_fail(target: Path) -> None:
    with atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "new" / "picks.star"
    write_text(target, "old")
    with pytest.raises(RuntimeError):
        write_and_fail(target)
    assert target.read_text() == "old"
    assert [path.name for path in target.parent.iterdir()] == ["picks.star"]


def test_the_temporary_file_keeps_the_suffix_and_the_result_is_readable_by_others(tmp_path):
    target = tmp_path / "map.mrc"
    with atomic_path(target) as temporary:
        assert temporary.suffix == ".mrc"
        temporary.write_bytes(b"x")
    assert target.stat().st_mode & 0o444 == 0o444


def test_a_files_permissions_are_as_the_user_has_set_and_other_threads_do_not_lose_theirs_meanwhile(tmp_path, monkeypatch):
    before = os.umask(0o027)
    try:
        with monkeypatch.context() as patch:
            patch.delattr(os, "umask")  # it is the whole process's
            write_text(tmp_path / "picks.star", "text")
    finally:
        os.umask(before)
    assert (tmp_path / "picks.star").stat().st_mode & 0o777 == 0o640


def test_what_a_killed_writer_leaves_is_found_and_nothing_else(tmp_path):
    folder = tmp_path / "records"
    for name in ["picks.star", ".hidden", ".git-notes", "a-b_c.star"]:
        write_text(folder / name, "")
    with atomic_path(folder / "my.mic-1.star") as temporary:
        assert leftovers(tmp_path) == [temporary]
    assert leftovers(tmp_path) == []


def test_the_longest_names_can_be_written_whatever_their_letters(tmp_path):
    for name in ("粒" * 80 + "_autopick.star", "x" * 250 + ".star"):
        assert 250 < len(name.encode()) <= 255
        write_text(tmp_path / name, "whole")
        assert (tmp_path / name).read_text() == "whole"


def test_a_device_or_pipe_is_never_replaced_by_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileError, match="not a regular file"):
        write_text(tmp_path / "pipe", "text")
    assert (tmp_path / "pipe").is_fifo()
    assert len(list(tmp_path.iterdir())) == 1


def test_an_error_names_the_file_that_was_to_be_written(tmp_path, monkeypatch):
    (tmp_path / "folder.star").mkdir()
    with pytest.raises(OSError, match="directory") as error:
        write_text(tmp_path / "folder.star", "text")
    assert (error.value.filename, error.value.filename2) == (str(tmp_path / "folder.star"), None)
    monkeypatch.setattr(os, "open", closed)
    with pytest.raises(PermissionError) as error:
        write_text(tmp_path / "picks.star", "text")
    assert error.value.filename == str(tmp_path / "picks.star")


def closed(path, *_):
    raise PermissionError(errno.EACCES, "Permission denied", path)
