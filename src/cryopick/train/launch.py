"""The processes that train together: one, one for each of several devices, or those that torchrun or SLURM started."""

import os
from typing import Any, Literal

import torch
import torch.distributed as dist

from cryopick.errors import MissingExtraError, SettingError

Accelerator = Literal["auto", "cpu", "cuda"]
Precision = Literal["32-true", "bf16-mixed"]


def launch(*, accelerator: Accelerator, devices: int, nodes: int = 1, precision: Precision) -> Any:
    """A launched `lightning.fabric.Fabric`.

    With several devices this script is started once more for each of them. Under torchrun its numbers of processes and nodes
    are taken; under SLURM's srun there must be as many tasks on each node as devices.

    Raises `MissingExtraError` where Lightning is not installed, `SettingError` where those processes cannot be.
    """
    try:
        from lightning.fabric import Fabric
        from lightning.fabric.utilities.exceptions import MisconfigurationException
    except ImportError as error:
        raise MissingExtraError("train", "training") from error
    devices, nodes = _torchrun() or (devices, nodes)
    try:
        fabric = Fabric(accelerator=accelerator, devices=devices, num_nodes=nodes, precision=precision)
        fabric.launch()
    except (ValueError, RuntimeError, MisconfigurationException) as error:
        raise SettingError(f"{devices} devices on each of {nodes} nodes cannot train: {error}") from error
    if fabric.world_size != devices * nodes:
        raise SettingError(
            f"{devices} devices on each of {nodes} nodes need {devices * nodes} processes, but {fabric.world_size} were started; "
            "under SLURM give --ntasks-per-node and start the command with srun"
        )
    return fabric


def is_first_process() -> bool:
    """Whether this process is the one that talks and writes, also before `launch`."""
    from lightning.fabric.utilities import rank_zero_only

    return bool(getattr(rank_zero_only, "rank", 0) == 0)


def mean_over_processes(number: float, *, device: torch.device) -> float:
    """The mean of a number over the processes that train together; on one process the number. All have to call it."""
    if not (dist.is_available() and dist.is_initialized()):
        return number
    total = torch.tensor(number, device=device)
    dist.all_reduce(total)
    return float(total) / dist.get_world_size()


def _torchrun() -> tuple[int, int] | None:
    """Processes on each node, and nodes, of the torchrun that started this process; None where none did."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return None
    on_each = int(os.environ["LOCAL_WORLD_SIZE"])
    return on_each, int(os.environ["WORLD_SIZE"]) // on_each
