"""`cryopick pick` from micrographs to files, with the `log` picker."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner, Result

from cryopick import cli
from cryopick.evaluate import evaluate_picks
from cryopick.io.micrographs.files import read_micrograph, write_micrograph
from cryopick.io.picks.formats import read_picks
from cryopick.io.tables.star import star_text
from cryopick.pickers import PICKERS
from cryopick.types import Picks

DIAMETER_PX = 24
PIXEL_SIZE = 3.0


@pytest.fixture(scope="module")
def truth() -> list[Picks]:
    """Discs on a jittered grid, on three micrographs."""
    rng = np.random.default_rng(11)
    grid = np.stack(np.meshgrid(np.arange(40, 470, 50), np.arange(40, 350, 50)), axis=-1).reshape(-1, 2)
    return [Picks(f"m{index}.mrc", grid + rng.uniform(-8, 8, grid.shape), pixel_size=PIXEL_SIZE) for index in range(3)]


@pytest.fixture(scope="module")
def micrographs(truth: list[Picks], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The discs, darker than noise of twice their contrast."""
    folder = tmp_path_factory.mktemp("micrographs")
    rng = np.random.default_rng(12)
    y, x = np.mgrid[:384, :512]
    for particles in truth:
        pixels = rng.normal(0, 2, y.shape)
        for centre_x, centre_y in particles.xy:
            pixels -= np.hypot(x - centre_x, y - centre_y) < DIAMETER_PX / 2
        write_micrograph(folder / particles.micrograph, pixels.astype(np.float32), pixel_size=PIXEL_SIZE)
    return folder


def run(*words: object) -> Result:
    return CliRunner().invoke(cli.app, ["pick", *map(str, words), "--workers", "1"], catch_exceptions=False)


