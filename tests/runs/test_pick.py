"""Runs over several micrographs: complete results with any number of workers, wherever the run is stopped."""

import csv
import errno
import os
import random
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

from cryopick.display.thumbnails import read_thumbnail
from cryopick.errors import CryopickError, FileError, SettingError
from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.micrographs.sources import MicrographSource, find_micrographs
from cryopick.io.picks.formats import FORMATS, read_picks
from cryopick.provenance import RunRecord
from cryopick.runs.folder import RunFolder
from cryopick.runs.outputs import format_path
from cryopick.runs.pick import RunResult, RunStart, run_picking
from cryopick.runs.settings import RunSettings, mismatch, run_settings

OUT = Path("out")  # relative, because RELION's index names files by their path
DRIVER = Path(__file__).parents[1] / "support" / "drive_run.py"


@pytest.fixture(scope="module")
def micrographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("micrographs")
    rng = np.random.default_rng(1)
    for index in range(12):
        write_micrograph(folder / f"m{index:02}.mrc", rng.normal(size=(64, 96)).astype(np.float32), pixel_size=2.0)
    return folder


def run(folder: Path, place: Path, monkeypatch: pytest.MonkeyPatch, settings: RunSettings = SETTINGS, **options) -> RunResult:
    """A run in a current folder of its own, so that runs in several places can have the same bytes."""
    place.mkdir(exist_ok=True)
    monkeypatch.chdir(place)
    return run_picking(find_micrographs([folder]), OUT, settings, build=options.pop("build", stub_pickers.build), **options)


def files_of_picks(out: Path) -> dict[str, bytes]:
    """Every file but the locks, the records and the table, which hold times."""
    files = {path.relative_to(out).as_posix(): path for path in out.rglob("*") if path.is_file()}
    without = ("records/m", "micrographs.csv", ".")
    return {name: path.read_bytes() for name, path in files.items() if not name.startswith(without)}


