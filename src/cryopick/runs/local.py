"""Workers on this machine: as many as cores, memory and GPUs allow."""

import os
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cryopick.errors import CryopickError
from cryopick.io.micrographs.headers import read_shape
from cryopick.io.micrographs.sources import MicrographSource
from cryopick.messages import counted
from cryopick.parallel.pool import run_tasks
from cryopick.parallel.process import available_cores
from cryopick.runs.folder import RunFolder
from cryopick.runs.records import Outcome
from cryopick.runs.settings import RunSettings
from cryopick.runs.task import Build, PickTask, lost, start_picking

GB = 2**30
WORKER_BYTES = GB // 5
"""Memory of Python with its libraries and the files of one micrograph."""
NETWORK_BYTES = GB // 2
"""Additional memory of torch and a small network."""
CUDA_BYTES = 2 * GB
"""Main memory of a worker on a GPU, before it has read anything."""
COPIES = 6
"""Largest number of float32 copies of a micrograph in a worker: five of the one it picks, and one read ahead."""
MEMORY_SHARE = 0.8
"""Share of the free memory to use; the rest is for the disk cache and other programs."""
COPIES_ON_GPU = 3
"""The same for each micrograph that a worker on a GPU prepares, has in the batch or finishes."""
THREADS = 4
"""Number of micrographs that a worker on a GPU prepares at a time; more threads would wait for Python's lock."""
GPU_WORKER_BYTES = 8 * GB
"""GPU memory per worker, sufficient for Segment Anything."""


@dataclass(frozen=True)
class GpuSharing:
    """The share of the GPUs that each worker gets.

    Attributes
    ----------
    batch_size : number of micrographs that each worker prepares, has in the batch and finishes at a time.
    environments : environment variables that assign the workers, in turn, one GPU each.
    """

    batch_size: int
    environments: Sequence[Mapping[str, str]]


def suggest_workers(settings: RunSettings, sources: Sequence[MicrographSource]) -> tuple[int, str]:
    """Suggest a number of workers, from one to the number of micrographs, and name what limits it.

    The memory is estimated from the first micrograph whose header can be read. Large networks, such as Segment Anything, may
    need more.
    """
    on_gpu = settings.device == "cuda"
    limits = _gpu_limits() if on_gpu else {(cores := available_cores()): counted(cores, "core")}
    micrograph_bytes = 4 * _pixels(sources)
    if on_gpu:
        need = CUDA_BYTES + COPIES_ON_GPU * micrograph_bytes * 3 * THREADS
    else:
        need = WORKER_BYTES + COPIES * micrograph_bytes + (NETWORK_BYTES if "device" in settings.settings else 0)
    free = available_memory()
    if free is not None:
        limits.setdefault(max(1, int(MEMORY_SHARE * free / need)), f"{free / GB:.1f} GB of free memory, {need / GB:.1f} GB each")
    limits.setdefault(max(1, len(sources)), "the number of micrographs")
    workers = min(limits)
    return workers, limits[workers]


def gpu_workers() -> int:
    """Return the number of workers, at least one, that the GPUs and the cores allow."""
    return min(_gpu_limits())


def gpu_sharing(workers: int) -> GpuSharing:
    """Divide the GPUs and cores of this machine among a number of workers."""
    batch_size = min(THREADS, max(1, available_cores() // workers))
    return GpuSharing(batch_size, [{"CUDA_VISIBLE_DEVICES": name} for name in visible_gpus()])


def visible_gpus() -> list[str]:
    """List the GPUs that this process may use: the names in CUDA_VISIBLE_DEVICES, which schedulers set, else indices."""
    count = len(_gpu_memories())
    listed = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = [name.strip() for name in listed.split(",") if name.strip()]
    return names[:count] or [str(index) for index in range(count)]


def _gpu_limits() -> dict[int, str]:
    """Return limits with reasons: one worker for each `THREADS` cores, evenly spread over the GPUs, as their memory allows."""
    memories, cores = _gpu_memories(), available_cores()
    many = max(1, len(memories))
    by_cores = many * max(1, cores // (THREADS * many))
    limits = {by_cores: f"{counted(many, 'GPU')}, {counted(cores, 'core')}"}
    if memories:
        by_memory = many * max(1, min(memories) // GPU_WORKER_BYTES)
        limits.setdefault(by_memory, f"{counted(many, 'GPU')} of {min(memories) / GB:.0f} GB")
    return limits


def _gpu_memories() -> list[int]:
    """Return the bytes of each GPU that torch sees."""
    import torch

    return [torch.cuda.get_device_properties(index).total_memory for index in range(torch.cuda.device_count())]


def available_memory(meminfo: Path = Path("/proc/meminfo"), group: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return the bytes available without swapping and within a container's limit; None if unknown."""
    found = []
    try:
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        found.append(int(lines["MemAvailable"].split()[0]) * 1024)
    except (OSError, KeyError, ValueError):
        pass
    for limit, used in (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")):
        try:
            taken = int((group / used).read_text()) - _cached((group / used).with_name("memory.stat"))
            found.append(max(0, int((group / limit).read_text()) - taken))
        except (OSError, ValueError):  # no such group here, or "max"
            continue
    return min(found, default=None)


def _cached(statistics: Path) -> int:
    """Return the bytes of the disk cache that count as used but are freed when the group needs memory."""
    try:
        return int(dict(line.split() for line in statistics.read_text().splitlines())["inactive_file"])
    except (OSError, KeyError, ValueError):
        return 0


def _pixels(sources: Sequence[MicrographSource]) -> int:
    for source in sources[:10]:
        try:
            (height, width), _ = read_shape(source.path)
        except (OSError, CryopickError):
            continue
        return height * width
    return 0


def pick_here(
    tasks: Iterable[PickTask | None], folder: RunFolder, settings: RunSettings, build: Build, *, workers: int
) -> Generator[tuple[str, Outcome]]:
    """Pick on this machine; yield stems and outcomes as they come. See `run_tasks`."""
    start, record_lost = partial(start_picking, folder, settings, build), partial(lost, folder)
    if settings.device == "cuda":
        sharing = gpu_sharing(workers)
        start = partial(start, batch_size=sharing.batch_size)
        return run_tasks(tasks, start, workers=workers, lost=record_lost, environments=sharing.environments)
    return run_tasks(tasks, start, workers=workers, lost=record_lost)