def exit_code(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """Of the installed command, which also turns errors into codes."""
    monkeypatch.setattr(sys, "argv", ["cryopick", "pick", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_particles_are_found_and_counted(micrographs, truth, tmp_path):
    result = run(micrographs, "--out", tmp_path / "out", "--diameter", DIAMETER_PX * PIXEL_SIZE)
    assert result.exit_code == 0
    found = read_picks(tmp_path / "out" / "particles.star")
    assert f"{sum(map(len, found))} particles on 3 micrographs" in result.output
    assert evaluate_picks(found, truth, diameter=DIAMETER_PX * PIXEL_SIZE).f1 > 0.9


def test_settings_reach_the_picker_and_run_yaml(micrographs, tmp_path):
    options = [
        "--set",
        "spacing=0.9",
        "--threshold",
        "0.7",
        "--diameter",
        "72",
        "--seed",
        "5",
        "--to",
        "box",
        "--no-previews",
    ]
    assert run(micrographs, "--out", tmp_path / "out", *options).exit_code == 0
    content = yaml.safe_load((tmp_path / "out" / "run.yaml").read_text())["pick"]
    assert (content["settings"]["spacing"], content["settings"]["threshold"]) == (0.9, 0.7)
    assert (content["diameter"], content["seed"], content["previews"]) == (72.0, 5, False)
    assert min(picks.scores.min() for picks in read_picks(tmp_path / "out" / "particles.star")) >= 0.7
    assert len(list((tmp_path / "out" / "box").glob("*.box"))) == 3
    assert not (tmp_path / "out" / "previews").exists()


def test_an_omitted_diameter_is_estimated_once_and_kept_for_the_next_run(micrographs, tmp_path):
    printed = run(micrographs / "m0.mrc", "--out", tmp_path / "out").output
    line = next(line for line in printed.splitlines() if line.startswith("particle diameter: "))
    assert line.endswith("Å (estimated from 1 micrograph); --diameter overrides it")
    diameter = float(line.split()[2])
    assert 0.5 < diameter / (DIAMETER_PX * PIXEL_SIZE) < 2  # flat discs look larger than they are to a network for proteins
    again = run(micrographs, "--out", tmp_path / "out")
    assert again.exit_code == 0
    assert line in again.output
    rows = (tmp_path / "out" / "micrographs.csv").read_text().splitlines()
    column = rows[0].split(",").index("diameter")
    assert [float(row.split(",")[column]) for row in rows[1:]] == [diameter] * 3


def test_a_failed_micrograph_is_named_and_the_exit_code_is_1(micrographs, tmp_path):
    (tmp_path / "bad.mrc").write_bytes(b"short")
    result = run(micrographs, tmp_path / "bad.mrc", "--out", tmp_path / "out", "--diameter", 72)
    assert result.exit_code == 1
    assert "1 micrograph failed" in result.output
    assert "bad.mrc: " in result.output
    found = read_picks(tmp_path / "out" / "particles.star")
    assert len(found) == 3
    assert f"{sum(map(len, found)) / 3:.0f} picks each" in result.output  # on those that were picked


def test_a_diameter_of_few_pixels_gives_a_warning_before_the_run(micrographs, tmp_path):
    warning = "30 Å are only 10 pixels in m0.mrc"
    assert warning in run(micrographs / "m0.mrc", "--out", tmp_path / "small", "--diameter", 30).output  # at 3 Å per pixel
    assert "are only" not in run(micrographs / "m0.mrc", "--out", tmp_path / "usual", "--diameter", 72).output


def test_a_diameter_in_pixels_for_lack_of_a_pixel_size_is_mentioned_once(micrographs, tmp_path):
    for name in ("a.mrc", "b.mrc"):
        write_micrograph(tmp_path / name, read_micrograph(micrographs / "m0.mrc").pixels)
    line = "has no pixel size: --diameter 24 is in pixels; with --pixel-size it is in Å"
    assert run(tmp_path, "--out", tmp_path / "out", "--diameter", DIAMETER_PX).output.count(line) == 1
    assert "no pixel size" not in run(micrographs, "--out", tmp_path / "known", "--diameter", 72).output


def test_without_particles_the_output_says_what_to_check(micrographs, tmp_path):
    result = run(micrographs / "m0.mrc", "--out", tmp_path / "out", "--threshold", 1)
    assert result.exit_code == 0
    assert "no particles found: check --diameter (in Å), --pixel-size and --threshold" in result.output


def test_a_diameter_too_small_for_the_picker_fails_each_micrograph_with_the_reason(micrographs, tmp_path):
    result = run(micrographs / "m0.mrc", "--out", tmp_path / "out", "--diameter", 0.6)
    assert result.exit_code == 1
    assert "m0.mrc: the particle diameter must be at least 4 pixels, got 0.2" in result.output


def test_a_truncated_micrograph_fails_unless_it_is_salvaged(micrographs, tmp_path):
    whole = sorted(micrographs.glob("*.mrc"))[0]
    short = tmp_path / "in" / "short.mrc"
    short.parent.mkdir()
    short.write_bytes(whole.read_bytes()[: whole.stat().st_size * 3 // 4])
    assert run(short, "--out", tmp_path / "strict", "--diameter", 72).exit_code == 1
    assert run(short, "--out", tmp_path / "salvaged", "--diameter", 72, "--salvage").exit_code == 0
    [picks] = read_picks(tmp_path / "salvaged" / "particles.star")
    height = read_micrograph(whole).shape_hw[0]
    assert len(picks) > 3
    assert picks.xy[:, 1].max() < 0.75 * height


def test_a_resumed_run_says_how_many_micrographs_were_picked_before(micrographs, tmp_path):
    run(micrographs / "m0.mrc", "--out", tmp_path / "out", "--diameter", 72)
    result = run(micrographs, "--out", tmp_path / "out", "--diameter", 72)
    assert result.exit_code == 0
    assert "1 of 3 micrographs was picked by an earlier run" in result.output
    assert "3 micrographs, 1 of them from an earlier run" in result.output


def test_micrographs_of_an_earlier_run_that_are_not_inputs_are_excluded_from_the_files(micrographs, tmp_path):
    run(micrographs, "--out", tmp_path / "out", "--diameter", 72)
    result = run(micrographs / "m1.mrc", "--out", tmp_path / "out", "--diameter", 72)
    assert "2 micrographs of earlier runs" in result.output
    assert [picks.micrograph for picks in read_picks(tmp_path / "out" / "particles.star")] == ["m1.mrc"]


def test_sigterm_exits_with_130_and_says_how_to_resume(micrographs, tmp_path, monkeypatch):
    monkeypatch.setitem(PICKERS._entries, "stub", "stub_pickers:StubPicker")
    result = run(micrographs, "--out", tmp_path / "out", "--picker", "stub", "--set", "stop_on=m1")
    assert result.exit_code == 130
    assert "run the same command again to resume" in result.output
    assert [picks.micrograph for picks in read_picks(tmp_path / "out" / "particles.star")] == ["m0.mrc"]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_print_job_prints_the_job_script_and_submits_nothing(micrographs, tmp_path, monkeypatch):
    pytest.importorskip("dask_jobqueue", reason="the extra cluster is not installed")
    monkeypatch.chdir(tmp_path)
    result = run(micrographs, "--out", "out", "--cluster", "slurm", "--job-cores", "3", "--job-extra=--gres=gpu:1", "--print-job")
    assert result.exit_code == 0
    assert {"#SBATCH --cpus-per-task=3", "#SBATCH --gres=gpu:1"} <= set(result.output.splitlines())
    assert not Path("out", "run.yaml").exists()


def test_shards_pick_their_parts_and_the_last_writes_the_joint_files(micrographs, tmp_path):
    words = [micrographs, "--out", tmp_path / "out", "--diameter", 72, "--no-previews"]
    first = run(*words, "--shard", "1/2")
    assert first.exit_code == 0
    assert "2 micrographs: the last shard writes" in first.output
    early = run(*words, "--assemble")
    assert early.exit_code == 1
    assert "1 micrograph not picked yet" in early.output
    assert f"particles on 1 micrograph: {tmp_path / 'out' / 'particles.star'}" in run(*words, "--shard", "2/2").output
    assert len(read_picks(tmp_path / "out" / "particles.star")) == 3
    assert "3 micrographs" in run(*words, "--assemble").output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shard", "3/2"], "from 1/2 to 2/2, got 3/2"),
        (["--shard", "1/2", "--overwrite"], "exclude each other"),
        (["--picker", "nope"], "no picker 'nope'"),
        (["--set", "nope=1"], "no setting 'nope'"),
        (["--set", "nope"], "write KEY=VALUE"),
        (["--to", "nope"], "'nope'"),
        (["--picker", "log", "--device", "cuda"], "only on the CPU"),
        (["--device", "cud"], "did you mean cuda?"),
        (["--workers", "0"], "--workers must be at least 1, got 0"),
    ],
)
def test_bad_usage_exits_with_2_and_writes_nothing(micrographs, tmp_path, monkeypatch, capsys, options, message):
    assert exit_code(monkeypatch, micrographs, "--out", tmp_path / "out", *options) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_missing_inputs_and_changed_settings_exit_with_2(micrographs, tmp_path, monkeypatch, capsys):
    assert exit_code(monkeypatch, tmp_path / "absent", "--out", tmp_path / "out") == 2
    run(micrographs / "m0.mrc", "--out", tmp_path / "out", "--diameter", 72)
    assert exit_code(monkeypatch, micrographs / "m0.mrc", "--out", tmp_path / "out", "--diameter", 80) == 2
    assert "diameter was 72.0, now 80.0" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted in /proc")
def test_one_worker_computes_with_one_thread_despite_the_environment(micrographs, tmp_path):
    code = """if True:  # numpy must not be imported before the command runs
        import os
        from dataclasses import make_dataclass
        from cryopick.cli import app
        from cryopick.registry import Registry

        class Counting:
            Settings = make_dataclass("Settings", [], frozen=True)

            def __init__(self, settings):
                pass

            def pick(self, micrograph, *, diameter=None):
                import cv2, numpy
                numpy.ones((500, 500)) @ numpy.ones((500, 500))
                cv2.GaussianBlur(micrograph.pixels, (31, 31), 5)
                raise RuntimeError(f"threads {len(os.listdir('/proc/self/task'))}, OpenCV {cv2.getNumThreads()}")

        get = Registry.get
        Registry.get = lambda self, name: Counting if (self.kind, name) == ("picker", "unet") else get(self, name)
        app()
    """
    words = ["pick", micrographs / "m0.mrc", "--out", tmp_path / "out", "--workers", "1", "--diameter", "30"]
    threads = {"OMP_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "4"}
    ended = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, env=os.environ | threads)
    assert "threads 2, OpenCV 1" in ended.stderr  # one reads ahead


def test_names_and_optics_groups_of_relions_list_are_kept(micrographs, tmp_path):
    listed = {"rlnMicrographName": ["raw/m0.mrc", "raw/m1.mrc"], "rlnOpticsGroup": [1, 2]}
    optics = {"rlnOpticsGroupName": ["day1", "day2"], "rlnOpticsGroup": [1, 2], "rlnMicrographPixelSize": [PIXEL_SIZE] * 2}
    (tmp_path / "raw").symlink_to(micrographs)
    (tmp_path / "micrographs.star").write_text(star_text({"optics": optics, "micrographs": listed}))
    assert run(tmp_path / "micrographs.star", "--out", tmp_path / "out", "--diameter", 72).exit_code == 0
    picks = read_picks(tmp_path / "out" / "particles.star")
    assert [(one.micrograph, one.optics_group) for one in picks] == [("raw/m0.mrc", 1), ("raw/m1.mrc", 2)]
