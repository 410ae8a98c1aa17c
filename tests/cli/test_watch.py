"""`cryopick watch` from a folder to files, and its messages."""

import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cryopick import cli
from cryopick.cli.watch import _refresh_page, _StatusLog
from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.picks.formats import read_picks
from cryopick.parallel import pool
from cryopick.pickers import PICKERS
from cryopick.runs.watch import WatchStatus


@pytest.fixture
def raw(tmp_path, rng, monkeypatch) -> Path:
    monkeypatch.setitem(PICKERS._entries, "stub", "stub_pickers:StubPicker")
    monkeypatch.setattr(pool, "PAUSE", 0.02)
    for index in range(3):
        write_micrograph(tmp_path / "raw" / f"m{index}.mrc", rng.normal(size=(40, 60)).astype("f4"), pixel_size=2.0)
    return tmp_path / "raw"


def run(raw: Path, *words: str) -> Result:
    quick = ["--settle", "0", "--poll", "0.1", "--refresh", "0", "--until-idle", "0.2", "--workers", "1", "--no-previews"]
    command = ["watch", str(raw), "--out", str(raw.parent / "out"), "--picker", "stub", *quick, *words]
    return CliRunner().invoke(cli.app, command, catch_exceptions=False)


def test_existing_micrographs_are_picked_and_a_later_watch_resumes(raw):
    result = run(raw, "--no-report", "--to", "box")
    assert result.exit_code == 0
    assert "ended: 3 picked" in result.output
    assert len(read_picks(raw.parent / "out" / "particles.star")) == 3
    assert len(list((raw.parent / "out" / "box").glob("*.box"))) == 3
    (raw / "m3.mrc").write_bytes((raw / "m0.mrc").read_bytes())
    assert "ended: 4 picked" in run(raw, "--no-report", "--to", "box").output
    assert not (raw.parent / "out" / "report.html").exists()
    assert not (raw.parent / "out" / "thumbnails").exists()


def test_the_report_is_written_at_the_end_and_grows_with_a_later_watch(raw):
    result = run(raw)
    page = raw.parent / "out" / "report.html"
    assert f"report: {page}" in result.output
    assert [name in page.read_text() for name in ("m0.mrc", "m2.mrc", "m3.mrc")] == [True, True, False]
    (raw / "m3.mrc").write_bytes((raw / "m0.mrc").read_bytes())
    run(raw)
    assert "m3.mrc" in page.read_text()


def test_the_background_process_writes_the_report_or_says_why_it_cannot(raw, capsys):
    out = raw.parent / "out"
    _refresh_page(out)
    assert "report.html could not be updated" in capsys.readouterr().err
    run(raw, "--no-report")
    _refresh_page(out)
    assert (out / "report.html").exists()


def test_failures_are_printed_at_once_and_make_the_exit_code_1(raw):
    result = run(raw, "--no-report", "--set", "fail_on=m0")
    assert result.exit_code == 1
    assert "m0.mrc failed: ZeroDivisionError" in result.output


def test_sigterm_ends_the_watch_cleanly(raw):
    result = run(raw, "--no-report", "--set", "stop_on=m1", "--until-idle", "60")
    assert result.exit_code == 0
    assert "ended: 1 picked" in result.output


def status(**changes) -> WatchStatus:
    usual = {"done": 5, "failed": 0, "waiting": 0, "settling": 0, "longest_wait": 0.0, "arrived": 9, "picked": 4, "problem": ""}
    return WatchStatus(**(usual | changes))


def test_the_journal_prints_lateness_and_problems_when_they_begin_and_end(capsys, monkeypatch):
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    journal = _StatusLog()
    for each in [
        status(),
        status(done=6),
        status(waiting=40, longest_wait=600.0),
        status(waiting=41, longest_wait=605.0),
        status(problem="raw: is away"),
        status(problem="raw: is away"),
        status(),
        status(problem="raw: is away"),
    ]:
        journal.status(each)
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 2  # the first, and the end of the lateness
    late, away, again = shown.err.splitlines()
    assert "5 picked, 40 waiting. BEHIND: the oldest has waited 10 minutes; 9 arrived and 4 were picked" in late
    assert "raw: is away" in away
    assert "raw: is away" in again
