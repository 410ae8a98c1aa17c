"""A file counts as completely written by its size, its time and its header."""

import os
from pathlib import Path

import numpy as np
import pytest

from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.micrographs.sources import MicrographSource
from cryopick.runs.arrivals import PATIENCE, Arrivals

SETTLE = 10.0


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Folder:
    """A folder that is looked at when the clock stands at a given second."""

    def __init__(self, path: Path, **options) -> None:
        self.path = path
        self.clock = Clock()
        self.arrivals = Arrivals(self.find, settle=SETTLE, clock=self.clock, **options)

    def find(self) -> list[MicrographSource]:
        return [MicrographSource(path, path.name) for path in sorted(self.path.glob("*.mrc"))]

    def look(self, second: float) -> list[str]:
        self.clock.now = second
        return [source.name for source in self.arrivals.poll()]


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


@pytest.fixture
def content(tmp_path_factory) -> bytes:
    """Of an MRC of 30 × 40 pixels: 1,024 bytes of header and 4,800 of pixels."""
    path = tmp_path_factory.mktemp("one") / "a.mrc"
    write_micrograph(path, np.arange(1200, dtype=np.float32).reshape(30, 40), pixel_size=2.0)
    assert path.stat().st_size == 1024 + 4800
    return path.read_bytes()


def test_a_whole_file_is_reported_once_when_it_has_not_changed_for_the_time_to_settle(folder, content):
    (folder.path / "a.mrc").write_bytes(content)
    assert [folder.look(second) for second in (0, 9, 10, 11, 99)] == [[], [], ["a.mrc"], [], []]


def test_a_file_that_grows_is_waited_for(folder, content):
    path = folder.path / "a.mrc"
    for second, size in enumerate([0, 500, 1024, 3000]):
        path.write_bytes(content[:size])
        assert folder.look(8 * second) == []
    assert folder.look(100) == []  # unchanged for long, and short of its end: the writer is slow
    assert folder.arrivals.settling == 1
    path.write_bytes(content)
    assert [folder.look(second) for second in (101, 110, 111)] == [[], [], ["a.mrc"]]


def test_a_file_of_full_length_that_is_still_being_written_is_waited_for(folder, content):
    path = folder.path / "a.mrc"
    for second in (0, 8, 16):
        path.write_bytes(content)
        os.utime(path, ns=(0, second * 10**9 + 1))  # what a writer into a file of reserved length changes
        assert folder.look(second) == []
    assert folder.look(26) == ["a.mrc"]


def test_a_file_that_stays_short_is_reported_in_the_end(folder, content):
    (folder.path / "a.mrc").write_bytes(content[:-1])
    assert [folder.look(second) for second in (0, PATIENCE - 1, PATIENCE)] == [[], [], ["a.mrc"]]


def test_a_file_that_is_renamed_into_its_place_counts_from_then(folder, content):
    (folder.path / "a.tmp").write_bytes(content)
    assert folder.look(0) == []
    (folder.path / "a.tmp").rename(folder.path / "a.mrc")
    assert [folder.look(second) for second in (50, 60)] == [[], ["a.mrc"]]


def test_a_file_that_vanishes_and_comes_again_counts_from_then(folder, content):
    path = folder.path / "a.mrc"
    path.write_bytes(content)
    folder.look(0)
    path.unlink()
    assert folder.look(9) == []
    assert folder.arrivals.settling == 0
    path.write_bytes(content)
    assert [folder.look(second) for second in (11, 20, 21)] == [[], [], ["a.mrc"]]


def test_a_file_that_is_done_is_not_reported_when_it_is_touched(folder, content):
    path = folder.path / "a.mrc"
    path.write_bytes(content)
    folder.look(0)
    assert folder.look(10) == ["a.mrc"]
    folder.arrivals.done("a.mrc")
    os.utime(path, ns=(5, 5))
    assert [folder.look(second) for second in (20, 40)] == [[], []]


def test_a_file_that_failed_is_reported_again_when_it_has_changed(folder, content):
    path = folder.path / "a.mrc"
    path.write_bytes(content)
    folder.look(0)
    assert folder.look(10) == ["a.mrc"]
    folder.arrivals.failed("a.mrc")
    assert [folder.look(second) for second in (20, 40)] == [[], []]
    path.write_bytes(content)
    os.utime(path, ns=(5, 5))
    assert [folder.look(second) for second in (50, 60)] == [[], ["a.mrc"]]


def test_a_taken_micrograph_is_not_reported(tmp_path, content):
    folder = Folder(tmp_path, taken=["a.mrc"])
    for name in ("a.mrc", "b.mrc"):
        (tmp_path / name).write_bytes(content)
    folder.look(0)
    assert folder.look(10) == ["b.mrc"]
