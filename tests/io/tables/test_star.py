"""STAR files as RELION, CryoSPARC users and starfile write them, and what the writer puts out."""

import os

import numpy as np
import pytest
import starfile
from hypothesis import given
from hypothesis import strategies as st

from cryopick.errors import CryopickError, FileError
from cryopick.io.tables.star import read_star, star_text

RELION_3_1 = """
# version 30001

data_optics

loop_
_rlnOpticsGroupName #1
_rlnOpticsGroup #2
_rlnMicrographPixelSize #3
opticsGroup1            1     1.770000


# version 30001

data_micrographs

loop_
_rlnMicrographName #1
_rlnOpticsGroup #2
MotionCorr/job002/a.mrc            1
"MotionCorr/job002/b c.mrc"            1
"""


@pytest.fixture
def star(tmp_path):
    def write(text: str | bytes):
        path = tmp_path / "file.star"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def test_blocks_are_found_by_name_and_columns_by_label(star):
    tables = read_star(star(RELION_3_1))
    assert list(tables) == ["optics", "micrographs"]
    assert tables["optics"].numbers("rlnMicrographPixelSize").tolist() == [1.77]
    assert tables["micrographs"].labels == ["rlnMicrographName", "rlnOpticsGroup"]
    assert "rlnOpticsGroup" in tables["micrographs"]
    assert "rlnVoltage" not in tables["micrographs"]


def test_quotes_are_taken_off(star):
    assert read_star(star(RELION_3_1))["micrographs"].text("rlnMicrographName") == [
        "MotionCorr/job002/a.mrc",
        "MotionCorr/job002/b c.mrc",
    ]


def test_the_nameless_block_of_old_files_has_an_empty_name(star):
    assert list(read_star(star("data_\n\nloop_\n_a #1\n1\n"))) == [""]


def test_windows_line_ends_and_tabs(star):
    table = read_star(star("data_x\r\nloop_\r\n_a #1\r\n_b #2\r\n1\t2\r\n3\t\t4\r\n"))["x"]
    assert table.numbers("b").tolist() == [2, 4]


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_names_with_accents_are_those_of_the_file_system(star, encoding):
    table = read_star(star("data_\nloop_\n_a\n_b\nPräparat\\ü/a.mrc 5\n".encode(encoding)))[""]
    assert table.text("a") == [os.fsdecode("Präparat\\ü/a.mrc".encode(encoding))]
    assert table.numbers("b").tolist() == [5]


def test_a_table_without_rows(star):
    table = read_star(star("data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n\n"))[""]
    assert len(table) == 0
    assert table.numbers("rlnCoordinateX").shape == (0,)
    assert table.text("rlnCoordinateX") == []


def test_pairs_are_a_table_of_one_row(star):
    table = read_star(star("data_general\n\n_rlnImageSizeX 4096\n_rlnMicrographMovieName 'a b.tif'\n"))["general"]
    assert len(table) == 1
    assert table.numbers("rlnImageSizeX").tolist() == [4096]
    assert table.text("rlnMicrographMovieName") == ["a b.tif"]


@pytest.mark.parametrize("value", ["abc", "nan", "inf", "''", "1,5"])
def test_a_value_that_is_not_a_number_is_named_with_its_row(star, value):
    table = read_star(star(f"data_x\nloop_\n_a\n_b\n1 2\n3 {value}\n"))["x"]
    with pytest.raises(FileError, match=r"file\.star: row 2 has _b .*, which is not a number"):
        table.numbers("b")


def test_a_missing_column_is_named_with_those_there_are(star):
    with pytest.raises(FileError, match=r"no column _rlnCoordinateX \(it has _a, _b\)"):
        read_star(star("data_x\nloop_\n_a\n_b\n1 2\n"))["x"].numbers("rlnCoordinateX")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "no data block"),
        (b"# nothing\n", "no data block"),
        (b"x y score\n1 2 3\n", r"not a STAR file, or a damaged one \(line 1:"),
        (bytes(range(256)), "not a STAR file"),
        (b"data_x\nloop_\n_a\n_b\n1 2 3\n", r"row 1 of data_x \(line 5\) has 3 values, its loop has 2 columns"),
    ],
)
def test_a_file_that_is_not_star_is_named(star, content, fault):
    with pytest.raises(FileError, match=fault):
        read_star(star(content))


def test_an_absent_file_and_a_folder_are_errors_that_name_them(tmp_path):
    for path in (tmp_path / "absent.star", tmp_path):
        with pytest.raises(FileError, match=path.name):
            read_star(path)


def test_the_layout_is_relions():
    table = {"rlnMicrographName": ["a.mrc", "b c.mrc"], "rlnCoordinateX": [1.5, 1000], "rlnClassNumber": [0, 12]}
    assert star_text({"particles": table}) == (
        "\ndata_particles\n\nloop_\n_rlnMicrographName #1\n_rlnCoordinateX #2\n_rlnClassNumber #3\n"
        "a.mrc     1.500000            0\n"
        '"b c.mrc"  1000.000000           12\n'
    )


def test_starfile_reads_what_is_written(tmp_path):
    path = tmp_path / "out.star"
    path.write_text(
        star_text(
            {
                "optics": {"rlnOpticsGroup": [1], "rlnMicrographPixelSize": [1.06]},
                "particles": {"rlnMicrographName": ["a b.mrc", "c.mrc"], "rlnCoordinateX": np.array([1.25, -3])},
            }
        )
    )
    tables = starfile.read(path, always_dict=True)
    assert tables["particles"]["rlnMicrographName"].tolist() == ["a b.mrc", "c.mrc"]
    assert tables["particles"]["rlnCoordinateX"].tolist() == [1.25, -3]
    assert tables["optics"]["rlnMicrographPixelSize"].tolist() == [1.06]


def test_what_starfile_writes_is_read(tmp_path):
    import pandas

    path = tmp_path / "in.star"
    starfile.write({"particles": pandas.DataFrame({"rlnMicrographName": ["a b.mrc", "c.mrc"], "rlnCoordinateY": [0.5, 7]})}, path)
    table = read_star(path)["particles"]
    assert table.text("rlnMicrographName") == ["a b.mrc", "c.mrc"]
    assert table.numbers("rlnCoordinateY").tolist() == [0.5, 7]


printable = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"], exclude_characters="\"'"), max_size=12)


@given(st.lists(st.tuples(printable, st.floats(-1e6, 1e6), st.integers(-999, 10**9)), max_size=5))
def test_names_and_numbers_come_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("star") / "x.star"
    names, numbers, counts = ([row[i] for row in rows] for i in range(3))
    path.write_text(star_text({"x": {"name": names, "number": numbers, "count": counts}}), encoding="utf-8")
    table = read_star(path)["x"]
    assert table.text("name") == names
    np.testing.assert_allclose(table.numbers("number"), numbers, atol=5e-7)
    assert table.numbers("count").tolist() == counts


@pytest.mark.parametrize("name", ["both ' and \"", "two\nlines"])
def test_a_name_that_no_star_file_can_hold_is_an_error(name):
    with pytest.raises(CryopickError, match="cannot be written"):
        star_text({"x": {"name": [name]}})


def test_a_byte_order_mark_is_ignored(tmp_path):
    (tmp_path / "a.star").write_bytes(b"\xef\xbb\xbfdata_\n\nloop_\n_rlnCoordinateX #1\n7\n")
    (table,) = read_star(tmp_path / "a.star").values()
    assert table.numbers("rlnCoordinateX").tolist() == [7]
