"""Several processes train like one: they share each batch and have equal weights."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import train_lines

from cryopick.errors import SettingError
from cryopick.train.launch import launch
from cryopick.train.log import LOG, read_table
from cryopick.train.loop import LAST, LoopSettings, Trainer

pytest.importorskip("lightning.fabric")


def flat(path: Path, kind: str) -> torch.Tensor:
    return torch.cat([value.flatten() for value in torch.load(path, weights_only=True)[kind].values()])


def points(out: Path, rank: int) -> list[set[str]]:
    return [set(step.split()) for step in (out / f"seen-{rank}.txt").read_text().splitlines()]


@pytest.mark.slow
def test_two_processes_share_each_batch_and_reach_the_weights_of_one(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    train_lines.main(one, 1)
    environment = {**os.environ, "PYTHONPATH": str(Path(train_lines.__file__).parent), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, train_lines.__file__, str(two), "2"], check=True, env=environment, timeout=200)
    for whole, first, second in zip(points(one, 0), points(two, 0), points(two, 1), strict=True):
        assert len(first) == len(second) == 4
        assert first | second == whole
    for kind in ("model", "average"):
        assert torch.equal(flat(two / "weights-0.pt", kind), flat(two / "weights-1.pt", kind))
        torch.testing.assert_close(flat(two / "weights-0.pt", kind), flat(one / "weights-0.pt", kind), rtol=1e-4, atol=1e-6)
    alone, together = read_table(one / LOG), read_table(two / LOG)
    assert len(together["loss"]) == 2
    for name in ("loss", "score"):
        assert together[name] == pytest.approx(alone[name], rel=1e-4)
    assert (two / LAST).exists()
    assert [(folder / f"mean-{rank}.txt").read_text() for folder, rank in ((one, 0), (two, 0), (two, 1))] == ["1.0", "1.5", "1.5"]


def test_a_batch_that_cannot_be_shared_evenly_raises(tmp_path):
    fabric = SimpleNamespace(world_size=3)
    with pytest.raises(SettingError, match="multiple of the 3 processes"):
        Trainer(train_lines.Fit(1), train_lines.Lines(), LoopSettings(batch=8), fabric=fabric, out=tmp_path)


def test_a_slurm_job_with_unequal_tasks_and_devices_raises(monkeypatch):
    for name, value in (("JOB_NAME", "train"), ("NTASKS", "1"), ("NTASKS_PER_NODE", "1"), ("PROCID", "0"), ("LOCALID", "0")):
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("SLURM_NODEID", "0")
    with pytest.raises(SettingError, match="ntasks-per-node=1"):
        launch(accelerator="cpu", devices=2, precision="32-true")


def test_numbers_of_processes_are_taken_from_torchrun(monkeypatch):
    from cryopick.train.launch import _torchrun

    assert _torchrun() is None
    for name, value in (("TORCHELASTIC_RUN_ID", "7"), ("LOCAL_WORLD_SIZE", "4"), ("WORLD_SIZE", "8")):
        monkeypatch.setenv(name, value)
    assert _torchrun() == (4, 2)
