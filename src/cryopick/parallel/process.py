"""How many cores this process may use, and one thread for each process that computes."""

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
    """Cores that this process may use: its affinity mask, or less where its control group has a CPU quota; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([cores, *(int(quota) for quota in _quotas(proc, cgroups))]))


def one_thread_for_children() -> None:
    """One thread for OpenMP and BLAS in processes started from now on, and in libraries that are not yet imported here."""
    for variable in THREAD_VARIABLES:
        os.environ[variable] = "1"


@contextmanager
def changed_environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Other variables of the environment for a while, which processes that are started then inherit."""
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
    """One thread for OpenCV and torch, where they are imported, in this process; scipy.fft has one unless it is asked for more.

    BLAS reads its number when it is loaded: call `one_thread_for_children` before that.
    """
    if "cv2" in sys.modules:
        import cv2

        cv2.setNumThreads(1)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)


def _quotas(proc: Path, cgroups: Path) -> list[float]:
    """Quotas in cores of the control group (version 2, then 1) of this process and of the groups around it."""
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
def ctrl_c_left_to_this_process() -> Iterator[None]:
    """Processes that are started meanwhile do not hear Ctrl-C: they inherit a mask."""
    resource_tracker.ensure_running()  # else the first process brings it along, and that takes the mask off
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
