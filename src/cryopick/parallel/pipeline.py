"""Work in three stages of which one waits for no other: the next task is read and the last one written while one is computed."""

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
Made = TypeVar("Made")
Result = TypeVar("Result")
Given = TypeVar("Given", contravariant=True)
Answer = TypeVar("Answer", covariant=True)


@runtime_checkable
class Staged(Protocol[Given, Read, Made, Answer]):
    """Work on one task after another in three stages.

    Attributes
    ----------
    ahead : tasks that are read while others are computed, in as many threads; no more are computed together, and no more are
        being written. So at most three times as many are in memory.
    """

    ahead: int

    def read(self, task: Given, /) -> Read:
        """The first stage, in threads of its own."""
        ...

    def compute(self, read: Sequence[Read], /) -> Sequence[Made]:
        """The second stage, in the thread that asks for results: of one to `ahead` tasks that have been read."""
        ...

    def write(self, made: Made, /) -> Answer:
        """The last stage, in threads of its own."""
        ...


class _End(Enum):
    END = "no task will come any more"


def overlapped(work: Staged[Task, Read, Made, Result], tasks: Iterable[Task | None], *, pause: float = 0.5) -> Generator[Result]:
    """The results of the tasks, in their order where `work.ahead` is 1.

    Tasks are drawn in the calling thread; None says that there is none for so many seconds. What a stage raises is
    raised here. When that happens, or the iterator is closed, tasks that are being read or written come to their end first;
    no other is begun.
    """
    line = _Line(work)
    with line.readers, line.writers, closing(line):
        for task in chain(tasks, repeat(_End.END)):
            yield from line.written()
            if task is not None and task is not _End.END:
                line.begin(task)
            elif line.reading:
                yield from line.compute()
            elif line.writing:
                yield line.writing.popleft().result()
            elif task is _End.END:
                return
            else:
                time.sleep(pause)
            if len(line.reading) > work.ahead:
                yield from line.compute()


class _Line(Generic[Task, Read, Made, Result]):
    """Tasks that are being read and written, each in the order in which they came there."""

    def __init__(self, work: Staged[Task, Read, Made, Result]) -> None:
        self.work = work
        self.readers = ThreadPoolExecutor(work.ahead, "read")
        self.writers = ThreadPoolExecutor(work.ahead, "write")
        self.reading: list[Future[Read]] = []
        self.writing: deque[Future[Result]] = deque()

    def close(self) -> None:
        """Let what waits to be read go."""
        self.readers.shutdown(wait=False, cancel_futures=True)

    def begin(self, task: Task) -> None:
        self.reading.append(self.readers.submit(self.work.read, task))

    def compute(self) -> Generator[Result]:
        """Compute what has been read, once there is something; it is written behind, and what was written before comes out."""
        wait(self.reading, return_when=FIRST_COMPLETED)
        read = [future for future in self.reading if future.done()][: self.work.ahead]
        self.reading = [future for future in self.reading if future not in read]
        for made in self.work.compute([future.result() for future in read]):
            if len(self.writing) == self.work.ahead:
                yield self.writing.popleft().result()
            self.writing.append(self.writers.submit(self.work.write, made))

    def written(self) -> Generator[Result]:
        while self.writing and self.writing[0].done():
            yield self.writing.popleft().result()
