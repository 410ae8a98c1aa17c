"""A process that reads inputs one after another, each within a limit of memory and of time."""

import faulthandler
import gc
import logging
import multiprocessing
import os
import resource
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

from cryopick.errors import CryopickError
from fuzzing.targets import Accepted, Target

MEMORY = 2 << 30
"""Bytes that reading one input may take, address space that is never touched included."""
LONGEST_MESSAGE = 5000
INPUTS_A_PROCESS = 400
"""Inputs after which a process is replaced, so that what libraries hold on to does not count as an input's memory."""


@dataclass(frozen=True)
class Verdict:
    """What came of one input.

    Attributes
    ----------
    kind : "read", "refused", or how it failed: "error", "accepted", "warning", "memory", "hang" or "killed".
    place : for failures, the exception and where it was raised, or what was accepted: equal for equal failures.
    detail : the traceback, or the message of the refusal.
    """

    kind: str
    place: str = ""
    detail: str = ""

    @property
    def is_failure(self) -> bool:
        """Whether the program broke its promise."""
        return self.kind not in ("read", "refused")


def read(target: Target, seed: str) -> Verdict:
    """Read the input in the present folder."""
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            target.read(Random(seed))
        verdict = Verdict("read")
    except CryopickError as error:
        message = str(error)
        verdict = Verdict("refused", detail=message)
        if len(message) > LONGEST_MESSAGE:
            verdict = Verdict("accepted", f"a message of more than {LONGEST_MESSAGE} characters from {_place(error)}", message)
    except Accepted as error:
        verdict = Verdict("accepted", str(error)[:200], traceback.format_exc())
    except MemoryError as error:
        verdict = Verdict("memory", _place(error), traceback.format_exc())
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        verdict = Verdict("error", f"{type(error).__name__} at {_place(error)}", traceback.format_exc())
    told = [one for one in caught if issubclass(one.category, RuntimeWarning)]
    if told and not verdict.is_failure:
        one = told[0]
        return Verdict("warning", f"{one.message} at {Path(one.filename).name}:{one.lineno}", str(one))
    return verdict


def _place(error: BaseException) -> str:
    """The innermost line of the package in the traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if f"{os.sep}cryopick{os.sep}" in frame.filename] or frames
    return f"{Path(own[-1].filename).parent.name}/{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "nowhere"


class Worker:
    """A process that reads inputs. It is replaced when it dies, hangs or has read many."""

    def __init__(self, targets: Sequence[Target], *, limit: float) -> None:
        self._targets = {target.name: target for target in targets}
        self._limit = limit
        self._context = multiprocessing.get_context("fork")  # what is imported here need not be imported again
        self._process: multiprocessing.process.BaseProcess | None = None
        self._read = 0

    def __call__(self, name: str, folder: Path, seed: str) -> Verdict:
        """Read the input in a folder."""
        if self._process is None or self._read >= INPUTS_A_PROCESS:
            self.close()
            self._start()
        self._read += 1
        self._pipe.send((name, str(folder), seed))
        if not self._pipe.poll(self._limit):
            self.close()
            return Verdict("hang", f"no answer within {self._limit:g} s")
        try:
            verdict: Verdict = self._pipe.recv()
        except (EOFError, ConnectionError):
            assert self._process is not None
            self._process.join()
            code = self._process.exitcode or 0
            self.close()
            return Verdict("killed", signal.Signals(-code).name if code < 0 else f"exit code {code}")
        return verdict

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
        self._process = None

    def _start(self) -> None:
        self._pipe, other = self._context.Pipe()
        self._process = self._context.Process(target=_serve, args=(other, self._targets), daemon=False)
        self._process.start()
        other.close()
        self._read = 0


def _serve(pipe: Connection, targets: dict[str, Target]) -> None:
    faulthandler.disable()  # what pytest set up
    silent = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # libraries in C write there
        os.dup2(silent, stream)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    sys.setrecursionlimit(1000)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()  # what was imported need not be looked at after each input
    while True:
        try:
            name, folder, seed = pipe.recv()
        except EOFError:
            return
        os.chdir(folder)
        gc.collect()
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, most))
        verdict = read(targets[name], seed)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        pipe.send(verdict)
