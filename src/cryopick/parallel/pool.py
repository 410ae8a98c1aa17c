"""Worker processes: as many as asked for, few tasks in hand each so that memory is bounded, and none is missed when one dies."""

import logging
import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain, count
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Generic, Literal, TypeVar

from cryopick.errors import CryopickError
from cryopick.parallel.pipeline import Staged, overlapped
from cryopick.parallel.process import changed_environment, ctrl_c_left_to_this_process, one_thread, one_thread_for_children
from cryopick.parallel.worker import News, serve

logger = logging.getLogger(__name__)
Task = TypeVar("Task")
Result = TypeVar("Result")
Start = Callable[[], Callable[[Task], Result] | Staged[Task, Any, Any, Result]]
ATTEMPTS = 2
PAUSE = 0.5
"""Seconds after which tasks are asked for again, where there are none at the moment."""


def run_tasks(
    tasks: Iterable[Task | None],
    start: Start[Task, Result],
    *,
    workers: int,
    lost: Callable[[Task, str], Result],
    environments: Sequence[Mapping[str, str]] = (),
) -> Generator[Result]:
    """The results of the tasks, in the order in which they come.

    Each worker is a fresh process (spawned, hence safe with torch and CUDA; `start` and the tasks are pickled) that calls
    `start` once and what that returns for each task; with `workers=1` all happens in this process. Where `start` gives `Staged`
    work, its stages overlap. A task is drawn from `tasks` when a worker has room for it; None says that there is none at the
    moment, and they are asked again a little later.

    Of a worker that dies nobody knows which task has killed it. So each that it had in hand is tried once more by a worker that
    has no other; when that worker dies too, the task's result is `lost(task, reason)`. An exception from `start` or from a task
    ends the run and is raised here. Closing the iterator kills the workers.

    Parameters
    ----------
    environments : variables that the workers, in turn, have beside those of this process; one that takes the place of a dead
        one has the same. Not for `workers=1`.
    """
    one_thread_for_children()
    if workers > 1:
        yield from _Crew(tasks, start, lost, workers, environments).run()
        return
    remaining = iter(tasks)
    for first in remaining:
        if first is None:
            time.sleep(PAUSE)
            continue
        work = start()
        one_thread()
        everything = chain([first], remaining)
        if isinstance(work, Staged):
            yield from overlapped(work, everything, pause=PAUSE)
        else:
            yield from _one_by_one(work, everything)


def _one_by_one(work: Callable[[Task], Result], tasks: Iterable[Task | None]) -> Iterator[Result]:
    for task in tasks:
        if task is None:
            time.sleep(PAUSE)
        else:
            yield work(task)


class _Worker(Generic[Task]):
    """One process, the pipe to it, and the tasks in its hands with the number of times they were handed out.

    `room` is for how many more tasks it has asked; the first one it gets unasked, while it starts.
    """

    def __init__(self, start: Start[Task, Any], seat: int, environment: Mapping[str, str]) -> None:
        self.seat = seat
        self.started = False
        self.room = 0
        self.tasks: dict[int, tuple[Task, int]] = {}
        self.numbers = count()
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=serve, args=(theirs, start), daemon=True)
        with ctrl_c_left_to_this_process(), changed_environment(environment):
            self.process.start()
        theirs.close()

    @property
    def is_free(self) -> bool:
        return self.room > 0 and not self.tasks

    @property
    def can_read_ahead(self) -> bool:
        """Whether it has room beside what it does; not beside a task that may have killed another worker."""
        return self.room > 0 and all(attempt == 1 for _, attempt in self.tasks.values())

    def give(self, task: Task, attempt: int) -> None:
        number = next(self.numbers)
        self.tasks[number] = (task, attempt)
        self.room -= 1
        with suppress(OSError):  # it has died: the next reading tells
            self.connection.send((number, task))

    def news(self) -> tuple[News | Literal["died"], Any]:
        try:
            kind, content = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            return "died", _cause(self.process.exitcode)
        return kind, content


