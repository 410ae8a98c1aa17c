"""Delimited tables by the names in their header."""

import pytest

from cryopick.errors import FileError
from cryopick.io.tables.delimited import first_of, parse_numbers, read_delimited


@pytest.fixture
def table(tmp_path):
    def write(content: bytes):
        path = tmp_path / "t.csv"
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize(
    "content",
    [
        b"Name,X\na,1\nb,2\n",
        b"name;x\r\na;1\r\nb;2",
        b"\xef\xbb\xbf name \t x \na\t1\n\nb\t2\n  \n",
        b'"name","x"\n"a","1"\n"b",2\n',
    ],
)
def test_columns_are_found_by_name_whatever_the_delimiter_quotes_and_line_ends(table, content):
    assert read_delimited(table(content)) == {"name": ["a", "b"], "x": ["1", "2"]}


def test_a_delimiter_within_quotes_is_part_of_the_value(table):
    assert read_delimited(table(b'name,x\n"a, b",1\n')) == {"name": ["a, b"], "x": ["1"]}


def test_a_header_alone_is_a_table_without_rows(table):
    assert read_delimited(table(b"name,x\n")) == {"name": [], "x": []}


@pytest.mark.parametrize("rows", [b"a,1\nb\n", b'"a",1\nb\n', b"a,1\nb,2,3\n"])
def test_a_row_of_another_length_is_named(table, rows):
    with pytest.raises(FileError, match=r"t\.csv: row 2 has (1 value|3 values), but the header has 2"):
        read_delimited(table(b"name,x\n" + rows))


def test_two_faults_that_would_cancel_out_are_seen(table):
    with pytest.raises(FileError, match="row 1 has 1 value,"):
        read_delimited(table(b"name,x\na\nb,2,3\n"))


def test_empty_and_missing_files_are_errors(table, tmp_path):
    with pytest.raises(FileError, match="is empty"):
        read_delimited(table(b"\n  \n"))
    with pytest.raises(FileError, match=r"absent\.csv: cannot be read"):
        read_delimited(tmp_path / "absent.csv")


def test_the_first_wanted_name_that_is_there(tmp_path):
    assert first_of(["b", "c", "a"], ["x", "a", "b"]) == "a"
    assert first_of([], ["a"]) is None
    assert parse_numbers(tmp_path, "x", []).shape == (0,)
