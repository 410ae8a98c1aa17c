"""A reader never sees half a file."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cryopick.errors import FileError
from cryopick.files import atomic_path, is_temporary, leftovers, locked, remove_leftovers, write_text


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


def test_what_is_being_written_is_found_and_nothing_else(tmp_path):
    folder = tmp_path / "records"
    for name in ["picks.star", ".hidden", ".git-notes", "a-b_c.star", ".my-settings.json", ".cryopick-tmp-notes.txt"]:
        write_text(folder / name, "")
    with atomic_path(folder / "my.mic-1.star") as temporary:
        assert leftovers(tmp_path) == [temporary]
        assert temporary.name.startswith(".cryopick-tmp-")
        assert is_temporary(temporary.name)
    assert leftovers(tmp_path) == []


def kill_while_writing(path: Path) -> None:
    """Write a file in a process that is killed before it has finished."""
    code = (
        "import os, signal, sys; from pathlib import Path; from cryopick.files import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == -signal.SIGKILL


def test_the_next_writer_removes_what_a_killed_one_left_but_nothing_that_is_being_written(tmp_path):
    kill_while_writing(tmp_path / "one.csv")
    mine = [tmp_path / name for name in (".one-1a2b3c4d.csv", ".cryopick-tmp-0123", ".cryopick-tmp-zzzzzzzz-0123456789ab.csv")]
    for path in mine:
        path.write_text("mine")
    (left,) = leftovers(tmp_path)
    with atomic_path(tmp_path / "two.csv") as temporary:  # of this process, which has not written there yet
        assert not left.exists()
        kill_while_writing(tmp_path / "three.csv")  # which looks for what is left
        remove_leftovers(tmp_path, owned=True)
        assert leftovers(tmp_path) == [temporary]
    assert sorted(tmp_path.iterdir()) == sorted([*mine, tmp_path / "two.csv"])


def test_what_another_machine_may_still_be_writing_is_removed_after_a_day_or_by_the_owner_of_the_folder(tmp_path):
    names = [f".cryopick-tmp-0123abcd-00000000000{digit}.json" for digit in range(2)]
    for name in names:
        (tmp_path / name).write_text("half")
    os.utime(tmp_path / names[0], (0, 0))
    remove_leftovers(tmp_path)
    assert [path.name for path in leftovers(tmp_path)] == names[1:]
    remove_leftovers(tmp_path, owned=True)
    assert leftovers(tmp_path) == []


def test_leftovers_behind_links_folders_and_pipes_of_such_names_stay(tmp_path):
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    names = [f".cryopick-tmp-0123abcd-00000000000{digit}.json" for digit in range(4)]
    outside.mkdir()
    inside.mkdir()
    (outside / names[0]).write_text("of others")
    (inside / "link").symlink_to(outside)
    (inside / names[1]).symlink_to(outside / names[0])
    (inside / names[2]).mkdir()
    os.mkfifo(inside / names[3])
    remove_leftovers(inside, owned=True)
    assert (outside / names[0]).read_text() == "of others"
    assert sorted(path.name for path in inside.iterdir()) == [*names[1:], "link"]


def test_a_writer_that_replaces_the_temporary_file_does_not_decide_its_permissions(tmp_path):
    """As safetensors does, whose files are readable by their owner alone."""
    before = os.umask(0o022)
    try:
        with atomic_path(tmp_path / "weights.safetensors") as temporary:
            handle, name = tempfile.mkstemp(dir=tmp_path)
            os.close(handle)
            Path(name).replace(temporary)
    finally:
        os.umask(before)
    assert (tmp_path / "weights.safetensors").stat().st_mode & 0o777 == 0o644


def test_a_file_system_without_locks_is_written_to(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", unsupported)
    write_text(tmp_path / "a.txt", "whole")
    assert (tmp_path / "a.txt").read_text() == "whole"


def test_a_lock_is_never_taken_through_a_link(tmp_path):
    (tmp_path / "lock").symlink_to(tmp_path / "made")
    with pytest.raises(FileError, match="lock: is a link"), locked(tmp_path / "lock"):
        pass
    assert not (tmp_path / "made").exists()


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
