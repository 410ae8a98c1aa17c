"""The training loop optimises, saves the best weights and resumes exactly."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cryopick.errors import FileError, SettingError
from cryopick.randomness import generator
from cryopick.train.log import LOG, read_table
from cryopick.train.loop import BEST, LAST, LoopSettings, Trainer, _moving_average, learning_rate_factor

Fabric = pytest.importorskip("lightning.fabric").Fabric
SETTINGS = LoopSettings(
    steps=40, batch=16, learning_rate=0.05, weight_decay=0.0, warmup=4, ema=0.8, validate_every=20, tensorboard=False
)


class KilledError(Exception):
    pass


class Lines:
    """Points of y = 2x − 1; the batch of a step depends on the step alone."""

    def batches(self, first, last, *, count, rank, world):
        for step in range(first, last):
            x = generator(0, "batch", step).standard_normal((count, 1)).astype(np.float32)[rank::world]
            yield {"x": torch.from_numpy(x), "y": torch.from_numpy(2 * x - 1)}


class Fit:
    def __init__(self, scores=None):
        torch.manual_seed(1)
        self.model = nn.Sequential(nn.Linear(1, 8), nn.BatchNorm1d(8), nn.Dropout(0.1), nn.Linear(8, 1))
        self.scores = iter(scores) if scores is not None else None

    def parameter_groups(self):
        return [{"params": list(self.model.parameters())}]

    def losses(self, model, batch):
        loss = (model(batch["x"]) - batch["y"]).square().mean()
        return {"loss": loss, "squared": loss.detach()}

    def validate(self, model, device):
        if self.scores is not None:
            return {"score": next(self.scores)}
        x = torch.linspace(-1, 1, 9)[:, None]
        return {"score": -float((model(x) - (2 * x - 1)).square().mean())}


def trainer(out: Path, task=None, settings=SETTINGS) -> Trainer:
    return Trainer(task or Fit(), Lines(), settings, fabric=Fabric(accelerator="cpu", devices=1), out=out)


def weights(path: Path) -> torch.Tensor:
    return torch.cat([value.flatten().double() for value in torch.load(path, weights_only=True).values()])


def test_training_fits_a_line(tmp_path):
    assert -trainer(tmp_path).run() < 0.1 * (4 / 3 + 1)  # the mean square of 2x − 1 on [−1, 1] is 4/3 + 1


def test_a_killed_run_resumes_to_identical_weights_and_log(tmp_path):
    def kill_at_27(step, _):
        if step == 27:
            raise KilledError

    trainer(tmp_path / "whole").run()
    with pytest.raises(KilledError):
        trainer(tmp_path / "killed").run(on_step=kill_at_27)
    resumed = trainer(tmp_path / "killed")
    assert resumed.step == 20
    resumed.run()
    assert torch.equal(weights(tmp_path / "whole" / BEST), weights(tmp_path / "killed" / BEST))
    assert (tmp_path / "whole" / LOG).read_text() == (tmp_path / "killed" / LOG).read_text()


def test_a_row_written_just_before_a_kill_is_not_repeated(tmp_path):
    def kill_at_27(step, _):
        if step == 27:
            raise KilledError

    with pytest.raises(KilledError):
        trainer(tmp_path).run(on_step=kill_at_27)
    with (tmp_path / LOG).open("a") as log:
        log.write("40,0.05,1,1,-1\n60,0.0")
    trainer(tmp_path).run()
    assert read_table(tmp_path / LOG)["step"] == [20, 40]


def test_a_run_that_is_killed_before_its_first_checkpoint_again_and_again_resumes(tmp_path):
    def kill_at_7(step, _):
        if step == 7:
            raise KilledError

    trainer(tmp_path / "whole").run()
    whole = (tmp_path / "whole" / LOG).read_text()
    for left in ("", whole, whole.partition("\n")[0] + "\n20,0.05,1,1", "step,learn", whole.partition("\n")[0] + "\n"):
        (tmp_path / "killed").mkdir(exist_ok=True)
        (tmp_path / "killed" / LOG).write_text(left)  # of a run that was killed between the table and its first checkpoint
        for _ in range(2):
            with pytest.raises(KilledError):
                trainer(tmp_path / "killed").run(on_step=kill_at_7)
            assert (tmp_path / "killed" / LOG).read_text() == ""
    trainer(tmp_path / "killed").run()
    assert (tmp_path / "killed" / LOG).read_text() == whole


@pytest.mark.parametrize("content", [b"notes\n20,1\n", b"step,score\n20,1\nx,1\n20,2\n", b"\xff\xfe\n\x00\n"])
def test_a_log_that_is_damaged_is_refused_by_name(tmp_path, content):
    (tmp_path / LOG).write_bytes(content)
    with pytest.raises(FileError, match=r"metrics\.csv: is damaged"):
        trainer(tmp_path).run()
    assert (tmp_path / LOG).read_bytes() == content


def test_a_checkpoint_that_is_damaged_or_of_another_network_raises(tmp_path):
    trainer(tmp_path).run()
    other = Fit()
    other.model = nn.Linear(2, 7)
    with pytest.raises(FileError, match="other settings"):
        trainer(tmp_path, other)
    (tmp_path / LAST).write_bytes((tmp_path / LAST).read_bytes()[:300])
    with pytest.raises(FileError, match="damaged"):
        trainer(tmp_path)


def test_the_best_weights_are_saved_and_patience_ends_the_run(tmp_path):
    settings = LoopSettings(steps=100, batch=4, validate_every=10, patience=2, tensorboard=False)
    run = trainer(tmp_path, Fit(scores=[0.1, 0.5, 0.4, 0.3, 0.9]), settings)
    assert run.run() == 0.5
    assert run.step == 40
    assert torch.load(tmp_path / LAST, weights_only=True)["step"] == 40


def test_a_run_that_stopped_early_does_not_resume(tmp_path):
    settings = LoopSettings(steps=100, batch=4, validate_every=10, patience=1, tensorboard=False)
    trainer(tmp_path, Fit(scores=[0.5, 0.4]), settings).run()
    again = trainer(tmp_path, Fit(scores=[]), settings)
    assert again.out_of_patience()
    assert again.run() == 0.5


def test_the_moving_average_decays_quickly_at_first_and_then_as_set():
    # A weight that is 0 at first and 1 from then on: decays 2/11, 3/12, then 0.3 leave 2/11 · 3/12 · 0.3 of the first value.
    update, average = _moving_average(0.3), [torch.zeros(1)]
    for count in (1, 2, 3):
        update(average, [torch.ones(1)], count)
    assert average[0].item() == pytest.approx(1 - 2 / 11 * 3 / 12 * 0.3)


def test_learning_rates_warm_up_and_then_follow_the_schedule():
    cosine = LoopSettings(steps=110, warmup=10)
    assert [learning_rate_factor(step, cosine) for step in (0, 9)] == [0.1, 1.0]
    assert learning_rate_factor(60, cosine) == pytest.approx(0.5)
    assert learning_rate_factor(110, cosine) == pytest.approx(0.0)
    drop = LoopSettings(steps=300, warmup=0, schedule="drop")
    assert [learning_rate_factor(step, drop) for step in (0, 199, 200)] == [1.0, 1.0, 0.1]


def test_a_loss_that_is_not_finite_raises(tmp_path):
    task = Fit()
    with torch.no_grad():
        task.model[0].weight.fill_(math.inf)
    with pytest.raises(SettingError, match=r"lower loop\.learning_rate \(0\.05\)"):
        trainer(tmp_path, task).run()


def test_invalid_settings_raise():
    with pytest.raises(SettingError, match="batch must be at least 1"):
        LoopSettings(batch=0)
