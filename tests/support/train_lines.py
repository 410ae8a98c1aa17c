"""A training of a line by as many processes as asked for: `python train_lines.py OUT DEVICES`.

Each process leaves `seen-RANK.txt`, the points that it was given in each step, `weights-RANK.pt`, its weights and average,
and `mean-RANK.txt`, the mean over the processes of their ranks counted from 1.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from cryopick.randomness import generator
from cryopick.train.launch import is_first_process, launch, mean_over_processes
from cryopick.train.loop import LoopSettings, Trainer

SETTINGS = LoopSettings(steps=6, batch=8, learning_rate=0.05, warmup=2, ema=0.8, validate_every=3, tensorboard=False)


class Lines:
    """Points of y = 2x − 1; no two of all steps are the same."""

    def __init__(self) -> None:
        self.seen: list[list[float]] = []

    def batches(self, first, last, *, count, rank, world):
        for step in range(first, last):
            x = torch.from_numpy(generator(0, "batch", step).standard_normal((count, 1)).astype(np.float32)[rank::world])
            self.seen.append(x.flatten().tolist())
            yield {"x": x, "y": 2 * x - 1}


class Fit:
    def __init__(self, first_weights: int) -> None:
        torch.manual_seed(first_weights)
        self.model = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))

    def parameter_groups(self):
        return [{"params": list(self.model.parameters())}]

    def losses(self, model, batch):
        return {"loss": (model(batch["x"]) - batch["y"]).square().mean()}

    def validate(self, model, device):
        x = torch.linspace(-1, 1, 9)[:, None]
        return {"score": -float((model(x) - (2 * x - 1)).square().mean())}


def main(out: Path, devices: int) -> None:
    fabric = launch(accelerator="cpu", devices=devices, precision="32-true")
    out.mkdir(parents=True, exist_ok=True)
    mean = mean_over_processes(1.0 + fabric.global_rank, device=fabric.device)
    (out / f"mean-{fabric.global_rank}.txt").write_text(str(mean))
    data = Lines()
    run = Trainer(Fit(first_weights=1 + fabric.global_rank), data, SETTINGS, fabric=fabric, out=out)
    calls: list[int] = []
    run.run(on_step=lambda step, _: calls.append(step))
    assert is_first_process() == (fabric.global_rank == 0)
    assert bool(calls) == is_first_process()
    assert run.average is not None
    state = {"model": run.task.model.state_dict(), "average": run.average.module.state_dict()}
    torch.save(state, out / f"weights-{fabric.global_rank}.pt")
    (out / f"seen-{fabric.global_rank}.txt").write_text("\n".join(" ".join(map(repr, step)) for step in data.seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
