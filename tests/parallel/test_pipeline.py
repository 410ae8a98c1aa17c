"""Overlapping stages, shown by stages that wait for each other, not by their timing."""

from concurrent.futures import ThreadPoolExecutor, wait
from threading import Event, Lock, get_ident

import pytest

from cryopick.parallel import pipeline as pipeline_module
from cryopick.parallel.pipeline import Staged, _Pipeline, overlapped

LONG = 20.0
"""Seconds after which a test fails because something has not happened."""
LAST = 5


class Interlocked:
    """Computes a task only once the next one is being read, and writes it only once the next one is being computed."""

    ahead = 1

    def __init__(self) -> None:
        self.reading = [Event() for _ in range(LAST + 1)]
        self.computing = [Event() for _ in range(LAST + 1)]
        self.threads: set[int] = set()

    def read(self, task: int) -> int:
        self.reading[task].set()
        return task

    def compute(self, read: list[int]) -> list[int]:
        (task,) = read
        self.threads.add(get_ident())
        self.computing[task].set()
        assert task == LAST or self.reading[task + 1].wait(LONG), "the next task is not being read"
        return read

    def write(self, task: int) -> int:
        assert task == LAST or self.computing[task + 1].wait(LONG), "the next task is not being computed"
        return 2 * task


class Counting:
    """Counts the tasks that are in memory, and those that are computed together."""

    def __init__(self, ahead: int) -> None:
        self.ahead = ahead
        self.lock = Lock()
        self.inside = self.most = 0
        self.together: list[int] = []

    def read(self, task: int) -> int:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        return task

    def compute(self, read: list[int]) -> list[int]:
        self.together.append(len(read))
        return read

    def write(self, task: int) -> int:
        with self.lock:
            self.inside -= 1
        return task


class Failing(Counting):
    def __init__(self, stage: str) -> None:
        super().__init__(1)
        setattr(self, stage, self.fail)

    def fail(self, *_: object) -> None:
        raise ValueError("no reason")


def test_the_next_task_is_read_and_the_last_one_written_while_one_is_computed_here():
    work = Interlocked()
    assert isinstance(work, Staged)
    assert list(overlapped(work, range(LAST + 1))) == [2 * task for task in range(LAST + 1)]
    assert work.threads == {get_ident()}


@pytest.mark.parametrize("ahead", [1, 3])
def test_no_more_tasks_are_in_memory_than_allowed(ahead):
    work = Counting(ahead)
    assert sorted(overlapped(work, range(40))) == list(range(40))
    assert 1 < work.most <= 3 * ahead
    assert max(work.together) <= ahead
    assert sum(work.together) == 40


def test_tasks_that_have_been_read_are_computed_together():
    work = Counting(3)
    pipeline = _Pipeline(work)
    with pipeline.readers, pipeline.writers:
        for task in range(4):
            pipeline.begin(task)
        wait(pipeline.reading)
        list(pipeline.compute())
        list(pipeline.compute())
    assert work.together == [3, 1]


def test_a_result_is_not_held_back_while_there_is_no_task():
    results = []

    def tasks():
        yield 1
        while not results:
            yield None
        yield 2

    for result in overlapped(Counting(1), tasks(), pause=0.0):
        results.append(result)
    assert results == [1, 2]


def test_without_tasks_there_are_no_results():
    assert list(overlapped(Counting(1), [])) == []


@pytest.mark.parametrize("stage", ["read", "compute", "write"])
def test_an_exception_of_a_stage_is_raised_to_the_caller(stage):
    with pytest.raises(ValueError, match="no reason"):
        list(overlapped(Failing(stage), range(9)))


class Waiting(Counting):
    """Reads the first task until the work is abandoned."""

    def __init__(self) -> None:
        super().__init__(1)
        self.abandoned = Event()
        self.begun: list[int] = []

    def read(self, task: int) -> int:
        self.begun.append(task)
        assert self.abandoned.wait(LONG)
        return task


def test_abandoned_work_reads_no_further_tasks(monkeypatch):
    work, shut_down = Waiting(), ThreadPoolExecutor.shutdown

    def press_ctrl_c(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def shut_down_and_tell(pool: ThreadPoolExecutor, wait: bool = True, **options: bool) -> None:
        shut_down(pool, wait=False, **options)
        work.abandoned.set()
        shut_down(pool, wait=wait)

    monkeypatch.setattr(pipeline_module, "wait", press_ctrl_c)
    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", shut_down_and_tell)
    with pytest.raises(KeyboardInterrupt):
        list(overlapped(work, range(3)))
    assert work.begun == [0]
