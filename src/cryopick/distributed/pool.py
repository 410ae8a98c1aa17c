"""Worker processes: as many as asked for, one task in hand each so that memory is bounded, and none is missed when it dies."""

import logging
import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any, Generic, Literal, TypeVar

from cryopick.distributed.threads import one_thread, one_thread_for_children
from cryopick.errors import CryopickError

logger = logging.getLogger(__name__)
Task = TypeVar("Task")
Result = TypeVar("Result")
News = Literal["ready", "result", "raised", "died"]
ATTEMPTS = 2
PAUSE = 0.5
"""Seconds after which tasks are asked for again, where there are none at the moment."""


def run_tasks(
    tasks: Iterable[Task | None],
    start: Callable[[], Callable[[Task], Result]],
    *,
    workers: int,
    lost: Callable[[Task, str], Result],
) -> Generator[Result]:
    """The results of the tasks, in the order in which they come.

    Each worker is a fresh process (spawned, hence safe with torch and CUDA; `start` and the tasks are pickled) that calls
    `start` once and what that returns for each task; with `workers=1` all happens in this process. A task is drawn from `tasks`
    when a worker is free for it; None says that there is none at the moment, and they are asked again a little later. A task
    whose worker dies is tried once more; when that worker dies too, its result is `lost(task, reason)`. An exception from
    `start` or from a task ends the run and is raised here. Closing the iterator kills the workers.
    """
    one_thread_for_children()
    if workers > 1:
        yield from _Crew(tasks, start, lost).run(workers)
        return
    work = None
    for task in tasks:
        if task is None:
            time.sleep(PAUSE)
            continue
        if work is None:
            work = start()
            one_thread()
        yield work(task)


class _Worker(Generic[Task]):
    """One process, the pipe to it, and the task in its hand with the number of times it was handed out."""

    def __init__(self, start: Callable[[], Callable[[Task], Any]]) -> None:
        self.task: Task | None = None
        self.attempt = 0
        self.reserved: tuple[Task, int] | None = None
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=_serve, args=(theirs, start), daemon=True)
        # Ctrl-C goes to every process of a terminal: the workers inherit a mask that leaves it to the parent.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        theirs.close()

    def give(self, task: Task, attempt: int) -> None:
        self.task, self.attempt = task, attempt
        with suppress(OSError):  # died while idle: the next reading tells
            self.connection.send(task)

    def news(self) -> tuple[News, Any]:
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
        start: Callable[[], Callable[[Task], Result]],
        lost: Callable[[Task, str], Result],
    ) -> None:
        self.tasks = iter(tasks)
        self.exhausted = False
        self.again: deque[tuple[Task, int]] = deque()
        self.start = start
        self.lost = lost
        self.workers: dict[Connection[Any, Any], _Worker[Task]] = {}
        self.idle: list[_Worker[Task]] = []

    def run(self, workers: int) -> Iterator[Result]:
        try:
            while True:
                self.employ(workers)
                if self.exhausted and not self.workers:
                    return
                some_free = self.idle or len(self.workers) < workers
                for connection in wait(list(self.workers), timeout=PAUSE if some_free and not self.exhausted else None):
                    yield from self.hear(self.workers[connection])  # type: ignore[index]
        finally:
            for worker in self.workers.values():
                worker.process.kill()
            for worker in self.workers.values():
                worker.process.join()

    def employ(self, workers: int) -> None:
        """Give tasks to those that are idle, and hire for the tasks that are left; when there will be none, let all idle go."""
        idle, self.idle = self.idle, []
        for worker in idle:
            self.occupy(worker)
        while not self.idle and len(self.workers) < workers and (following := self.draw()):
            self.hire(following)

    def draw(self) -> tuple[Task, int] | None:
        """The next task and how often it was tried; None when there is none, now or ever."""
        if self.again:
            return self.again.popleft()
        if self.exhausted:
            return None
        try:
            task = next(self.tasks)
        except StopIteration:
            self.exhausted = True
            return None
        return None if task is None else (task, 0)

    def hear(self, worker: _Worker[Task]) -> Iterator[Result]:
        """What a worker says: its result, after which it gets its next task, or its end."""
        kind, content = worker.news()
        if kind == "raised":
            raise content
        if kind == "died":
            yield from self.replace(worker, content)
            return
        if kind == "result":
            yield content
        self.occupy(worker)

    def hire(self, reserved: tuple[Task, int] | None = None) -> None:
        """Start a worker, who takes the task that is reserved for it once it is ready."""
        worker: _Worker[Task] = _Worker(self.start)
        worker.reserved = reserved
        self.workers[worker.connection] = worker

    def occupy(self, worker: _Worker[Task]) -> None:
        """Hand the next task to a free worker, or let it go when there will be none."""
        following, worker.reserved = worker.reserved or self.draw(), None
        if following is not None:
            worker.give(following[0], following[1] + 1)
            return
        worker.task = None
        if not self.exhausted:
            self.idle.append(worker)
            return
        del self.workers[worker.connection]
        worker.connection.close()  # it reads the end of the pipe and ends
        worker.process.join()

    def replace(self, worker: _Worker[Task], cause: str) -> Iterator[Result]:
        """A new worker for one that died, and its task put back, or given up after the last attempt."""
        del self.workers[worker.connection]
        worker.connection.close()
        if worker in self.idle:  # a task that comes hires another
            self.idle.remove(worker)
            return
        if worker.task is None:
            raise CryopickError(f"a worker process {cause} while it started")
        if worker.attempt < ATTEMPTS:
            logger.warning("a worker process %s; its task is tried once more", cause)
            self.again.append((worker.task, worker.attempt))
        else:
            yield self.lost(worker.task, f"its worker process {cause}, {ATTEMPTS} times")
        self.hire()


def _cause(exitcode: int | None) -> str:
    if exitcode == -signal.SIGKILL:
        return "was killed (signal 9), as the system does when memory runs out: use fewer workers"
    if exitcode is not None and exitcode < 0:
        return f"ended by signal {-exitcode} ({signal.Signals(-exitcode).name})"
    return f"ended with exit code {exitcode}"


def _serve(connection: "Connection[Any, Any]", start: Callable[[], Callable[[Any], Any]]) -> None:
    """A worker's life: start, then answer tasks until the pipe is closed, by the parent or by its end."""
    try:
        work = start()
        one_thread()
        connection.send(("ready", None))
        while True:
            connection.send(("result", work(connection.recv())))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except Exception as error:
        with suppress(OSError):
            connection.send(("raised", _portable(error)))


def _portable(error: Exception) -> Exception:
    try:
        ForkingPickler.loads(ForkingPickler.dumps(error))
    except Exception:
        return CryopickError(f"{type(error).__name__}: {error}")
    return error
