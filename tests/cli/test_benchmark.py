"""`cryopick benchmark` from the command line."""

import runpy
import sys
from contextlib import suppress
from unittest.mock import patch

import numpy as np
import pytest
from typer.testing import CliRunner

from cryopick.benchmark.timing import cases as timing
from cryopick.benchmark.timing import throughput
from cryopick.benchmark.timing.usage import Cost
from cryopick.cli import app
from cryopick.errors import SettingError
from cryopick.io.micrographs.files import write_micrograph


@pytest.fixture
def folder(tmp_path, rng):
    root = tmp_path / "mine"
    write_micrograph(root / "micrographs" / "one.mrc", rng.standard_normal((100, 120), dtype=np.float32), pixel_size=2.0)
    (root / "truth").mkdir()
    (root / "truth" / "one.csv").write_text("x,y,diameter\n30,30,20\n70,40,20\n")
    return root


def run(*words):
    return CliRunner().invoke(app, ["benchmark", *map(str, words)], catch_exceptions=False)


def test_picks_of_two_programs_are_compared_in_tables_and_figures(folder, tmp_path):
    for name, text in (("half", "x,y\n31,30\n"), ("all", "x,y\n30,30\n70,41\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "one.csv").write_text(text)
    words = ["--pickers", "", "--picks", f"half={tmp_path / 'half'}", "--picks", f"all={tmp_path / 'all'}"]
    ran = run(folder, *words, "--run", "topaz=/none/topaz", "--out", tmp_path / "out")
    assert ran.exit_code == 0
    assert "skipped: /none/topaz is not installed" in ran.stderr
    table = (tmp_path / "out" / "tables" / "mine-matching.md").read_text()
    assert "| half | 1.000 | 0.500 | 0.667 |" in table
    assert "| all | 1.000 | 1.000 | 1.000 |" in table
    drawn = {path.name for path in (tmp_path / "out" / "figures").iterdir()}
    assert drawn == {"mine-curves.png", "mine-disagreements.png"}
    assert "from an earlier run" in run(folder, *words, "--out", tmp_path / "out").stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--pickers", ""], "at least one of"),
        (["--pickers", "log"], "give DATA, --simulated or --time"),
        (["--pickers", "", "--picks", "x"], "NAME=PATH"),
        (["--pickers", "log", "--picks", "log=x"], "different names, got log, log"),
        (["--simulated", "huge"], "tiny, small, full"),
        (["--references", "/none/{set}.mrcs"], "--references: /none/{set}.mrcs does not exist"),
        (["--run", "published"], "needs --time"),
        (["--time", "--pickers", ""], "at least one of"),
        (["--time", "--sizes", "big"], "--sizes must be sides in pixels"),
    ],
)
def test_bad_options_are_errors_that_say_what_to_give(tmp_path, words, message):
    with pytest.raises(SettingError, match=message):
        run(*words, "--out", tmp_path)


def run_here(command, log, *, variables):
    """Run `python -m MODULE …` in this process, since to start Python and import torch takes longer than all else."""
    assert command[:2] == [sys.executable, "-m"]
    with patch.object(sys, "argv", command[2:]), suppress(SystemExit):
        runpy.run_module(command[2], run_name="__main__")
    return Cost(wall=1.0, cpu=1.0, peak_mib=100.0)


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
def test_times_are_measured_without_data_and_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "available_cores", lambda: 1)
    monkeypatch.setattr(timing, "repeat_timing", lambda once, *, repeats: [once()])
    monkeypatch.setattr(throughput, "EACH", 2)
    for module in (timing, throughput):
        monkeypatch.setattr(module, "run_and_measure", run_here)
    words = ["--time", "--sizes", "256", "--pickers", "log", "--repeats", "1", "--out", tmp_path]
    ran = run(*words)
    assert ran.exit_code == 0
    cells = (tmp_path / "tables" / "time-stages.csv").read_text().splitlines()[1].split(",")
    assert cells[:3] == ["256", "log", "cpu"]
    kept = run(*words).stdout
    assert kept.count("from an earlier run") == kept.count(" s (from") == len(list((tmp_path / "timings").iterdir())) > 2
