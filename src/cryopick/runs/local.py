"""How many workers this machine has room for: by its cores, its memory, and its GPUs."""

import os
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cryopick.errors import CryopickError
from cryopick.io.micrographs.headers import read_shape
from cryopick.io.micrographs.sources import MicrographSource
from cryopick.parallel.pool import run_tasks
from cryopick.parallel.process import available_cores
from cryopick.runs.folder import RunFolder
from cryopick.runs.records import Outcome
from cryopick.runs.settings import RunSettings
from cryopick.runs.task import Build, Task, lost, start_picking

GB = 2**30
WORKER_BYTES = GB // 5
"""Python with its libraries, and the files about one micrograph."""
NETWORK_BYTES = GB // 2
"""What torch and a small network take beside that."""
CUDA_BYTES = 2 * GB
"""What a worker on a GPU takes of the machine's own memory, before it has read anything."""
COPIES = 6
"""Copies of a micrograph, as float32, that a worker holds at its peak: five of the one it picks, one read ahead."""
SHARE = 0.8
"""Of the free memory; the rest is left to the disk cache and to others."""
COPIES_ON_GPU = 3
"""The same, of each of the micrographs that a worker on a GPU makes ready, looks at and finishes at a time."""
THREADS = 4
"""Micrographs that a worker on a GPU makes ready at a time; with more threads, Python's lock would make them wait."""
GPU_WORKER_BYTES = 8 * GB
"""Of a GPU's memory for each worker there: enough for Segment Anything."""


@dataclass(frozen=True)
class GpuTeam:
    """How workers share the GPUs.

    Attributes
    ----------
    together : micrographs that each makes ready, looks at and finishes at a time.
    environments : variables that show the workers, in turn, one GPU each.
    """

    together: int
    environments: Sequence[Mapping[str, str]]


def suggest_workers(settings: RunSettings, sources: Sequence[MicrographSource]) -> tuple[int, str]:
    """A number of workers, at least one and no more than there are micrographs, and what it is limited by, in words.

    Looks at the first micrograph whose size can be told. Networks with weights of their own, such as Segment Anything, may take
    more than is reckoned with.
    """
    on_gpu = settings.device == "cuda"
    limits = _gpu_limits() if on_gpu else {(cores := available_cores()): _counted(cores, "core")}
    picture = 4 * _pixels(sources)
    if on_gpu:
        need = CUDA_BYTES + COPIES_ON_GPU * picture * 3 * THREADS
    else:
        need = WORKER_BYTES + COPIES * picture + (NETWORK_BYTES if "device" in settings.settings else 0)
    free = available_memory()
    if free is not None:
        limits.setdefault(max(1, int(SHARE * free / need)), f"{free / GB:.1f} GB of free memory, {need / GB:.1f} GB each")
    limits.setdefault(max(1, len(sources)), "the number of micrographs")
    workers = min(limits)
    return workers, limits[workers]


def gpu_workers() -> int:
    """As many workers as there is room for on the GPUs and the cores, at least one."""
    return min(_gpu_limits())


def gpu_team(workers: int) -> GpuTeam:
    """How so many workers share the GPUs and the cores of this machine."""
    together = min(THREADS, max(1, available_cores() // workers))
    return GpuTeam(together, [{"CUDA_VISIBLE_DEVICES": name} for name in visible_gpus()])


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; schedulers set that to the part that is ours."""
    count = len(_gpu_memories())
    told = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = [name.strip() for name in told.split(",") if name.strip()]
    return names[:count] or [str(index) for index in range(count)]


def _gpu_limits() -> dict[int, str]:
    """A worker for each `THREADS` cores, shared evenly by the GPUs, and no more on one than its memory has room for."""
    memories, cores = _gpu_memories(), available_cores()
    many = max(1, len(memories))
    by_cores = many * max(1, cores // (THREADS * many))
    limits = {by_cores: f"{_counted(many, 'GPU')}, {_counted(cores, 'core')}"}
    if memories:
        by_memory = many * max(1, min(memories) // GPU_WORKER_BYTES)
        limits.setdefault(by_memory, f"{_counted(many, 'GPU')} of {min(memories) / GB:.0f} GB")
    return limits


def _gpu_memories() -> list[int]:
    """Bytes of each GPU that torch sees."""
    import torch

    return [torch.cuda.get_device_properties(index).total_memory for index in range(torch.cuda.device_count())]


def available_memory(meminfo: Path = Path("/proc/meminfo"), group: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes that can be had without swapping, or that a container's limit leaves; None where nothing tells."""
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
    """Bytes of files that a group has read and that go when it needs the memory; they count as used."""
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


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def pick_here(
    tasks: Iterable[Task | None], folder: RunFolder, settings: RunSettings, build: Build, *, workers: int
) -> Generator[tuple[str, Outcome]]:
    """What comes of the tasks, by their stems, in the order in which it comes; see `run_tasks`."""
    start, gone = partial(start_picking, folder, settings, build), partial(lost, folder)
    if settings.device == "cuda":
        team = gpu_team(workers)
        start = partial(start, together=team.together)
        return run_tasks(tasks, start, workers=workers, lost=gone, environments=team.environments)
    return run_tasks(tasks, start, workers=workers, lost=gone)
