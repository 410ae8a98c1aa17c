"""Repeated work, in this process and in background processes."""

import time
from functools import partial
from multiprocessing.context import SpawnProcess
from pathlib import Path

import pytest

from cryopick.parallel import background
from cryopick.parallel.background import BackgroundProcess, Schedule


def test_slow_work_is_repeated_less_schedule_and_takes_no_more_than_its_share(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(background.time, "monotonic", lambda: now[0])
    schedule = Schedule(30.0)
    assert schedule.is_due()
    now[0] = 102.0
    schedule.record(100.0)  # 2 s: ten times that is less than 30 s
    now[0] = 131.9
    assert not schedule.is_due()
    now[0] = 132.0
    assert schedule.is_due()
    now[0] = 192.0
    schedule.record(132.0)  # 60 s: not for 600 s
    now[0] = 791.9
    assert not schedule.is_due()
    now[0] = 792.0
    assert schedule.is_due()


def test_background_work_runs_once_at_a_time_when_it_is_wanted_and_again_when_it_is_due(tmp_path):
    made = tmp_path / "made"
    process = BackgroundProcess(partial(Path.mkdir, made), seconds=0)
    assert not process.poll(wanted=False)
    assert process.poll(wanted=True)
    assert not process.poll(wanted=True)
    for _ in range(3000):
        if made.exists():
            break
        time.sleep(0.01)
    assert made.exists()
    for _ in range(3000):
        if not process.stop():
            break
        time.sleep(0.01)
    assert process.poll(wanted=True)
    process.stop()


def test_a_running_process_is_killed(tmp_path):
    process = BackgroundProcess(partial(time.sleep, 600), seconds=0)
    assert not process.stop()
    process.poll(wanted=True)
    assert process.stop()
    assert not process.stop()


def test_where_no_process_can_be_started_there_is_none_to_stop(monkeypatch):
    process = BackgroundProcess(partial(time.sleep, 600), seconds=0)
    monkeypatch.setattr(SpawnProcess, "start", no_process)
    with pytest.raises(BlockingIOError):
        process.poll(wanted=True)
    assert not process.stop()


def no_process(_: object) -> None:
    raise BlockingIOError("too many processes")


def test_a_failing_process_is_reported(caplog):
    process = BackgroundProcess(partial(int, "no number"), seconds=0)
    assert process.poll(wanted=True)
    for _ in range(3000):
        process.poll(wanted=False)
        if caplog.records:
            break
        time.sleep(0.01)
    assert "exit code 1" in caplog.text
