"""`cryopick check` names every fault with its remedy, describes good files, and exits with 1 if there is a fault."""

import numpy as np
import pytest
from typer.testing import CliRunner

from cryopick.cli import app
from cryopick.io.micrographs.files import write_micrograph

PIXELS = np.arange(15, dtype=np.float32).reshape(3, 5)
STAR = "data_particles\n\nloop_\n_rlnMicrographName\n_rlnCoordinateX\n_rlnCoordinateY\n"


def check(*arguments):
    result = CliRunner().invoke(app, ["check", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


@pytest.fixture
def good(tmp_path):
    write_micrograph(tmp_path / "good.mrc", PIXELS, pixel_size=1.77)
    return tmp_path / "good.mrc"


@pytest.fixture
def cut(tmp_path):
    write_micrograph(tmp_path / "cut.mrc", PIXELS)
    (tmp_path / "cut.mrc").write_bytes((tmp_path / "cut.mrc").read_bytes()[:-8])
    return tmp_path / "cut.mrc"


def test_a_good_micrograph_is_described_and_the_exit_code_is_0(good):
    code, output = check(good)
    assert code == 0
    assert f"{good}: good" in output
    for fact in ("5 x 3", "MRC mode 2 (float32)", "1.77 Å", "0 to 14, mean 7"):
        assert fact in output
    assert "1 file checked, 0 with faults" in output


def test_one_faulty_file_among_good_ones_makes_the_exit_code_1(good, cut):
    code, output = check(good, cut)
    assert code == 1
    assert f"{cut}: 1 fault\n  fault: is truncated or damaged: 2 of 3 rows can be read. Copy it again" in output
    assert "2 files checked, 1 with faults" in output


def test_folders_patterns_and_lists_are_checked_file_by_file(good, cut, tmp_path):
    (tmp_path / "all.lst").write_text("good.mrc\ncut.mrc\n")
    for given in (tmp_path, tmp_path / "*.mrc", tmp_path / "all.lst"):
        code, output = check(given)
        assert code == 1
        assert "2 files checked, 1 with faults" in output


def test_files_with_the_same_stem_are_all_checked(good, tmp_path):
    write_micrograph(tmp_path / "good.tif", PIXELS)
    assert "2 files checked, 0 with faults" in check(tmp_path)[1]


def test_the_micrographs_of_a_star_file_are_checked(good, tmp_path):
    (tmp_path / "micrographs.star").write_text("data_micrographs\n\nloop_\n_rlnMicrographName\ngood.mrc\ngone.mrc\n")
    code, output = check(tmp_path / "micrographs.star")
    assert code == 1
    assert "good.mrc: good" in output
    assert "gone.mrc: 1 fault\n  fault: no such file" in output


def test_a_file_of_picks_is_recognised_and_described(tmp_path):
    (tmp_path / "p.star").write_text(STAR + "a.mrc 1 2\nb.mrc 3 4\n")
    code, output = check(tmp_path / "p.star")
    assert code == 0
    assert "picks: 2 on 2 micrographs" in output


def test_picks_are_checked_against_the_given_micrographs(good, tmp_path):
    (tmp_path / "p.star").write_text(STAR + "good.mrc 1 2\ngood.mrc 2 4\n")
    assert check(tmp_path / "p.star")[0] == 0
    code, output = check(tmp_path / "p.star", "--micrographs", good)
    assert code == 1
    assert "1 of 2 picks lie outside good.mrc (5 x 3 pixels)" in output


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("p.star", STAR + "a.mrc 1 2 3\n", "row 1 of data_particles (line 7) has 4 values"),
        ("p.star", STAR + "a.mrc one 2\n", "one"),
        ("p.box", "1 2 3\n", ""),
        ("p.xyz", "1 2 3\n", "neither MRC, TIFF, PNG nor JPEG"),
    ],
)
def test_damaged_files_are_faults_not_crashes(tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    code, output = check(tmp_path / name)
    assert code == 1
    assert "1 fault" in output
    assert said in output


def test_a_missing_file_is_a_fault_and_the_others_are_checked(good, tmp_path):
    code, output = check(tmp_path / "gone.mrc", good)
    assert code == 1
    assert "no such file" in output
    assert f"{good}: good" in output