def table(out: Path) -> list[dict[str, str]]:
    with (out / "micrographs.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def uninterrupted(micrographs, tmp_path_factory):
    """The folder of a run in this process that nothing stopped."""
    place = tmp_path_factory.mktemp("uninterrupted")
    with pytest.MonkeyPatch.context() as patch:
        result = run(micrographs, place, patch)
    assert [outcome.status for outcome in result.outcomes] == ["done"] * 12
    return place


@pytest.fixture
def reference(uninterrupted, tmp_path):
    """The files of a copy of that run, which a test may change."""
    shutil.copytree(uninterrupted, tmp_path / "reference")
    return files_of_picks(tmp_path / "reference" / OUT)


def test_the_folder_has_the_documented_files(reference):
    assert {"particles.star", "run.yaml", "relion/autopick.star", "csv/particles.csv", "box/m03.box"} <= set(reference)
    assert sum(name.startswith("previews/") and name.endswith(".png") for name in reference) == 12
    assert sum(name.startswith("relion/m") for name in reference) == 12


def test_the_flat_star_keeps_decimals_and_relion_gets_whole_pixels(reference, tmp_path, micrographs):
    out = tmp_path / "reference" / OUT
    flat, job = read_picks(out / "particles.star"), read_picks(out / "relion", micrographs=find_micrographs([micrographs]))
    assert (
        [picks.micrograph for picks in flat] == [picks.micrograph for picks in job] == [f"m{index:02}.mrc" for index in range(12)]
    )
    for one, other in zip(flat, job, strict=True):
        np.testing.assert_allclose(one.xy % 1, 1 / 3, atol=1e-5)
        np.testing.assert_array_equal(other.xy, np.floor(one.xy))
        assert one.diameter == 30.0


def test_two_workers_write_the_same_bytes_as_one(micrographs, reference, tmp_path, monkeypatch):
    result = run(micrographs, tmp_path / "two", monkeypatch, workers=2)
    assert [outcome.name for outcome in result.outcomes] == [f"m{index:02}.mrc" for index in range(12)]
    assert files_of_picks(tmp_path / "two" / OUT) == reference


def drive(micrographs: Path, place: Path, workers: int, *, seconds: float = 0.25) -> subprocess.Popen[str]:
    """A run in a process of its own, so many seconds slow with each, that has finished two micrographs, some time ago."""
    place.mkdir()
    process = subprocess.Popen(
        [sys.executable, DRIVER, micrographs, str(workers)],
        cwd=place,
        env=os.environ | {"STUB_SLEEP": str(seconds)},
        stdout=subprocess.PIPE,
        text=True,
    )
    for _ in range(6000):
        if len(list((place / OUT / "records").glob("m*.json"))) >= 2:
            time.sleep(random.uniform(0, 0.3))
            return process
        time.sleep(0.01)
    raise AssertionError("the run did not start")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_run_resumes_and_writes_the_same_bytes(micrographs, reference, tmp_path, monkeypatch, workers):
    process = drive(micrographs, tmp_path / "killed", workers)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    time.sleep(0.5)  # its workers finish what they have in hand and end
    out = tmp_path / "killed" / OUT
    assert not (out / "particles.star").exists()
    (out / "records" / ".cryopick-tmp-0123abcd-0123456789ab.json").write_text("half a file")

    result = run(micrographs, tmp_path / "killed", monkeypatch, workers=workers)
    assert 2 <= result.finished_before < 12
    assert files_of_picks(out) == reference
    assert [row["picks"] for row in table(out)] == ["7"] * 12


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_leaves_whole_files_of_what_was_finished(micrographs, reference, tmp_path, monkeypatch, workers):
    process = drive(micrographs, tmp_path / "stopped", workers, seconds=1)
    process.send_signal(signal.SIGINT)
    assert process.communicate()[0] == "interrupted\n"
    rows = table(tmp_path / "stopped" / OUT)
    finished = [row["name"] for row in rows if row["status"] == "done"]
    assert 2 <= len(finished) < 12
    assert [row["status"] for row in rows if row["name"] not in finished] == ["pending"] * (12 - len(finished))
    assert [picks.micrograph for picks in read_picks(tmp_path / "stopped" / OUT / "particles.star")] == finished

    run(micrographs, tmp_path / "stopped", monkeypatch, workers=workers)
    assert files_of_picks(tmp_path / "stopped" / OUT) == reference


def test_finished_micrographs_are_not_picked_again(micrographs, reference, tmp_path, monkeypatch):
    result = run(micrographs, tmp_path / "reference", monkeypatch, build=stub_pickers.build_without_weights)
    assert result.finished_before == 12
    assert files_of_picks(tmp_path / "reference" / OUT) == reference


def test_a_resumed_run_starts_with_the_numbers_of_finished_micrographs_and_picks(micrographs, reference, tmp_path, monkeypatch):
    for name in ("m03", "m08"):
        (tmp_path / "reference" / OUT / "records" / f"{name}.json").unlink()
    starts, outcomes = [], []
    run(micrographs, tmp_path / "reference", monkeypatch, on_start=starts.append, on_outcome=outcomes.append)
    assert starts == [RunStart(total=12, finished=10, picks=70)]
    assert [outcome.picks for outcome in outcomes] == [7, 7]


def test_a_run_of_the_first_version_is_resumed_with_its_files(micrographs, reference, tmp_path, monkeypatch):
    """Its header was another, its setting `glimpses` is now `thumbnails`, and so is its folder."""
    out = tmp_path / "reference" / OUT
    (out / "thumbnails").rename(out / "glimpses")
    text = (out / "run.yaml").read_text().replace("  thumbnails:", "  glimpses:")
    header = "# Made by cryopick pick: the settings that a later run must have to go on with this one.\n"
    (out / "run.yaml").write_text(header + text.partition("\n")[2].partition("# Checksum")[0])
    for record in (out / "records").glob("m*.json"):
        content = record.read_text().replace("thumbnails/", "glimpses/")
        record.write_text("{" + content.partition(",")[2])  # without its checksum
    (out / "records" / "m03.json").unlink()
    assert run(micrographs, tmp_path / "reference", monkeypatch).finished_before == 11
    files = {name.replace("glimpses/", "thumbnails/"): content for name, content in files_of_picks(out).items()}
    assert files == reference
    assert read_thumbnail(RunFolder(out).thumbnail("m03")).image.startswith(b"\xff\xd8")


def test_a_file_of_the_same_name_in_another_folder_is_another_micrograph(micrographs, reference, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    (other / "m00.mrc").symlink_to(micrographs / "m00.mrc")
    shutil.copy(micrographs / "m02.mrc", other / "m01.mrc")
    assert run(other, tmp_path / "reference", monkeypatch).finished_before == 1
    shutil.move(other, tmp_path / "moved")
    assert run(tmp_path / "moved", tmp_path / "reference", monkeypatch).finished_before == 2


def test_a_lost_preview_is_drawn_again(micrographs, reference, tmp_path, monkeypatch):
    (tmp_path / "reference" / OUT / "previews" / "m04.png").unlink()
    assert run(micrographs, tmp_path / "reference", monkeypatch).finished_before == 11
    assert files_of_picks(tmp_path / "reference" / OUT) == reference


def test_a_format_may_be_added_later_without_picking_again(micrographs, reference, tmp_path, monkeypatch):
    settings = with_settings(formats=["box", "csv", "topaz"])
    result = run(micrographs, tmp_path / "reference", monkeypatch, settings, build=stub_pickers.build_without_weights)
    assert result.problems == []
    assert {"topaz/particles.txt", "box/m00.box"} <= set(files_of_picks(tmp_path / "reference" / OUT))


def test_every_format_can_be_written_and_read_again(micrographs, tmp_path, monkeypatch):
    names = [name for name in FORMATS.names if name not in {"star", "relion"}]
    result = run(micrographs, tmp_path / "one", monkeypatch, with_settings(formats=names, previews=False))
    assert result.problems == []
    folder, known = RunFolder(tmp_path / "one" / OUT), find_micrographs([micrographs])
    read = {name: read_picks(format_path(folder, name), format=name, micrographs=known) for name in names}
    assert {name: sum(map(len, picks)) for name, picks in read.items()} == dict.fromkeys(names, 12 * 7)


def test_a_format_that_cannot_hold_the_picks_is_reported_and_the_others_are_written(micrographs, tmp_path, monkeypatch):
    monkeypatch.setattr("cryopick.io.picks.csv.Csv.write", refuse)
    result = run(micrographs, tmp_path / "one", monkeypatch)
    assert result.problems == ["csv was not written: no room"]
    assert (tmp_path / "one" / OUT / "box" / "m00.box").exists()


def refuse(*_: object) -> None:
    raise CryopickError("no room")


def with_settings(**changes) -> RunSettings:
    return msgspec.structs.replace(SETTINGS, **changes)


def test_micrographs_that_fail_are_named_and_tried_again_by_the_next_run(micrographs, tmp_path, monkeypatch):
    mixed = tmp_path / "mixed"
    shutil.copytree(micrographs, mixed)
    (mixed / "m05.mrc").write_bytes(b"")
    result = run(mixed, tmp_path / "run", monkeypatch, with_settings(settings={"fail_on": "m07"}))
    (empty, faulty) = result.failed
    assert (empty.name, faulty.name, faulty.error) == ("m05.mrc", "m07.mrc", "ZeroDivisionError: no reason")
    assert "m05.mrc" in empty.error
    rows = {row["name"]: row for row in table(tmp_path / "run" / OUT)}
    assert [name for name, row in rows.items() if row["status"] == "failed"] == ["m05.mrc", "m07.mrc"]
    assert len(read_picks(tmp_path / "run" / OUT / "particles.star")) == 10
    index = (tmp_path / "run" / OUT / "relion" / "autopick.star").read_text()
    assert [name for name in rows if name not in index] == ["m05.mrc", "m07.mrc"]

    shutil.copy(micrographs / "m05.mrc", mixed)
    result = run(mixed, tmp_path / "run", monkeypatch, with_settings(settings={"fail_on": "m07"}))
    assert result.finished_before == 10
    assert [outcome.name for outcome in result.failed] == ["m07.mrc"]


def test_a_picker_that_cannot_be_built_ends_the_run(micrographs, tmp_path, monkeypatch):
    with pytest.raises(CryopickError, match="weights are missing"):
        run(micrographs, tmp_path / "run", monkeypatch, build=stub_pickers.build_without_weights, workers=2)


def test_a_micrograph_that_kills_its_worker_fails_and_the_others_are_picked(micrographs, tmp_path, monkeypatch):
    result = run(micrographs, tmp_path / "run", monkeypatch, with_settings(settings={"kill_on": "m02"}), workers=2)
    (lost,) = result.failed
    assert lost.name == "m02.mrc"
    assert "signal 9" in lost.error
    assert "fewer workers" in lost.error
    assert sum(outcome.status == "done" for outcome in result.outcomes) == 11


def test_settings_of_a_run_that_has_picked_nothing_can_be_corrected(tmp_path):
    folder = RunFolder(tmp_path / "out")
    for diameter in (100, 120):
        with folder.in_use():
            folder.prepare(run_settings(diameter=diameter))
    assert mismatch(RunRecord.read(folder.settings, "pick"), run_settings(diameter=120)) == ""


def test_other_settings_are_refused_with_their_names(micrographs, reference, tmp_path, monkeypatch):
    with pytest.raises(SettingError, match=r"diameter was not set, now 100\.0.*--overwrite"):
        run(micrographs, tmp_path / "reference", monkeypatch, with_settings(diameter=100.0))
    assert files_of_picks(tmp_path / "reference" / OUT) == reference


def test_overwriting_removes_what_the_run_wrote_and_nothing_else(micrographs, reference, tmp_path, monkeypatch):
    out = tmp_path / "reference" / OUT
    for name in ["notes.txt", "previews/mine.png", "box/mine.box"]:
        (out / name).write_text("mine")
    one = find_micrographs([micrographs / "m00.mrc"])
    run_picking(one, out, with_settings(formats=[], diameter=20.0), build=stub_pickers.build, overwrite=True)
    left = set(files_of_picks(out))
    assert left == {
        *("notes.txt", "previews/mine.png", "box/mine.box", "records/assembled.txt", "run.yaml", "particles.star"),
        *(
            "previews/m00.png",
            "thumbnails/m00.npz",
            "relion/m00_autopick.star",
            "relion/autopick.star",
            "relion/coords_suffix_autopick.star",
        ),
    }
    assert not (out / "csv").exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_other_files_is_not_touched(micrographs, tmp_path, monkeypatch, overwrite):
    out = tmp_path / "run" / OUT
    out.mkdir(parents=True)
    (out / "run.yaml").write_text("of: another program\n")
    with pytest.raises(SettingError, match="no run of cryopick pick"):
        run(micrographs, tmp_path / "run", monkeypatch, overwrite=overwrite)
    assert [path.name for path in out.iterdir()] == ["run.yaml"]


def test_an_output_folder_that_cannot_be_written_is_named(micrographs, tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / OUT).write_text("a file")
    with pytest.raises(FileError, match="cannot be written"):
        run(micrographs, tmp_path / "run", monkeypatch)


def test_a_full_disk_ends_the_run_with_an_error_and_not_with_failed_micrographs(micrographs, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("cryopick.display.overlays.write_bytes", full)
        with pytest.raises(FileError, match="No space left on device"):
            run(micrographs, tmp_path / "run", monkeypatch)
    assert list((tmp_path / "run" / OUT).glob("records/m*")) == []
    assert run(micrographs, tmp_path / "run", monkeypatch).failed == []


def test_micrographs_with_one_stem_do_not_overwrite_each_other(micrographs, tmp_path, monkeypatch):
    for index, name in enumerate(["one", "two"]):
        (tmp_path / "raw" / name).mkdir(parents=True)
        shutil.copy(micrographs / f"m{index:02}.mrc", tmp_path / "raw" / name / "a.mrc")
    sources = [MicrographSource(tmp_path / "raw" / name / "a.mrc", f"raw/{name}/a.mrc") for name in ["one", "two"]]
    run_picking(sources, tmp_path / OUT, with_settings(formats=[]), build=stub_pickers.build)
    one, two = read_picks(tmp_path / OUT / "particles.star")
    assert not np.array_equal(one.xy, two.xy)
    assert len(list((tmp_path / OUT / "previews").glob("a-*.png"))) == 2
    assert len(list((tmp_path / OUT / "relion").rglob("a_autopick.star"))) == 2


def test_a_micrograph_without_particles_is_a_result(micrographs, tmp_path, monkeypatch):
    result = run(micrographs, tmp_path / "run", monkeypatch, with_settings(settings={"count": 0}))
    assert result.failed == []
    assert result.problems == []
    assert sum(len(picks) for picks in read_picks(tmp_path / "run" / OUT / "particles.star")) == 0


def test_warnings_about_a_micrograph_go_to_the_table(micrographs, tmp_path):
    sources = find_micrographs([micrographs / "m00.mrc"], pixel_size=3.0)
    run_picking(sources, tmp_path / OUT, with_settings(pixel_size=3.0), build=stub_pickers.build)
    (row,) = table(tmp_path / OUT)
    assert "3 Å was given" in row["notes"]
    assert row["pixel_size"] == "3.0"
