"""The processes of a training run: one per device, started here, by torchrun or by SLURM."""

import os
from typing import Any, Literal

import torch
import torch.distributed as dist

from cryopick.errors import MissingExtraError, SettingError

Accelerator = Literal["auto", "cpu", "cuda"]
Precision = Literal["32-true", "bf16-mixed"]


def launch(*, accelerator: Accelerator, devices: int, nodes: int = 1, precision: Precision) -> Any:
    """Launch a `lightning.fabric.Fabric` with one process per device.

    With several devices, the current script is started again for each of them. Under torchrun, its numbers of processes and
    nodes replace `devices` and `nodes`; under SLURM's srun, each node must have as many tasks as devices.

    Raises `MissingExtraError` if Lightning is not installed, and `SettingError` if the processes cannot be started.
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
        raise SettingError(f"training on devices={devices}, nodes={nodes} failed to start: {error}") from error
    if fabric.world_size != devices * nodes:
        raise SettingError(
            f"devices={devices}, nodes={nodes} need {devices * nodes} processes, but {fabric.world_size} were started; "
            "under SLURM set --ntasks-per-node and start the command with srun"
        )
    return fabric


def is_first_process() -> bool:
    """Return whether this process is the one that prints and writes; also valid before `launch`."""
    from lightning.fabric.utilities import rank_zero_only

    return bool(getattr(rank_zero_only, "rank", 0) == 0)


def mean_over_processes(number: float, *, device: torch.device) -> float:
    """Average a number over all processes of the run, each of which must call this."""
    if not (dist.is_available() and dist.is_initialized()):
        return number
    total = torch.tensor(number, device=device)
    dist.all_reduce(total)
    return float(total) / dist.get_world_size()


def _torchrun() -> tuple[int, int] | None:
    """Return processes per node and number of nodes of the torchrun that started this process; None if none did."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return None
    on_each = int(os.environ["LOCAL_WORLD_SIZE"])
    return on_each, int(os.environ["WORLD_SIZE"]) // on_each
