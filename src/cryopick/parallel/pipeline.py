"""Work in three overlapping stages: the next task is read and the last one written while one is computed."""

import time
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from enum import Enum
from itertools import chain, repeat
from typing import Generic, Protocol, TypeVar, runtime_checkable

Task = TypeVar("Task")
Read = TypeVar("Read")
Computed = TypeVar("Computed")
Result = TypeVar("Result")
TaskIn = TypeVar("TaskIn", contravariant=True)
ResultOut = TypeVar("ResultOut", covariant=True)


@runtime_checkable
class Staged(Protocol[TaskIn, Read, Computed, ResultOut]):
    """Work on one task after another in three stages.

    Attributes
    ----------
    ahead : number of tasks that each stage holds at most, read and written in as many threads; up to three times as many are in
        memory.
    """

    ahead: int

    def read(self, task: TaskIn, /) -> Read:
        """The first stage, in threads of its own."""
        ...

    def compute(self, read: Sequence[Read], /) -> Sequence[Computed]:
        """The second stage, of one to `ahead` tasks that have been read, in the thread that asks for results."""
        ...

    def write(self, computed: Computed, /) -> ResultOut:
        """The last stage, in threads of its own."""
        ...


class _End(Enum):
    END = "no more tasks"


def overlapped(
    work: Staged[Task, Read, Computed, Result], tasks: Iterable[Task | None], *, pause: float = 0.5
) -> Generator[Result]:
    """The results of the tasks, in their order where `work.ahead` is 1.

    Tasks are drawn in the calling thread; None means that there is none for `pause` seconds. Exceptions of a stage are raised
    here. Then, or when the iterator is closed, tasks that are being read or written are completed and no other is started.
    """
    pipeline = _Pipeline(work)
    with pipeline.readers, pipeline.writers, closing(pipeline):
        for task in chain(tasks, repeat(_End.END)):
            yield from pipeline.written()
            if task is not None and task is not _End.END:
                pipeline.begin(task)
            elif pipeline.reading:
                yield from pipeline.compute()
            elif pipeline.writing:
                yield pipeline.writing.popleft().result()
            elif task is _End.END:
                return
            else:
                time.sleep(pause)
            if len(pipeline.reading) > work.ahead:
                yield from pipeline.compute()


class _Pipeline(Generic[Task, Read, Computed, Result]):
    """The tasks that are being read and written, in the order in which they got there."""

    def __init__(self, work: Staged[Task, Read, Computed, Result]) -> None:
        self.work = work
        self.readers = ThreadPoolExecutor(work.ahead, "read")
        self.writers = ThreadPoolExecutor(work.ahead, "write")
        self.reading: list[Future[Read]] = []
        self.writing: deque[Future[Result]] = deque()

    def close(self) -> None:
        """Drop tasks that wait to be read."""
        self.readers.shutdown(wait=False, cancel_futures=True)

    def begin(self, task: Task) -> None:
        """Have a task read."""
        self.reading.append(self.readers.submit(self.work.read, task))

    def compute(self) -> Generator[Result]:
        """Wait until a task has been read, compute all that have, and have them written; gives the results that are written."""
        wait(self.reading, return_when=FIRST_COMPLETED)
        read = [future for future in self.reading if future.done()][: self.work.ahead]
        self.reading = [future for future in self.reading if future not in read]
        for computed in self.work.compute([future.result() for future in read]):
            if len(self.writing) == self.work.ahead:
                yield self.writing.popleft().result()
            self.writing.append(self.writers.submit(self.work.write, computed))

    def written(self) -> Generator[Result]:
        """The results that are written by now."""
        while self.writing and self.writing[0].done():
            yield self.writing.popleft().result()
