"""A pool of worker processes with bounded memory that loses no task when a worker dies."""

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
from cryopick.parallel.process import changed_environment, ctrl_c_ignored_by_children, one_thread, one_thread_for_children
from cryopick.parallel.worker import Message, run_worker

logger = logging.getLogger(__name__)
Task = TypeVar("Task")
Result = TypeVar("Result")
Start = Callable[[], Callable[[Task], Result] | Staged[Task, Any, Any, Result]]
ATTEMPTS = 2
STARTS = 4
"""Workers in a row that die while they start before the run ends: one may be killed, but all of them have a reason."""
PAUSE = 0.5
"""Seconds to wait if there is no task at the moment."""


def run_tasks(
    tasks: Iterable[Task | None],
    start: Start[Task, Result],
    *,
    workers: int,
    lost: Callable[[Task, str], Result],
    environments: Sequence[Mapping[str, str]] = (),
) -> Generator[Result]:
    """Yield the results of the tasks as they are completed.

    Each worker is a fresh process (spawned, hence safe with torch and CUDA; `start` and the tasks are pickled) that calls
    `start` once, and the function that it returns once for each task; with `workers=1` everything happens in this process. If
    `start` returns `Staged` work, its stages overlap. A task is drawn from `tasks` when a worker can take one; None means that
    there is none at the moment, and the next is drawn a little later.

    When a worker dies, it is unknown which of its tasks has killed it, so each is tried once more by a worker without other
    tasks. If that worker dies too, the task's result is `lost(task, reason)`. An exception from `start` or a task ends the run
    and is raised here. Closing the iterator kills the workers.

    Parameters
    ----------
    environments : additional environment variables for the workers, in turn; a worker that replaces a dead one has the same.
        Ignored with `workers=1`.
    """
    one_thread_for_children()
    if workers > 1:
        yield from _WorkerPool(tasks, start, lost, workers, environments).run()
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
    """A worker process, the pipe to it, and its tasks with the number of the current attempt.

    `room` is the number of further tasks that it has requested; it gets the first one while it starts, without a request.
    """

    def __init__(self, start: Start[Task, Any], slot: int, environment: Mapping[str, str]) -> None:
        self.slot = slot
        self.started = False
        self.room = 0
        self.tasks: dict[int, tuple[Task, int]] = {}
        self.numbers = count()
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=run_worker, args=(theirs, start), daemon=True)
        with ctrl_c_ignored_by_children(), changed_environment(environment):
            self.process.start()
        theirs.close()

    @property
    def is_free(self) -> bool:
        """Whether it has no task and has requested one."""
        return self.room > 0 and not self.tasks

    @property
    def can_read_ahead(self) -> bool:
        """Whether it can take a second task; never beside one that may have killed another worker."""
        return self.room > 0 and all(attempt == 1 for _, attempt in self.tasks.values())

    def send(self, task: Task, attempt: int) -> None:
        """Send a task to the worker."""
        number = next(self.numbers)
        self.tasks[number] = (task, attempt)
        self.room -= 1
        with suppress(OSError):  # it has died, which `receive` will report
            self.connection.send((number, task))

    def receive(self) -> tuple[Message | Literal["died"], Any]:
        """Return the worker's next message; if it has died, the cause."""
        try:
            kind, content = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            return "died", _cause(self.process.exitcode)
        return kind, content


