"""Shards: each micrograph is picked once, with the bytes of a single run, and no other run may use the folder."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
import stub_pickers
from stub_pickers import SETTINGS

from cryopick.errors import SettingError
from cryopick.files import atomic_path
from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.micrographs.sources import find_micrographs
from cryopick.runs.folder import RunFolder
from cryopick.runs.pick import RunResult, assemble_run, run_picking
from cryopick.runs.shards import Shard

OUT = Path("out")
DRIVER = Path(__file__).parents[1] / "support" / "drive_run.py"


@pytest.fixture(scope="module")
def micrographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("micrographs")
    rng = np.random.default_rng(1)
    for index in range(7):
        write_micrograph(folder / f"m{index}.mrc", rng.normal(size=(64, 96)).astype(np.float32), pixel_size=2.0)
    return folder


def run(micrographs: Path, place: Path, monkeypatch: pytest.MonkeyPatch, shard: str | None = None, **options) -> RunResult:
    place.mkdir(exist_ok=True)
    monkeypatch.chdir(place)
    settings = options.pop("settings", SETTINGS)
    part = None if shard is None else Shard.parse(shard)
    return run_picking(find_micrographs([micrographs]), OUT, settings, shard=part, build=stub_pickers.build, **options)


def files_of_picks(out: Path) -> dict[str, bytes]:
    """Every file but the locks, the records and the table, which hold times."""
    files = {path.relative_to(out).as_posix(): path for path in out.rglob("*") if path.is_file()}
    without = ("records/m", "micrographs.csv", ".")
    return {name: path.read_bytes() for name, path in files.items() if not name.startswith(without)}


@pytest.mark.parametrize("count", [1, 3, 10])
def test_shards_take_each_item_once(count):
    shares = [Shard(number, count).share(range(7)) for number in range(1, count + 1)]
    assert sorted(item for share in shares for item in share) == list(range(7))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("text", ["0/3", "4/3", "1/0", "1", "1/", "a/b", "-1/3"])
def test_an_invalid_shard_is_an_error(text):
    with pytest.raises(SettingError, match="shard"):
        Shard.parse(text)


@pytest.mark.parametrize("order", [["1/3", "2/3", "3/3"], ["3/3", "1/3", "2/3"]])
def test_the_last_shard_whichever_it_is_writes_the_bytes_of_a_single_run(micrographs, tmp_path, monkeypatch, order):
    run(micrographs, tmp_path / "single", monkeypatch)
    results = [run(micrographs, tmp_path / "parts", monkeypatch, shard) for shard in order]
    assert [result.assembled for result in results] == [False, False, True]
    assert sum(len(result.outcomes) for result in results) == 7
    assert files_of_picks(tmp_path / "parts" / OUT) == files_of_picks(tmp_path / "single" / OUT)


def test_more_shards_than_micrographs_do_no_harm(micrographs, tmp_path, monkeypatch):
    results = [run(micrographs / "m0.mrc", tmp_path, monkeypatch, f"{number}/3") for number in (3, 2, 1)]
    assert [len(result.outcomes) for result in results] == [0, 0, 1]
    assert results[-1].assembled


def test_joint_files_can_be_written_before_all_shards_have_run(micrographs, tmp_path, monkeypatch):
    run(micrographs, tmp_path, monkeypatch, "2/2")
    assert not (OUT / "particles.star").exists()
    result = assemble_run(find_micrographs([micrographs]), OUT, SETTINGS)
    assert [outcome.status for outcome in result.outcomes] == ["pending", "done"] * 3 + ["pending"]
    assert "m1.mrc" in (OUT / "particles.star").read_text()
    assert "m0.mrc" not in (OUT / "particles.star").read_text()


def test_concurrent_shards_give_the_bytes_of_a_single_run(micrographs, tmp_path, monkeypatch):
    run(micrographs, tmp_path / "single", monkeypatch)
    (tmp_path / "parts").mkdir()
    shards = [start_shard(micrographs, tmp_path / "parts", f"{number}/3") for number in (1, 2, 3)]
    assert [shard.wait() for shard in shards] == [0, 0, 0]
    assert files_of_picks(tmp_path / "parts" / OUT) == files_of_picks(tmp_path / "single" / OUT)


def start_shard(micrographs: Path, place: Path, shard: str, sleep: float = 0) -> subprocess.Popen[bytes]:
    environment = os.environ | {"STUB_SLEEP": str(sleep)}
    command = [sys.executable, DRIVER, micrographs, "1", shard]
    return subprocess.Popen(command, cwd=place, env=environment, stdout=subprocess.DEVNULL)


def test_a_second_run_is_refused_while_the_first_is_in_progress(micrographs, tmp_path, monkeypatch):
    (tmp_path / "place").mkdir()
    first = start_shard(micrographs, tmp_path / "place", "1/2", sleep=0.3)
    wait_for(lambda: list((tmp_path / "place" / OUT).glob("records/m*")))
    with pytest.raises(SettingError, match="in use by another run"):
        run(micrographs, tmp_path / "place", monkeypatch)
    with pytest.raises(SettingError, match="in use by another run"):
        assemble_run(find_micrographs([micrographs]), OUT, SETTINGS)
    assert run(micrographs, tmp_path / "place", monkeypatch, "2/2").failed == []
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert len(run(micrographs, tmp_path / "place", monkeypatch).outcomes) == 7


def wait_for(condition) -> None:
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come about")


def test_a_shard_does_not_change_the_settings_of_the_others_nor_remove_what_they_write(micrographs, tmp_path, monkeypatch):
    run(micrographs, tmp_path, monkeypatch, "1/2")
    shutil.rmtree(OUT / "records")
    abandoned = OUT / "relion" / ".cryopick-tmp-0123abcd-0123456789ab.star"
    abandoned.touch()
    with atomic_path(OUT / "relion" / "m3_autopick.star") as being_written:
        with pytest.raises(SettingError, match="diameter was not set, now"):
            run(micrographs, tmp_path, monkeypatch, "2/2", settings=msgspec.structs.replace(SETTINGS, diameter=9.0))
        run(micrographs, tmp_path, monkeypatch, "2/2")
        assert being_written.exists()
        assert not abandoned.exists()


def test_a_file_system_without_locks_is_warned_of_and_used(micrographs, tmp_path, monkeypatch, caplog):
    def unsupported(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", unsupported)
    assert run(micrographs, tmp_path, monkeypatch).failed == []
    assert "cannot be locked (Function not implemented)" in caplog.text


def test_a_folder_with_other_files_gets_no_lock(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(SettingError, match="no run of cryopick"), RunFolder(tmp_path).in_use():
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
