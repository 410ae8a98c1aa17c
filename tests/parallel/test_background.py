"""What is done every so often, here and in a process beside."""

import time
from functools import partial
from multiprocessing.context import SpawnProcess
from pathlib import Path

import pytest

from cryopick.parallel import background as due
from cryopick.parallel.background import Beside, Due


def test_what_takes_long_is_done_less_often_and_never_in_more_than_its_share(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(due.time, "monotonic", lambda: now[0])
    often = Due(30.0)
    assert often.take()
    now[0] = 102.0
    often.took(100.0)  # 2 s: ten times that is less than 30 s
    now[0] = 131.9
    assert not often.take()
    now[0] = 132.0
    assert often.take()
    now[0] = 192.0
    often.took(132.0)  # 60 s: for 600 s there is none
    now[0] = 791.9
    assert not often.take()
    now[0] = 792.0
    assert often.take()


def test_work_beside_is_done_once_at_a_time_where_it_is_wanted_and_again_when_it_is_due(tmp_path):
    made = tmp_path / "made"
    beside = Beside(partial(Path.mkdir, made), seconds=0)
    assert not beside.look_after(wanted=False)
    assert beside.look_after(wanted=True)
    assert not beside.look_after(wanted=True)
    for _ in range(3000):
        if made.exists():
            break
        time.sleep(0.01)
    assert made.exists()
    for _ in range(3000):
        if not beside.stop():
            break
        time.sleep(0.01)
    assert beside.look_after(wanted=True)
    beside.stop()


def test_what_is_at_work_is_killed(tmp_path):
    beside = Beside(partial(time.sleep, 600), seconds=0)
    assert not beside.stop()
    beside.look_after(wanted=True)
    assert beside.stop()
    assert not beside.stop()


def test_where_no_process_can_be_started_there_is_none_to_end(monkeypatch):
    beside = Beside(partial(time.sleep, 600), seconds=0)
    monkeypatch.setattr(SpawnProcess, "start", no_process)
    with pytest.raises(BlockingIOError):
        beside.look_after(wanted=True)
    assert not beside.stop()


def no_process(_: object) -> None:
    raise BlockingIOError("too many processes")


def test_work_that_fails_is_told_of(caplog):
    beside = Beside(partial(int, "no number"), seconds=0)
    assert beside.look_after(wanted=True)
    for _ in range(3000):
        beside.look_after(wanted=False)
        if caplog.records:
            break
        time.sleep(0.01)
    assert "exit code 1" in caplog.text
