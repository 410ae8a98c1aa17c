"""The report as a file: its data, its size, and the files that belong to the run."""

import base64
import json
import re

import numpy as np
import pytest
from typer.testing import CliRunner

from cryopick.cli import app
from cryopick.display.thumbnails import encode_jpeg
from cryopick.errors import FileError
from cryopick.io.micrographs.files import write_micrograph
from cryopick.report.entries import encode_positions, shrink_jpeg
from cryopick.report.page import as_json, write_report
from cryopick.runs.folder import RunFolder
from cryopick.runs.settings import run_settings


def parts(page):
    text = page.read_text()
    return [
        entry
        for part in re.findall(r'<script type="application/json" class="part">(.*?)</script>', text)
        for entry in json.loads(part)
    ]


def test_the_centres_of_the_first_and_last_pixel_lie_half_a_pixel_inside_the_image():
    # centre of the first pixel of 10 columns: 0.5 / 10; of the last: 9.5 / 10; rows likewise of 4
    text = encode_positions([[0.0, 0.0], [9.0, 3.0], [-5.0, 99.0]], (4, 10))
    found = np.frombuffer(base64.b64decode(text), "<u2").reshape(-1, 2) / 65535
    assert found.tolist() == pytest.approx(np.array([[0.05, 0.125], [0.95, 0.875], [0.0, 1.0]]), abs=1e-5)
    assert encode_positions([[0.0, 0.0]], None) is None


def test_images_are_reduced_until_they_fit():
    noise = np.random.default_rng(1).integers(0, 255, (512, 400)).astype(np.uint8)
    jpeg = encode_jpeg(noise)
    assert shrink_jpeg(jpeg, len(jpeg)) == jpeg
    assert len(shrink_jpeg(jpeg, 20_000)) <= 20_000


def test_json_cannot_escape_from_its_script_element():
    name = "</script><script>alert(1)</script><!-- & "
    text = as_json({"name": name})
    assert "<" not in text
    assert json.loads(text) == {"name": name}


def test_the_page_lists_every_micrograph_in_run_order(make_run, tmp_path):
    page = write_report(make_run(tmp_path / "run", {"z.mrc": [0.5], "a.mrc": None, "m.mrc": []}))
    assert [(entry["name"], entry["status"], entry["picks"]) for entry in parts(page)] == [
        ("z.mrc", "done", 1),
        ("a.mrc", "failed", 0),
        ("m.mrc", "done", 0),
    ]
    scores = np.frombuffer(base64.b64decode(parts(page)[0]["scores"]), "<f4")
    assert scores.tolist() == [0.5]
    assert "http://" not in re.sub(r"http://www\.w3\.org/2000/svg", "", page.read_text())
    assert "https://" not in page.read_text()


def test_starting_a_run_afresh_removes_the_page_and_its_data(make_run, tmp_path):
    run = make_run(tmp_path / "run", {"m.mrc": [0.5]})
    write_report(run, budget=1000)
    assert (run / "report" / "part-0000.js").is_file()
    assert (run / "report" / "m.jpg").is_file()
    folder = RunFolder(run)
    folder.prepare(run_settings(), overwrite=True)
    assert not (run / "report.html").exists()
    assert not (run / "report").exists()


def test_rewriting_the_page_writes_only_images_that_have_changed(make_run, tmp_path):
    run = make_run(tmp_path / "run", {"m.mrc": [0.5], "n.mrc": [0.5]})
    write_report(run, budget=1000)
    old, other = run / "report" / "m.jpg", run / "report" / "n.jpg"
    before = old.stat().st_ino, other.stat().st_ino
    thumbnail = RunFolder(run).thumbnail("n")
    content = thumbnail.read_bytes()
    thumbnail.unlink()
    thumbnail.write_bytes(content)
    write_report(run, budget=1000)
    assert old.stat().st_ino == before[0]
    assert other.stat().st_ino != before[1]


def test_runs_without_thumbnails_and_runs_in_which_everything_failed_have_a_page(make_run, tmp_path):
    assert parts(write_report(make_run(tmp_path / "one", {"m.mrc": None})))[0]["image"] is None
    run = make_run(tmp_path / "two", {"m.mrc": [0.5]})
    RunFolder(run).thumbnail("m").unlink()
    assert parts(write_report(run))[0]["image"] is None


def test_a_folder_without_results_raises_an_error(tmp_path):
    with pytest.raises(FileError, match="contains no results"):
        write_report(tmp_path)


def test_the_command_makes_missing_thumbnails(make_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = make_run(tmp_path / "run", {"m.mrc": [0.5]})
    RunFolder(run).thumbnail("m").unlink()
    write_micrograph(tmp_path / "m.mrc", np.random.default_rng(1).normal(0, 1, (96, 128)).astype(np.float32))
    result = CliRunner().invoke(app, ["report", str(run), "--workers", "1"], catch_exceptions=False)
    assert result.exit_code == 0
    assert result.output.endswith(f"{run / 'report.html'}\n")
    assert parts(run / "report.html")[0]["image"].startswith("data:image/jpeg;base64,")
