"""The life of a worker process: it starts, asks for tasks through its pipe, and sends their results there."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import repeat
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from threading import Lock
from typing import Any, Literal

from cryopick.errors import CryopickError
from cryopick.parallel.pipeline import Staged, overlapped
from cryopick.parallel.process import one_thread

AnyStaged = Staged[Any, Any, Any, Any]
News = Literal["room", "result", "raised"]
"""What a worker says: that it has room for a task, which comes with a number; that number and the task's result; or an exception,
after which there is nothing more."""


class HungUpError(Exception):
    """The pipe is closed, by the parent or by its end."""


def serve(connection: "Connection[Any, Any]", start: Callable[[], Callable[[Any], Any] | AnyStaged]) -> None:
    """Answer tasks until the pipe is closed. An exception of `start` or of the work is sent, and ends this, too."""
    pipe = _Pipe(connection)
    with suppress(HungUpError):
        with pipe.telling():
            work = start()
            one_thread()
        if isinstance(work, Staged):
            for _ in overlapped(_StagedAfar(pipe, work), repeat("whatever comes next")):
                pass
        else:
            _one_by_one(pipe, work)


def _one_by_one(pipe: "_Pipe", work: Callable[[Any], Any]) -> None:
    while True:
        number, task = pipe.receive()
        with pipe.telling():
            pipe.send("result", (number, work(task)))


class _StagedAfar:
    """Staged work of which each task is received when it is read, and the result sent when it is written."""

    def __init__(self, pipe: "_Pipe", work: AnyStaged) -> None:
        self.pipe = pipe
        self.work = work
        self.ahead = work.ahead

    def read(self, _: object) -> tuple[int, Any]:
        number, task = self.pipe.receive()
        with self.pipe.telling():
            return number, self.work.read(task)

    def compute(self, read: Sequence[tuple[int, Any]]) -> list[tuple[int, Any]]:
        parent = parent_process()
        if parent is not None and not parent.is_alive():  # nobody waits for what was read ahead
            raise HungUpError
        with self.pipe.telling():
            made = self.work.compute([content for _, content in read])
            return [(number, one) for (number, _), one in zip(read, made, strict=True)]

    def write(self, made: tuple[int, Any]) -> None:
        number, content = made
        with self.pipe.telling():
            self.pipe.send("result", (number, self.work.write(content)))


class _Pipe:
    """The pipe to the parent, for several threads."""

    def __init__(self, connection: "Connection[Any, Any]") -> None:
        self.connection = connection
        self.sending = Lock()
        self.receiving = Lock()

    def send(self, kind: News, content: Any = None) -> None:
        message = ForkingPickler.dumps((kind, content))
        try:
            with self.sending:
                self.connection.send_bytes(message)
        except OSError as error:
            raise HungUpError from error

    def receive(self) -> Any:
        """Ask for a task, and wait for it and its number."""
        with self.receiving:
            self.send("room")
            try:
                return self.connection.recv()
            except (EOFError, OSError) as error:
                raise HungUpError from error

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Send an exception at once: other threads of this process may wait for tasks for as long as the parent lets them."""
        try:
            yield
        except HungUpError:
            raise
        except Exception as error:
            self.send("raised", portable(error))
            raise HungUpError from error


def portable(error: Exception) -> Exception:
    """The exception, or one that says the same where it cannot be sent to another process."""
    try:
        ForkingPickler.loads(ForkingPickler.dumps(error))
    except Exception:
        return CryopickError(f"{type(error).__name__}: {error}")
    return error
