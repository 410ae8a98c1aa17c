"""Micrographs picked by the workers of this machine: on its GPUs, which they share, or on its cores."""

from collections.abc import Generator, Iterable
from functools import partial

from cryopick.distributed.capacity import gpu_team
from cryopick.distributed.folder import RunFolder
from cryopick.distributed.pool import run_tasks
from cryopick.distributed.records import Outcome
from cryopick.distributed.settings import RunSettings
from cryopick.distributed.work import Build, Task, lost, start_picking


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
