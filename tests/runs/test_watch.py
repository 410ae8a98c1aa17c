"""Watching a folder: slow writers, stops, kills and concurrent readers."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pytest
import stub_pickers
import yaml
from stub_pickers import SETTINGS

from cryopick.errors import CryopickError, SettingError
from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.micrographs.sources import find_micrographs
from cryopick.io.picks.formats import read_picks
from cryopick.parallel import pool
from cryopick.runs import local as workers_module
from cryopick.runs import watch
from cryopick.runs.local import GpuSharing
from cryopick.runs.pick import run_picking
from cryopick.runs.settings import run_settings
from cryopick.runs.watch import Pace, WatchStatus, watch_folder

HERE = Path(__file__).parents[1] / "support"
OUT = Path("out")
COUNT = 6
QUICK = Pace(settle=0, poll=0.02, refresh=0, until_idle=0.2)


@pytest.fixture(scope="module")
def micrographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("micrographs")
    rng = np.random.default_rng(1)
    for index in range(COUNT):
        write_micrograph(folder / f"m{index}.mrc", rng.normal(size=(64, 96)).astype(np.float32), pixel_size=2.0)
    return folder


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The current folder, with an empty folder for micrographs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pool, "PAUSE", 0.02)
    (tmp_path / "raw").mkdir()
    return tmp_path


def files_of_picks(out: Path) -> dict[str, bytes]:
    files = {path.relative_to(out).as_posix(): path for path in out.rglob("*") if path.is_file()}
    without = ("records/m", "micrographs.csv", ".")
    return {name: path.read_bytes() for name, path in files.items() if not name.startswith(without)}


def start(script: str, *words: object, sleep: float = 0.0) -> subprocess.Popen[str]:
    environment = os.environ | {"STUB_SLEEP": str(sleep)}
    command = [sys.executable, HERE / script, *map(str, words)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def wait_for(condition: Callable[[], object]) -> None:
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come about")


def watch_here(pace: Pace = QUICK, **options) -> WatchStatus:
    return watch_folder(["raw"], OUT, SETTINGS, build=stub_pickers.build, pace=pace, **options)


def copy(micrographs: Path, *names: str) -> None:
    for name in names:
        (Path("raw") / name).write_bytes((micrographs / name).read_bytes())


def test_slowly_written_files_are_picked_once_they_are_complete_and_readers_see_whole_files(micrographs, place):
    watching = start("drive_watch.py", "raw", 2, 4)
    writing = start("write_slowly.py", micrographs, "raw")
    counts = [0]
    while watching.poll() is None:
        if (OUT / "particles.star").exists():
            counts.append(sum(map(len, read_picks(OUT / "particles.star"))))
        time.sleep(0.02)
    assert writing.wait() == 0
    assert watching.communicate()[0] == f"{COUNT} done, 0 failed\n"
    assert counts == sorted(counts)
    assert all(count % 7 == 0 for count in counts)
    assert len(set(counts)) > 2
    live = files_of_picks(OUT)
    OUT.rename("live")
    run_picking(find_micrographs(["raw"]), OUT, SETTINGS, build=stub_pickers.build)
    assert live == files_of_picks(OUT)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_watch_resumes_without_repeating_or_losing_micrographs(micrographs, place, end):
    copy(micrographs, *(f"m{index}.mrc" for index in range(COUNT - 1)))
    first = start("drive_watch.py", "raw", 1, 60, sleep=0.2)
    wait_for(lambda: len(list(OUT.glob("records/m*.json"))) >= 2)
    first.send_signal(end)
    first.communicate()
    before = {path.name: path.stat().st_mtime_ns for path in OUT.glob("records/m*.json")}
    assert 2 <= len(before) < COUNT
    if end == signal.SIGINT:
        assert len(read_picks(OUT / "particles.star")) == len(before)
    copy(micrographs, f"m{COUNT - 1}.mrc")
    status = watch_here()
    after = {path.name: path.stat().st_mtime_ns for path in OUT.glob("records/m*.json")}
    assert (status.done, len(after)) == (COUNT, COUNT)
    assert {name: after[name] for name in before} == before
    assert len(read_picks(OUT / "particles.star")) == COUNT


def test_a_file_that_vanishes_before_its_turn_leaves_no_trace(micrographs, place):
    copy(micrographs, "m0.mrc", "m1.mrc", "m2.mrc", "m3.mrc", "m4.mrc")  # some of which are read ahead
    status = watch_here(on_outcome=lambda outcome: Path("raw/m4.mrc").unlink(missing_ok=True))
    assert (status.done, status.failed) == (4, 0)
    assert sorted(path.stem for path in OUT.glob("records/*.json")) == ["m0", "m1", "m2", "m3"]


def test_a_file_that_vanishes_while_it_is_picked_is_no_failure_and_may_come_back(micrographs, place, monkeypatch):
    copy(micrographs, "m0.mrc")

    def vanish(self: object, *_: object, **__: object) -> None:
        Path("raw/m0.mrc").unlink()
        raise OSError("stale file handle")

    with monkeypatch.context() as patch:
        patch.setattr(stub_pickers.StubPicker, "pick", vanish)
        status = watch_here()
    assert (status.done, status.failed, list(OUT.glob("records/*.json"))) == (0, 0, [])
    copy(micrographs, "m0.mrc")
    assert watch_here().done == 1


def test_a_failed_micrograph_is_reported_and_tried_again_when_it_has_changed(micrographs, place):
    write_micrograph(Path("raw/m0.mrc"), np.full((64, 96), np.nan, np.float32))
    seen = []

    def mend(outcome) -> None:
        seen.append((outcome.name, outcome.status))
        copy(micrographs, "m0.mrc")

    status = watch_here(on_outcome=mend)
    assert seen == [("m0.mrc", "failed"), ("m0.mrc", "done")]
    assert (status.done, status.failed) == (1, 0)


def test_ctrl_c_while_a_result_is_received_loses_none(micrographs, place, monkeypatch):
    copy(micrographs, "m0.mrc")

    class Interrupted(watch._Entry):
        def __init__(self, *_: object) -> None:
            monkeypatch.undo()
            monkeypatch.chdir(place)
            raise KeyboardInterrupt

    monkeypatch.setattr(watch, "_Entry", Interrupted)
    assert watch_here().done == 1
    assert [picks.micrograph for picks in read_picks(OUT / "particles.star")] == ["m0.mrc"]


def test_it_reports_when_it_falls_behind_and_when_it_has_caught_up(micrographs, place, monkeypatch):
    monkeypatch.setattr(watch, "LATE_SECONDS", 0.2)
    monkeypatch.setenv("STUB_SLEEP", "0.15")
    copy(micrographs, *(f"m{index}.mrc" for index in range(COUNT)))
    reported: list[WatchStatus] = []
    watch_here(on_status=reported.append)
    late = [status for status in reported if status.is_behind]
    assert late
    assert all(status.waiting > 0 for status in late)
    assert (reported[-1].is_behind, reported[-1].waiting, reported[-1].done) == (False, 0, COUNT)


def test_a_watch_on_gpus_shares_them_as_a_run_does(micrographs, place, monkeypatch):
    monkeypatch.setattr(workers_module, "gpu_sharing", lambda workers: GpuSharing(2, []))
    on_gpu = msgspec.structs.replace(SETTINGS, device="cuda")
    outcomes = []
    watch_folder([str(micrographs)], OUT, on_gpu, pace=QUICK, build=stub_pickers.build_in_parts, on_outcome=outcomes.append)
    assert {each.name: each.error for each in outcomes if each.error} == {"m3.mrc": "MemoryError: of the GPU"}
    assert len(outcomes) == COUNT


def test_of_two_files_that_would_share_their_results_one_is_picked_and_the_other_reported(micrographs, place):
    copy(micrographs, "m0.mrc")
    write_micrograph(Path("raw/m0.tif"), np.eye(64, dtype=np.float32))
    reported: list[WatchStatus] = []
    status = watch_here(on_status=reported.append)
    assert status.done == 1
    assert "m0.tif is excluded" in reported[-1].problem


def test_a_failure_is_tried_again_by_a_watch_that_spells_its_folder_otherwise(micrographs, place):
    write_micrograph(Path("raw/m0.mrc"), np.full((64, 96), np.nan, np.float32))
    assert watch_here().failed == 1
    copy(micrographs, "m0.mrc")
    reported: list[WatchStatus] = []
    status = watch_folder([place / "raw"], OUT, SETTINGS, build=stub_pickers.build, pace=QUICK, on_status=reported.append)
    assert (status.done, status.failed, reported[-1].problem) == (1, 0, "")


def test_it_waits_for_a_missing_folder(micrographs, place):
    Path("raw").rmdir()
    reported: list[WatchStatus] = []

    def come(status: WatchStatus) -> None:
        reported.append(status)
        if len(reported) == 2:
            Path("raw").mkdir()
            copy(micrographs, "m0.mrc")

    assert watch_here(Pace(settle=0, poll=0.02, refresh=0, until_idle=2.0), on_status=come).done == 1
    assert "no such file or folder" in reported[0].problem


def test_background_work_follows_new_files_while_it_watches(micrographs, place):
    copy(micrographs, "m0.mrc")
    done = place / "done"

    def end_when_done(status: WatchStatus) -> None:
        if done.exists():
            raise KeyboardInterrupt

    pace = Pace(settle=0, poll=0.02, refresh=0, until_idle=60)
    status = watch_here(pace, on_status=end_when_done, background=partial(Path.mkdir, done))
    assert status.done == 1
    assert done.is_dir()


def test_there_is_no_background_work_without_micrographs(place):
    watch_here(background=partial(Path.mkdir, place / "done"))
    assert not (place / "done").exists()


def test_two_watches_in_one_folder_are_refused(micrographs, place):
    copy(micrographs, "m0.mrc")

    def second(outcome) -> None:
        with pytest.raises(SettingError, match="in use by another run"):
            watch_here()

    assert watch_here(on_outcome=second).done == 1


def test_an_unknown_diameter_is_estimated_from_the_first_micrographs_and_kept(place):
    y, x = np.mgrid[:400, :500]
    rng = np.random.default_rng(5)
    discs = sum(np.hypot(x - cx, y - cy) < 12 for cx in range(40, 480, 55) for cy in range(40, 380, 55))
    settings = run_settings("log", previews=False)
    for name in ("m0.mrc", "m1.mrc"):
        write_micrograph(Path("raw") / name, rng.normal(-discs, 0.5).astype(np.float32), pixel_size=2.0)
    reported = []
    watch_folder(["raw"], OUT, settings, pace=QUICK, on_outcome=lambda outcome: reported.append(outcome.diameter))
    assert reported == [yaml.safe_load((OUT / "run.yaml").read_text())["pick"]["estimate"]["diameter"]] * 2


def test_without_an_estimate_each_micrograph_is_picked_at_a_size_of_its_own(micrographs, place, caplog):
    copy(micrographs, "m0.mrc", "m1.mrc")

    class Unsure(stub_pickers.StubPicker):
        def estimate_diameter(self, micrographs):
            raise CryopickError("no particles of any size stand out")

    def build(settings):
        return Unsure(stub_pickers.StubSettings())

    assert watch_folder(["raw"], OUT, SETTINGS, pace=QUICK, build=build).done == 2
    assert "estimated again when more micrographs have arrived" in caplog.text
