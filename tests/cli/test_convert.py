"""`cryopick convert` from the command line."""

import numpy as np
import pytest
from typer.testing import CliRunner

from cryopick.cli import app
from cryopick.errors import CryopickError, FileError, SettingError
from cryopick.files import _machine
from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.picks.formats import FORMATS, read_picks

TOPAZ = "image_name\tx_coord\ty_coord\tscore\na\t1\t2\t0.75\na\t3\t4\t-0.5\nb\t5\t6\t0.25\n"


@pytest.fixture
def convert(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        result = CliRunner().invoke(app, ["convert", *map(str, arguments)])
        if result.exception is not None:
            raise result.exception
        return result.output

    return run


def test_topaz_to_relion_with_the_micrographs_names_and_pixel_size(tmp_path, convert, rng):
    (tmp_path / "topaz.txt").write_text(TOPAZ)
    (tmp_path / "raw").mkdir()
    for name in ("a.mrc", "b.mrc"):
        write_micrograph(tmp_path / "raw" / name, rng.normal(size=(60, 80)).astype(np.float32), pixel_size=1.5)
    output = convert("topaz.txt", "out.star", "--micrographs", "raw", "--downsample", 8, "--diameter", 30)
    assert "read 3 picks on 2 micrographs from topaz.txt (topaz, images reduced by a factor of 8)" in output
    assert "wrote 3 picks on 2 micrographs to out.star (star)" in output
    a, b = read_picks(tmp_path / "out.star")
    assert (a.micrograph, a.xy.tolist(), a.pixel_size, a.diameter) == ("a.mrc", [[8, 16], [24, 32]], 1.5, 30)
    assert (b.micrograph, b.xy.tolist()) == ("b.mrc", [[40, 48]])


def test_a_folder_of_boxes_of_a_given_side(tmp_path, convert):
    (tmp_path / "p.csv").write_text("micrograph,x,y\na.mrc,10,20\n")
    convert("p.csv", "boxes", "--to", "box", "--box", 8)
    assert (tmp_path / "boxes" / "a.box").read_text() == "6\t16\t8\t8\n"


def test_picks_below_the_threshold_are_removed(tmp_path, convert):
    (tmp_path / "topaz.txt").write_text(TOPAZ)
    assert "wrote 1 pick on 2 micrographs" in convert("topaz.txt", "out.csv", "--threshold", 0.5)
    (tmp_path / "p.csv").write_text("micrograph,x,y\na.mrc,10,20\n")
    with pytest.raises(SettingError, match=r"a\.mrc: --threshold needs scores"):
        convert("p.csv", "out.csv", "--threshold", 0.5)


def test_a_threshold_of_nan_is_an_error_and_nothing_is_written(tmp_path, convert):
    (tmp_path / "topaz.txt").write_text(TOPAZ)
    with pytest.raises(SystemExit, match="2"):
        convert("topaz.txt", "out.csv", "--threshold", "nan")
    assert not (tmp_path / "out.csv").exists()


def test_a_format_that_cannot_be_detected_can_be_given(tmp_path, convert):
    (tmp_path / "p.txt").write_text("x y\n")
    with pytest.raises(FileError, match="no known format of picks"):
        convert("p.txt", "out.star")
    with pytest.raises(SettingError, match="'nosuch'"):
        convert("p.txt", "out.star", "--from", "nosuch")
    with pytest.raises(FileError, match=r"no format has the suffix"):
        convert("p.txt", "out.xyz")


def test_the_help_names_every_format(convert):
    listed = convert("--help").split("Formats:")[1].split("Arguments:")[0]
    assert [name for name in FORMATS.names if name not in listed] == []
    assert FORMATS.names


def test_a_missing_shape_is_an_error_that_says_how_to_give_it(tmp_path, convert):
    (tmp_path / "p.csv").write_text("micrograph,x,y\na.mrc,10,20\n")
    with pytest.raises(CryopickError, match=r"a\.mrc: .*needs the micrograph's shape; give the micrographs"):
        convert("p.csv", "out.cs")
    assert not (tmp_path / "out.cs").exists()


def test_what_a_killed_run_left_is_removed_and_never_read(tmp_path, convert):
    (tmp_path / "in").mkdir()
    for name in ("p.csv", f".cryopick-tmp-{_machine()}-0123456789ab.csv", ".p-1a2b3c4d.csv"):
        (tmp_path / "in" / name).write_text("micrograph,x,y\na.mrc,10,20\n")
    assert "read 1 pick on 1 micrograph" in convert("in", "in/boxes.star", "--from", "csv")
    assert sorted(path.name for path in (tmp_path / "in").iterdir()) == [".p-1a2b3c4d.csv", "boxes.star", "p.csv"]
