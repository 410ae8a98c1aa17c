"""The main loop of a worker process, which requests tasks through a pipe and sends back the results."""

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
Message = Literal["ready", "result", "raised"]
"""Messages of a worker: "ready" for a task, which comes with a number; "result", with that number and the task's result; and
"raised", with an exception, after which the worker ends."""


class ConnectionClosedError(Exception):
    """Raised when the pipe was closed, by the parent or because the parent has ended."""


def run_worker(connection: "Connection[Any, Any]", start: Callable[[], Callable[[Any], Any] | AnyStaged]) -> None:
    """Work on tasks until the pipe is closed. An exception of `start` or of a task is sent to the parent and ends the worker."""
    pipe = _Pipe(connection)
    with suppress(ConnectionClosedError):
        with pipe.sending_errors():
            work = start()
            one_thread()
        if isinstance(work, Staged):
            for _ in overlapped(_RemoteStages(pipe, work), repeat("the next task")):
                pass
        else:
            _one_by_one(pipe, work)


def _one_by_one(pipe: "_Pipe", work: Callable[[Any], Any]) -> None:
    while True:
        number, task = pipe.receive()
        with pipe.sending_errors():
            pipe.send("result", (number, work(task)))


class _RemoteStages:
    """Staged work that receives each task in its first stage and sends the result in its last stage."""

    def __init__(self, pipe: "_Pipe", work: AnyStaged) -> None:
        self.pipe = pipe
        self.work = work
        self.ahead = work.ahead

    def read(self, _: object) -> tuple[int, Any]:
        """See `Staged.read`."""
        number, task = self.pipe.receive()
        with self.pipe.sending_errors():
            return number, self.work.read(task)

    def compute(self, read: Sequence[tuple[int, Any]]) -> list[tuple[int, Any]]:
        """See `Staged.compute`."""
        parent = parent_process()
        if parent is not None and not parent.is_alive():  # tasks that were read ahead are dropped
            raise ConnectionClosedError
        with self.pipe.sending_errors():
            made = self.work.compute([content for _, content in read])
            return [(number, one) for (number, _), one in zip(read, made, strict=True)]

    def write(self, made: tuple[int, Any]) -> None:
        """See `Staged.write`."""
        number, content = made
        with self.pipe.sending_errors():
            self.pipe.send("result", (number, self.work.write(content)))


class _Pipe:
    """Pipe to the parent, shared by several threads."""

    def __init__(self, connection: "Connection[Any, Any]") -> None:
        self.connection = connection
        self.send_lock = Lock()
        self.receive_lock = Lock()

    def send(self, kind: Message, content: Any = None) -> None:
        """Send a message. Raises `ConnectionClosedError`."""
        message = ForkingPickler.dumps((kind, content))
        try:
            with self.send_lock:
                self.connection.send_bytes(message)
        except OSError as error:
            raise ConnectionClosedError from error

    def receive(self) -> Any:
        """Request a task and wait for it; return its number and the task. Raises `ConnectionClosedError`."""
        with self.receive_lock:
            self.send("ready")
            try:
                return self.connection.recv()
            except (EOFError, OSError) as error:
                raise ConnectionClosedError from error

    @contextmanager
    def sending_errors(self) -> Iterator[None]:
        """Send an exception to the parent at once: other threads of this process may still be waiting for tasks."""
        try:
            yield
        except ConnectionClosedError:
            raise
        except Exception as error:
            self.send("raised", portable(error))
            raise ConnectionClosedError from error


def portable(error: Exception) -> Exception:
    """Return the exception, or a `CryopickError` with its text if it cannot be sent to another process."""
    try:
        ForkingPickler.loads(ForkingPickler.dumps(error))
    except Exception:
        return CryopickError(f"{type(error).__name__}: {error}")
    return error
