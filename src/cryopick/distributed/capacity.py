"""How many workers this machine has room for: by its cores, its memory, and its GPUs."""

from collections.abc import Sequence
from pathlib import Path

from cryopick.distributed.settings import RunSettings
from cryopick.distributed.threads import available_cores
from cryopick.errors import CryopickError
from cryopick.io.headers import read_shape
from cryopick.io.sources import MicrographSource

GB = 2**30
WORKER_BYTES = GB // 5
"""Python with its libraries, and the files about one micrograph."""
NETWORK_BYTES = GB // 2
"""What torch and a small network take beside that."""
COPIES = 5
"""Copies of a micrograph, as float32, that a worker holds at its peak."""
SHARE = 0.8
"""Of the free memory; the rest is left to the disk cache and to others."""


def suggest_workers(settings: RunSettings, sources: Sequence[MicrographSource]) -> tuple[int, str]:
    """A number of workers, at least one and no more than there are micrographs, and what it is limited by, in words.

    Looks at the first micrograph whose size can be told. Networks with weights of their own, such as Segment Anything, may take
    more than is reckoned with.
    """
    if settings.device == "cuda":
        return 1, "one for the GPU"
    cores = available_cores()
    need = WORKER_BYTES + COPIES * 4 * _pixels(sources) + (NETWORK_BYTES if "device" in settings.settings else 0)
    limits = {cores: f"{cores} cores"}
    free = available_memory()
    if free is not None:
        limits.setdefault(max(1, int(SHARE * free / need)), f"{free / GB:.1f} GB of free memory, {need / GB:.1f} GB each")
    limits.setdefault(max(1, len(sources)), "the number of micrographs")
    workers = min(limits)
    return workers, limits[workers]


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
            found.append(max(0, int((group / limit).read_text()) - int((group / used).read_text())))
        except (OSError, ValueError):  # no such group here, or "max"
            continue
    return min(found, default=None)


def _pixels(sources: Sequence[MicrographSource]) -> int:
    for source in sources[:10]:
        try:
            (height, width), _ = read_shape(source.path)
        except (OSError, CryopickError):
            continue
        return height * width
    return 0
