"""Cores, threads, environment and signals of this process and its children."""

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def available_cores(proc: Path = Path("/proc/self/cgroup"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the number of cores that this process may use, at least 1: its affinity mask, or its control group's CPU quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([cores, *(int(quota) for quota in _quotas(proc, cgroups))]))


def one_thread_for_children() -> None:
    """Limit OpenMP and BLAS to one thread, in processes started from now on and in libraries not yet imported here."""
    for variable in THREAD_VARIABLES:
        os.environ[variable] = "1"


@contextmanager
def changed_environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Change environment variables within the block; processes that are started there inherit them."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def one_thread() -> None:
    """Limit OpenCV and torch, if they are imported, to one thread in this process; scipy.fft uses one by default.

    BLAS reads its number of threads when it is loaded: call `one_thread_for_children` before that.
    """
    if "cv2" in sys.modules:
        import cv2

        cv2.setNumThreads(1)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)


def _quotas(proc: Path, cgroups: Path) -> list[float]:
    """Yield the CPU quotas, in cores, of the control groups (version 1 or 2) of this process and of their parents."""
    try:
        groups = [line.split(":", 2)[1:] for line in proc.read_text().splitlines() if line.count(":") >= 2]
    except OSError:
        return []
    quotas = []
    for controllers, group in groups:
        if controllers == "" or "cpu" in controllers.split(","):
            folder = cgroups / controllers / group.lstrip("/")
            for level in [folder, *folder.parents]:
                if level.is_relative_to(cgroups):
                    quotas += _quota(level)
    return quotas


def _quota(folder: Path) -> list[float]:
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return [float(quota) / float(period)] if float(quota) > 0 else []
    except (OSError, ValueError):  # no such group here, or "max"
        return []


@contextmanager
def ctrl_c_ignored_by_children() -> Iterator[None]:
    """Make processes that are started within the block ignore Ctrl-C, through a signal mask that they inherit."""
    resource_tracker.ensure_running()  # otherwise the first process starts it, which removes the mask
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
