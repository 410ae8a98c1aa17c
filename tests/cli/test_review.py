"""`cryopick review` as a program: its address, its end and its output without a page."""

import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cryopick.cli import app
from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.picks.formats import read_picks, write_picks
from cryopick.types import Picks


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_micrograph(tmp_path / "a.mrc", np.eye(300, dtype=np.float32), pixel_size=1.0)
    write_picks([Picks("a.mrc", [(10, 20), (30, 40)], [0.2, 0.8], 30.0, (300, 300), 1.0)], tmp_path / "picks.star")
    return tmp_path


def start(folder: Path) -> tuple[subprocess.Popen[str], str]:
    program = subprocess.Popen(
        [sys.executable, "-m", "cryopick", "review", str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    first, _, tunnel = (program.stdout.readline() for _ in range(3))
    address = re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", first)[0]
    port = re.search(r":(\d+)/", address)[1]
    assert f"ssh -N -L {port}:127.0.0.1:{port} " in tunnel
    return program, address


def open_page(address: str) -> urllib.request.OpenerDirector:
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    opener.open(address, timeout=20).read()
    return opener


def remove_first(opener: urllib.request.OpenerDirector, address: str) -> None:
    body = json.dumps({"key": "remove-first", "edit": {"type": "remove", "picks": [0]}}).encode()
    place = address.split("/?")[0] + "/api/micrographs/0/edits"
    opener.open(urllib.request.Request(place, body, {"Content-Type": "application/json"}), timeout=20).read()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_the_review_and_the_corrected_picks_are_written(folder, number):
    program, address = start(folder)
    remove_first(open_page(address), address)
    program.send_signal(number)
    output, errors = program.communicate(timeout=30)
    assert (program.returncode, errors) == (0, "")
    assert "picks.star" in output
    assert [picks.xy.tolist() for picks in read_picks(folder / "review" / "picks.star")] == [[[30, 40]]]


def test_after_kill_9_no_edit_is_lost_and_the_old_address_is_refused(folder):
    program, address = start(folder)
    remove_first(open_page(address), address)
    program.kill()
    program.wait(timeout=30)
    again, new = start(folder)
    try:
        state = json.load(open_page(new).open(new.split("/?")[0] + "/api/micrographs/0", timeout=20))
        assert state["picks"]["number"] == [1]
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(new.split("token=")[0] + address[address.index("token=") :], timeout=20)
    finally:
        again.kill()
        again.communicate(timeout=30)


def test_corrections_from_a_file_are_taken_and_labels_written_without_a_page(folder, tmp_path):
    place = tmp_path / "better.star"
    write_picks([Picks("a.mrc", [(31, 40), (200, 200), (250, 90)], None, 30.0, (300, 300), 1.0)], place)
    words = ["review", str(folder), "--picks", str(folder / "picks.star"), "--corrected", str(place)]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert "reviewed: 1 micrograph with 3 particles" in result.output
    assert "labels" not in result.output
    result = CliRunner().invoke(app, [*words, "--labels"], catch_exceptions=False)
    assert "labels: 3 particles on 1 reviewed micrograph" in result.output


def test_results_are_written_without_a_page(folder):
    result = CliRunner().invoke(app, ["review", str(folder), "--to", "csv", "--to", "star"])
    assert result.exit_code == 0, result.output
    assert len(read_picks(folder / "review" / "csv" / "picks.csv")[0]) == 2
    assert (folder / "review" / "picks.star").is_file()


def test_a_review_that_was_started_with_nohup_outlives_its_terminal(folder):
    code = "import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); from cryopick.cli import main; main()"
    command = [sys.executable, "-c", code, "review", str(folder)]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert program.stdout is not None
    address = program.stdout.readline().split()[-1]
    opener = open_page(address)
    program.send_signal(signal.SIGHUP)
    remove_first(opener, address)
    program.send_signal(signal.SIGTERM)
    assert "picks.star" in program.communicate(timeout=30)[0]


def test_closing_the_terminal_writes_the_picks_though_nothing_can_be_printed(folder):
    program, address = start(folder)
    remove_first(open_page(address), address)
    assert program.stdout is not None
    program.stdout.close()
    program.send_signal(signal.SIGHUP)
    program.wait(timeout=30)
    assert len(read_picks(folder / "review" / "picks.star")[0]) == 1
