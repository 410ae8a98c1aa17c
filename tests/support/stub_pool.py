"""Work for the pool's tests; spawned processes import it, so it holds nothing else."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path


def start_hearing() -> Callable[[int], bool]:
    """Whether this process receives Ctrl-C."""
    return lambda number: signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def start_double() -> Callable[[int], int]:
    return lambda number: 2 * number


def start_pid() -> Callable[[int], int]:
    def work(number: int) -> int:
        time.sleep(0.05)
        return os.getpid()

    return work


def start_dying(folder: str, deaths: int) -> Callable[[int], int]:
    """Task 3 kills its process, as often as `deaths`."""

    def work(number: int) -> int:
        died = len(list(Path(folder).iterdir()))
        if number == 3 and died < deaths:
            (Path(folder) / str(died)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    return work


class Overlapping:
    """Staged work. Task 3 kills its process, as often as `deaths`, the first time only once another task is being read."""

    ahead = 1

    def __init__(self, folder: str, deaths: int) -> None:
        self.folder = Path(folder)
        self.deaths = deaths
        self.reads = self.computes = 0

    def read(self, task: int) -> int:
        self.reads += 1
        return task

    def compute(self, read: list[int]) -> list[int]:
        self.computes += 1
        died = len(list(self.folder.iterdir()))
        if read == [3] and died < self.deaths:
            if died == 0:
                self.wait_for_the_next()
            (self.folder / str(died)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return read

    def write(self, task: int) -> int:
        return task

    def wait_for_the_next(self) -> None:
        for _ in range(2000):
            if self.reads > self.computes:
                return
            time.sleep(0.01)
        raise TimeoutError("the next task is not read meanwhile")


class Waiting(Overlapping):
    """Computes no task before the next one is being read."""

    def __init__(self) -> None:
        super().__init__("", 0)

    def compute(self, read: list[int]) -> list[int]:
        self.computes += 1
        self.wait_for_the_next()
        return read


def start_slot() -> Callable[[int], str]:
    def work(number: int) -> str:
        time.sleep(0.05)
        return os.environ["STUB_SLOT"]

    return work


def start_killed(folder: str, deaths: int) -> Callable[[int], int]:
    """The first processes to start, as many as `deaths`, kill themselves."""
    for number in range(deaths):
        try:
            (Path(folder) / str(number)).touch(exist_ok=False)
        except FileExistsError:
            continue
        os.kill(os.getpid(), signal.SIGKILL)
    return lambda number: number


def start_and_die() -> Callable[[int], int]:
    sys.exit(7)


def start_raising() -> Callable[[int], int]:
    def work(number: int) -> int:
        raise ValueError(f"task {number}")

    return work


def start_counting_threads() -> Callable[[int], dict[str, int]]:
    """Import OpenCV and torch, then count threads as the libraries themselves do."""
    import cv2
    import torch

    def work(number: int) -> dict[str, int]:
        import numpy as np
        import scipy.fft

        matrix = np.ones((300, 300), np.float32)
        before = threads_of_process()
        matrix @ matrix
        scipy.fft.rfft2(matrix)
        cv2.GaussianBlur(np.ones((2000, 2000), np.float32), (31, 31), 5)
        torch.ones(300, 300) @ torch.ones(300, 300)
        return {
            "opencv": cv2.getNumThreads(),
            "torch": torch.get_num_threads(),
            "scipy.fft": scipy.fft.get_workers(),
            "more threads after computing": threads_of_process() - before,
        }

    return work


def threads_of_process() -> int:
    return len(list(Path("/proc/self/task").iterdir()))
