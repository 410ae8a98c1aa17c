"""A run's output folder is read like any file of picks."""

import pytest
from typer.testing import CliRunner

from cryopick.cli import app
from cryopick.errors import CryopickError, FileError
from cryopick.io.picks.formats import read_picks
from cryopick.runs.folder import RunFolder
from cryopick.runs.outputs import assemble
from cryopick.runs.records import done, read_record, write_record
from cryopick.runs.results import read_picks_or_run, run_picks
from cryopick.runs.settings import run_settings
from cryopick.types import Micrograph, Picks

SHAPE = (100, 120)


@pytest.fixture
def picked(tmp_path):
    """A run over a TIFF with two picks and an MRC with none, 2 Å/px, particles of 40 Å."""
    folder = RunFolder(tmp_path / "picks")
    folder.prepare(run_settings(), overwrite=False)
    for name, xy in (("job/a.tif", [[30, 10], [60, 20]]), ("job/b.mrc", [])):
        picks = Picks(name, xy, [0.75] * len(xy), 40.0, SHAPE, 2.0)
        write_record(done(picks, path=name, seconds=1.0, files=[], notes=[]), folder.record(name[4]))
    assemble(folder, [(name, read_record(folder.record(name)).outcome) for name in "ab"], run_settings())
    return folder.path


def test_picks_come_with_shapes_and_with_micrographs_that_have_none(picked):
    a, b = run_picks(picked)
    assert (a.micrograph, a.xy.tolist()) == ("job/a.tif", [[30, 10], [60, 20]])
    assert (a.shape_hw, a.pixel_size, a.diameter) == (SHAPE, 2.0, 40.0)
    assert (b.micrograph, len(b), b.shape_hw) == ("job/b.mrc", 0, SHAPE)


def test_a_given_pixel_size_wins_and_the_micrographs_names_are_taken(picked):
    known = [Micrograph([[0.0] * 120] * 100, None, name) for name in ("a.tif", "b.mrc")]
    a, b = run_picks(picked, micrographs=known, pixel_size=1.6)
    assert (a.micrograph, a.pixel_size, a.diameter, a.diameter_px) == ("a.tif", 1.6, 40.0, 25.0)
    assert b.micrograph == "b.mrc"
    with pytest.raises(CryopickError, match="no micrograph matches"):
        run_picks(picked, micrographs=known[:1])


def test_a_named_format_is_what_is_read(picked):
    with pytest.raises(FileError, match="no columns x and y"):
        read_picks_or_run(picked, format="csv")


def test_a_damaged_record_is_named(picked):
    (picked / "records" / "a.json").write_text('{"outcome": ')
    with pytest.raises(FileError, match=r"a\.json: is damaged"):
        run_picks(picked)


def test_a_run_converts_without_its_micrographs_though_rows_of_tiffs_turn(picked, tmp_path):
    result = CliRunner().invoke(app, ["convert", str(picked), str(tmp_path / "out.csv")], catch_exceptions=False)
    assert "read 2 picks on 2 micrographs" in result.output
    (a,) = read_picks(tmp_path / "out.csv")
    assert a.xy.tolist() == [[30, 10], [60, 20]]


def test_check_describes_a_run(picked):
    result = CliRunner().invoke(app, ["check", str(picked)], catch_exceptions=False)
    assert result.exit_code == 0
    assert "picks: 2 on 2 micrographs" in result.output
