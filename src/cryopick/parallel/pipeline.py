"""Work in three overlapping stages: while one task is computed, the next is read and the last one written."""

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
    """Work on a series of tasks in three stages.

    Attributes
    ----------
    ahead : largest number of tasks in each stage, and number of threads that read and that write; up to three times as many
        tasks are in memory.
    """

    ahead: int

    def read(self, task: TaskIn, /) -> Read:
        """Perform the first stage, in threads of its own."""
        ...

    def compute(self, read: Sequence[Read], /) -> Sequence[Computed]:
        """Perform the second stage on one to `ahead` tasks that have been read, in the thread that requests results."""
        ...

    def write(self, computed: Computed, /) -> ResultOut:
        """Perform the last stage, in threads of its own."""
        ...


class _End(Enum):
    END = "no more tasks"


def overlapped(
    work: Staged[Task, Read, Computed, Result], tasks: Iterable[Task | None], *, pause: float = 0.5
) -> Generator[Result]:
    """Yield the results of the tasks, in their order if `work.ahead` is 1.

    Tasks are drawn in the calling thread; None means that there is none at the moment, and the next is drawn after `pause`
    seconds. Exceptions of a stage are raised here. Then, or when the iterator is closed, tasks that are being read or written
    are completed and no others are started.
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
    """Tasks that are being read or written, in the order in which they were started."""

    def __init__(self, work: Staged[Task, Read, Computed, Result]) -> None:
        self.work = work
        self.readers = ThreadPoolExecutor(work.ahead, "read")
        self.writers = ThreadPoolExecutor(work.ahead, "write")
        self.reading: list[Future[Read]] = []
        self.writing: deque[Future[Result]] = deque()

    def close(self) -> None:
        """Drop tasks that are still waiting to be read."""
        self.readers.shutdown(wait=False, cancel_futures=True)

    def begin(self, task: Task) -> None:
        """Start reading a task."""
        self.reading.append(self.readers.submit(self.work.read, task))

    def compute(self) -> Generator[Result]:
        """Wait until a task has been read, compute all that have been, and start writing them; return results already written."""
        wait(self.reading, return_when=FIRST_COMPLETED)
        read = [future for future in self.reading if future.done()][: self.work.ahead]
        self.reading = [future for future in self.reading if future not in read]
        for computed in self.work.compute([future.result() for future in read]):
            if len(self.writing) == self.work.ahead:
                yield self.writing.popleft().result()
            self.writing.append(self.writers.submit(self.work.write, computed))

    def written(self) -> Generator[Result]:
        """Return the results that have been written so far."""
        while self.writing and self.writing[0].done():
            yield self.writing.popleft().result()