class _WorkerPool(Generic[Task, Result]):
    """Pool that starts workers, hands out tasks, receives results, and requeues the tasks of workers that die."""

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
        self.requeued: deque[tuple[Task, int]] = deque()
        self.failed_starts = 0
        self.start = start
        self.lost = lost
        self.number = number
        self.environments = environments or [{}]
        self.workers: dict[Connection[Any, Any], _Worker[Task]] = {}

    def run(self) -> Iterator[Result]:
        """Yield the results as they come; kill all workers when the iteration ends or is closed."""
        try:
            while True:
                self.assign()
                if self.exhausted and not self.workers:
                    return
                wanting = len(self.workers) < self.number or any(worker.can_read_ahead for worker in self.workers.values())
                for connection in wait(list(self.workers), timeout=PAUSE if wanting and not self.exhausted else None):
                    yield from self.receive(self.workers[connection])  # type: ignore[index]
        finally:
            for worker in self.workers.values():
                worker.process.kill()
            for worker in self.workers.values():
                worker.process.join()

    def assign(self) -> None:
        """Give tasks to free workers, start workers for the remaining tasks, then hand out tasks to be read ahead.

        Free workers are stopped if no tasks are left.
        """
        for worker in self.workers.values():
            if worker.is_free and (following := self.draw()):
                worker.send(*following)
        while len(self.workers) < self.number and (following := self.draw()):
            self.start_worker().send(*following)
        for worker in self.workers.values():
            if worker.can_read_ahead and (following := self.draw_new()):
                worker.send(*following)
        if self.exhausted and not self.requeued:
            for worker in [worker for worker in self.workers.values() if worker.is_free]:
                self.remove(worker)  # closing the pipe ends the worker
                worker.process.join()

    def draw(self) -> tuple[Task, int] | None:
        """Return the next task and the number of this attempt; None if there is none at the moment, or none left."""
        return self.requeued.popleft() if self.requeued else self.draw_new()

    def draw_new(self) -> tuple[Task, int] | None:
        """Draw a task like `draw`, without requeued ones."""
        if self.exhausted:
            return None
        try:
            task = next(self.tasks)
        except StopIteration:
            self.exhausted = True
            return None
        return None if task is None else (task, 1)

    def start_worker(self) -> _Worker[Task]:
        """Start a worker in the first free slot."""
        taken = {worker.slot for worker in self.workers.values()}
        slot = next(slot for slot in count() if slot not in taken)
        worker: _Worker[Task] = _Worker(self.start, slot, self.environments[slot % len(self.environments)])
        self.workers[worker.connection] = worker
        return worker

    def remove(self, worker: _Worker[Task]) -> None:
        """Remove a worker and close its pipe."""
        del self.workers[worker.connection]
        worker.connection.close()

    def receive(self, worker: _Worker[Task]) -> Iterator[Result]:
        """Handle the next message of a worker, which may contain results."""
        kind, content = worker.receive()
        if kind == "raised":
            raise content
        if kind == "died":
            yield from self.requeue_tasks(worker, content)
        elif kind == "ready":
            worker.started = True
            self.failed_starts = 0
            worker.room += 1
        else:
            number, result = content
            del worker.tasks[number]
            yield result

    def requeue_tasks(self, worker: _Worker[Task], cause: str) -> Iterator[Result]:
        """Requeue the tasks of a worker that died; those at their last attempt are lost, unless it had not yet begun them."""
        self.remove(worker)
        if not worker.started:
            self.failed_starts += 1
            if self.failed_starts == STARTS:
                raise CryopickError(f"{STARTS} worker processes in a row did not start; the last one {cause}")
            logger.warning("a worker process did not start, so another one is started: it %s", cause)
            self.requeued.extend(worker.tasks.values())
            return
        for task, attempt in worker.tasks.values():
            if attempt == ATTEMPTS:
                yield self.lost(task, f"its worker process {cause}, {ATTEMPTS} times")
            else:
                logger.warning("a worker process %s; its tasks are tried once more", cause)
                self.requeued.append((task, ATTEMPTS))


def _cause(exitcode: int | None) -> str:
    if exitcode == -signal.SIGKILL:
        return "was killed (signal 9), as the system does when memory runs out; use fewer workers"
    if exitcode is not None and exitcode < 0:
        return f"ended by signal {-exitcode} ({signal.Signals(-exitcode).name})"
    return f"ended with exit code {exitcode}"
