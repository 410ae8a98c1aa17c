"""Worker processes: their number, their threads, and the tasks of one that dies."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import stub_pool

from cryopick.errors import CryopickError
from cryopick.parallel.pool import run_tasks


def no_loss(task: int, reason: str) -> int:
    raise AssertionError(f"{task} was lost: {reason}")


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_every_task_gives_one_result(workers, count):
    found = list(run_tasks(range(count), stub_pool.start_double, workers=workers, lost=no_loss))
    assert sorted(found) == [2 * number for number in range(count)]


def test_there_are_as_many_workers_as_asked_for_without_this_process():
    pids = set(run_tasks(range(12), stub_pool.start_pid, workers=2, lost=no_loss))
    assert len(pids) == 2
    assert os.getpid() not in pids


def test_one_worker_is_this_process():
    assert set(run_tasks(range(3), stub_pool.start_pid, workers=1, lost=no_loss)) == {os.getpid()}


def test_a_task_is_drawn_only_when_a_worker_is_free():
    drawn = []

    def endless():
        for number in range(10**9):
            drawn.append(number)
            yield number

    results = run_tasks(endless(), stub_pool.start_double, workers=2, lost=no_loss)
    assert len([next(results) for _ in range(5)]) == 5
    results.close()
    assert len(drawn) <= 5 + 2


def test_a_worker_computes_with_one_thread():
    (threads,) = run_tasks([0], stub_pool.start_counting_threads, workers=2, lost=no_loss)
    assert threads == {"opencv": 1, "torch": 1, "scipy.fft": 1, "more threads after computing": 0}


def test_a_task_whose_worker_dies_once_is_done_by_another(tmp_path):
    start = partial(stub_pool.start_dying, str(tmp_path), 1)
    assert sorted(run_tasks(range(6), start, workers=2, lost=no_loss)) == [0, 1, 2, 3, 4, 5]


def test_a_task_whose_worker_dies_twice_is_lost_with_the_reason_and_the_others_are_done(tmp_path):
    start = partial(stub_pool.start_dying, str(tmp_path), 2)
    reasons = []

    def lost(task: int, reason: str) -> int:
        reasons.append(reason)
        return -task

    assert sorted(run_tasks(range(6), start, workers=2, lost=lost)) == [-3, 0, 1, 2, 4, 5]
    (reason,) = reasons
    assert "signal 9" in reason
    assert "fewer workers" in reason


def test_a_worker_reads_the_next_task_while_it_computes_one():
    results = run_tasks(iter(range(10**9)), stub_pool.Waiting, workers=2, lost=no_loss)
    assert len({next(results) for _ in range(6)}) == 6
    results.close()


@pytest.mark.parametrize("deaths", [1, 2])
def test_a_task_that_was_read_ahead_when_its_worker_died_is_not_lost(tmp_path, deaths):
    lost_tasks = []

    def lost(task: int, reason: str) -> int:
        lost_tasks.append(task)
        return task

    start = partial(stub_pool.Overlapping, str(tmp_path), deaths)
    assert sorted(run_tasks(range(12), start, workers=2, lost=lost)) == list(range(12))
    assert len(list(tmp_path.iterdir())) == deaths
    assert lost_tasks == [3] * (deaths - 1)


def test_workers_have_the_given_environments_in_turn_and_this_process_has_not():
    slots = run_tasks(
        range(12), stub_pool.start_slot, workers=3, lost=no_loss, environments=[{"STUB_SLOT": "a"}, {"STUB_SLOT": "b"}]
    )
    assert set(slots) == {"a", "b"}
    assert "STUB_SLOT" not in os.environ


def test_no_worker_receives_ctrl_c_not_even_the_first():
    words = "import stub_pool; from cryopick.parallel.pool import run_tasks as run"
    words += "; print(*run([0, 1], stub_pool.start_hearing, workers=2, lost=None))"
    command = [sys.executable, "-c", words]  # a fresh process, because the first child that Python starts differs from later ones
    assert subprocess.run(command, cwd=Path(stub_pool.__file__).parent, capture_output=True, text=True).stdout == "False False\n"


@pytest.mark.parametrize("deaths", [1, 3])
def test_workers_that_are_killed_while_they_start_are_replaced_and_no_task_is_lost(tmp_path, caplog, deaths):
    start = partial(stub_pool.start_killed, str(tmp_path), deaths)
    assert sorted(run_tasks(range(6), start, workers=2, lost=no_loss)) == [0, 1, 2, 3, 4, 5]
    assert caplog.text.count("a worker process did not start, so another one is started: it was killed (signal 9)") == deaths


def test_workers_that_cannot_start_end_the_run():
    with pytest.raises(CryopickError, match=r"4 worker processes in a row did not start; the last one ended with exit code 7$"):
        list(run_tasks(range(3), stub_pool.start_and_die, workers=2, lost=no_loss))


@pytest.mark.parametrize("workers", [1, 2])
def test_an_exception_of_a_task_is_raised_to_the_caller(workers):
    with pytest.raises(ValueError, match="task 0"):
        list(run_tasks([0], stub_pool.start_raising, workers=workers, lost=no_loss))


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_wait_where_there_is_no_task_at_the_moment(workers):
    tasks = [None, 1, None, None, 2, 3, None]
    assert sorted(run_tasks(tasks, stub_pool.start_double, workers=workers, lost=no_loss)) == [2, 4, 6]