class _Crew(Generic[Task, Result]):
    def __init__(
        self,
        tasks: Iterable[Task | None],
        start: Start[Task, Result],
        lost: Callable[[Task, str], Result],
        number: int,
        environments: Sequence[Mapping[str, str]],
    ) -> None:
        self.tasks = iter(tasks)
        self.exhausted = False
        self.again: deque[Task] = deque()
        self.start = start
        self.lost = lost
        self.number = number
        self.environments = environments or [{}]
        self.workers: dict[Connection[Any, Any], _Worker[Task]] = {}

    def run(self) -> Iterator[Result]:
        try:
            while True:
                self.employ()
                if self.exhausted and not self.workers:
                    return
                wanting = len(self.workers) < self.number or any(worker.can_read_ahead for worker in self.workers.values())
                for connection in wait(list(self.workers), timeout=PAUSE if wanting and not self.exhausted else None):
                    yield from self.hear(self.workers[connection])  # type: ignore[index]
        finally:
            for worker in self.workers.values():
                worker.process.kill()
            for worker in self.workers.values():
                worker.process.join()

    def employ(self) -> None:
        """Give tasks to those that have none, hire for tasks that are left, and then give some to be read ahead.

        When no task will come any more, those that have none go.
        """
        for worker in self.workers.values():
            if worker.is_free and (following := self.draw()):
                worker.give(*following)
        while len(self.workers) < self.number and (following := self.draw()):
            self.hire().give(*following)
        for worker in self.workers.values():
            if worker.can_read_ahead and (following := self.draw_new()):
                worker.give(*following)
        if self.exhausted and not self.again:
            for worker in [worker for worker in self.workers.values() if worker.is_free]:
                self.strike_off(worker)  # it reads the end of the pipe and ends
                worker.process.join()

    def draw(self) -> tuple[Task, int] | None:
        """The next task and how often it is tried then; None when there is none, now or ever."""
        return (self.again.popleft(), ATTEMPTS) if self.again else self.draw_new()

    def draw_new(self) -> tuple[Task, int] | None:
        """As `draw`, without tasks that may have killed a worker."""
        if self.exhausted:
            return None
        try:
            task = next(self.tasks)
        except StopIteration:
            self.exhausted = True
            return None
        return None if task is None else (task, 1)

    def hire(self) -> _Worker[Task]:
        """A new worker, in the first seat that nobody has."""
        taken = {worker.seat for worker in self.workers.values()}
        seat = next(seat for seat in count() if seat not in taken)
        worker: _Worker[Task] = _Worker(self.start, seat, self.environments[seat % len(self.environments)])
        self.workers[worker.connection] = worker
        return worker

    def strike_off(self, worker: _Worker[Task]) -> None:
        del self.workers[worker.connection]
        worker.connection.close()

    def hear(self, worker: _Worker[Task]) -> Iterator[Result]:
        """What a worker says: a result, that it has room for another task, or its end."""
        kind, content = worker.news()
        if kind == "raised":
            raise content
        if kind == "died":
            yield from self.mourn(worker, content)
        elif kind == "room":
            worker.started = True
            worker.room += 1
        else:
            number, result = content
            del worker.tasks[number]
            yield result

    def mourn(self, worker: _Worker[Task], cause: str) -> Iterator[Result]:
        """Put back what a worker had in hand when it died, or give it up after the last attempt."""
        self.strike_off(worker)
        if not worker.started:
            raise CryopickError(f"a worker process {cause} while it started")
        for task, attempt in worker.tasks.values():
            if attempt == ATTEMPTS:
                yield self.lost(task, f"its worker process {cause}, {ATTEMPTS} times")
            else:
                logger.warning("a worker process %s; what it had in hand is tried once more", cause)
                self.again.append(task)


def _cause(exitcode: int | None) -> str:
    if exitcode == -signal.SIGKILL:
        return "was killed (signal 9), as the system does when memory runs out: use fewer workers"
    if exitcode is not None and exitcode < 0:
        return f"ended by signal {-exitcode} ({signal.Signals(-exitcode).name})"
    return f"ended with exit code {exitcode}"
