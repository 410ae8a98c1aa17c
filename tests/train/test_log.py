"""The log of a training run, and the record of its settings."""

import pytest
import yaml

from cryopick.errors import FileError, MissingExtraError, SettingError
from cryopick.files import leftovers
from cryopick.provenance import RUN, record_run
from cryopick.train.log import CURVES, EVENTS, LOG, TrainingLog, read_table


def note(book: TrainingLog, *steps: int) -> None:
    for step in steps:
        book.log_step(step, {"loss": 1.0 / step, "dice": 0.5})
        book.log_validation(step, 1e-3, {"loss": 1.0 / step, "dice": 0.5}, {"score": step / 100, "threshold": 0.4})


def test_each_validation_adds_a_row_and_redraws_the_curves(tmp_path):
    book = TrainingLog(tmp_path, step=0, tensorboard=False)
    note(book, 10)
    first = (tmp_path / CURVES).read_bytes()
    note(book, 20)
    assert first[:8] == b"\x89PNG\r\n\x1a\n" == (tmp_path / CURVES).read_bytes()[:8]
    assert first != (tmp_path / CURVES).read_bytes()
    assert leftovers(tmp_path) == []
    assert read_table(tmp_path / LOG) == {
        "step": [10, 20],
        "learning_rate": [1e-3, 1e-3],
        "loss": [0.1, 0.05],
        "dice": [0.5, 0.5],
        "score": [0.1, 0.2],
        "threshold": [0.4, 0.4],
    }


def test_tensorboard_gets_losses_metrics_and_rate_without_the_last_events_of_a_killed_run(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    book = TrainingLog(tmp_path, step=0, tensorboard=True)
    note(book, 10, 20, 30)
    book.close()
    resumed = TrainingLog(tmp_path, step=20, tensorboard=True)
    note(resumed, 30)
    resumed.close()
    events = EventAccumulator(str(tmp_path / EVENTS)).Reload()
    assert set(events.Tags()["scalars"]) == {
        "training/loss",
        "training/dice",
        "validation/score",
        "validation/threshold",
        "learning_rate",
    }
    assert [event.step for event in events.Scalars("validation/score")] == [10, 20, 30]
    assert events.Scalars("training/loss")[0].value == pytest.approx(0.1)
    assert read_table(tmp_path / LOG)["step"] == [10, 20, 30]


def test_a_missing_tensorboard_raises_with_two_remedies(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"loop\.tensorboard=false.*pip install"):
        TrainingLog(tmp_path, step=0, tensorboard=True)


def test_a_run_resumes_only_with_the_same_settings(tmp_path):
    settings = {"width": 8, "loop": {"steps": 100, "seed": 3}, "range": (1.0, 2.0), "init": None}
    record_run(tmp_path, settings, resumed=False)
    written = yaml.safe_load((tmp_path / RUN).read_text())
    assert written["train"]["loop"] == {"steps": 100, "seed": 3}
    assert {"python", "torch", "numpy"} <= set(written["versions"])
    record_run(tmp_path, settings, resumed=True)
    with pytest.raises(SettingError, match=r"\(loop.seed was 3, now 4; range was \[1.0, 2.0\], now \[1.0, 3.0\]\)"):
        record_run(tmp_path, {**settings, "loop": {"steps": 100, "seed": 4}, "range": (1.0, 3.0)}, resumed=True)
    assert yaml.safe_load((tmp_path / RUN).read_text()) == written
    record_run(tmp_path, {**settings, "width": 9}, resumed=False)  # nothing was trained yet
    assert yaml.safe_load((tmp_path / RUN).read_text())["train"]["width"] == 9


def test_a_file_that_is_not_a_record_raises(tmp_path):
    (tmp_path / RUN).write_text("picks: 3\n")
    with pytest.raises(FileError, match="not the record of a run of cryopick train"):
        record_run(tmp_path, {}, resumed=True)
