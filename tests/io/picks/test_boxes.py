"""Formats with a file for each micrograph: EMAN 1 and 2, crYOLO, Xmipp and CryoPPP, by hand and as those programs write them."""

import json

import numpy as np
import pytest

from cryopick.errors import FileError, SettingError
from cryopick.io.picks.formats import detect_format, read_picks, write_picks
from cryopick.types import Micrograph, Picks


def blank(name, shape=(100, 200), pixel_size=None):
    return Micrograph(np.zeros(shape, np.float32), pixel_size, name)


def written(tmp_path, picks, name, suffix, **options):
    write_picks([picks], tmp_path / f"a{suffix}", format=name, **options)
    return (tmp_path / f"a{suffix}").read_text()


# EMAN1


@pytest.mark.parametrize(("side", "corner"), [(4, "8\t18"), (5, "8\t18"), (1, "10\t20"), (64, "-22\t-12")])
def test_a_box_begins_half_its_side_before_the_centre(tmp_path, side, corner):
    picks = Picks("a.mrc", [[10.25, 19.75]])
    assert written(tmp_path, picks, "box", ".box", box=side) == f"{corner}\t{side}\t{side}\n"
    assert read_picks(tmp_path / "a.box")[0].xy.tolist() == [[10, 20]]


def test_boxes_of_eman_with_blanks_decimals_and_a_fifth_column(tmp_path):
    (tmp_path / "a.box").write_bytes(b"10 20 180 180 -3\r\n\r\n 0.0\t1.0   181\t179\t0\r\n")
    (picks,) = read_picks(tmp_path / "a.box")
    assert (picks.micrograph, picks.xy.tolist()) == ("a", [[100, 110], [90, 90]])
    assert picks.diameter is None


def test_the_box_is_the_diameter_in_pixels_unless_one_is_given(tmp_path):
    picks = Picks("a.mrc", [[50, 50]], None, 30.0, None, 1.5)
    assert written(tmp_path, picks, "box", ".box") == "40\t40\t20\t20\n"
    with pytest.raises(SettingError, match=r"a\.mrc: this format needs a box size"):
        write_picks([Picks("a.mrc", [[50, 50]])], tmp_path / "b.box")


@pytest.mark.parametrize(("line", "fault"), [("1 2 3", "row 2 has 3 values"), ("1 x 3 4", "row 2 has y 'x'")])
def test_a_bad_box_is_named_with_its_row(tmp_path, line, fault):
    (tmp_path / "a.box").write_text(f"1 2 3 4\n{line}\n")
    with pytest.raises(FileError, match=rf"a\.box: {fault}"):
        read_picks(tmp_path / "a.box")


# EMAN2

EMAN2_INFO = """{
"boxes":[
[
1042.0,
36.5,
"manual"
],
[
7,
8,
"auto_local",
0.75
]
],
"ctf_frame":[512,"E1.2300",[256,256],"set()",5,1],
"quality":5
}"""


def test_boxes_that_eman2_wrote_among_other_things(tmp_path):
    (tmp_path / "info").mkdir()
    (tmp_path / "info" / "a_info.json").write_text(EMAN2_INFO)
    for path in (tmp_path, tmp_path / "info", tmp_path / "info" / "a_info.json"):
        assert detect_format(path) == "eman2"
        (picks,) = read_picks(path)
        assert (picks.micrograph, picks.xy.tolist()) == ("a", [[1042, 36.5], [7, 8]])


def test_eman2_centres_are_the_picks_own_numbers(tmp_path):
    content = json.loads(written(tmp_path, Picks("a.mrc", [[10.25, 0], [3, 99]]), "eman2", "_info.json"))
    assert content == {"boxes": [[10.25, 0, "manual"], [3, 99, "manual"]]}


def test_a_micrograph_that_was_not_boxed_yet_has_no_picks(tmp_path):
    (tmp_path / "a_info.json").write_text('{"quality": 5}')
    assert len(read_picks(tmp_path / "a_info.json")[0]) == 0


@pytest.mark.parametrize("content", ["[]", "{", '{"boxes": [[1]]}', '{"boxes": 3}', '{"boxes": [["x", 1]]}'])
def test_damaged_eman2_files_are_named(tmp_path, content):
    (tmp_path / "a_info.json").write_text(content)
    with pytest.raises(FileError, match=r"a_info\.json"):
        read_picks(tmp_path / "a_info.json")


# crYOLO

CBOX = """
data_global

_cbox_format_version 1.0

data_cryolo

loop_
_CoordinateX #1
_CoordinateY #2
_CoordinateZ #3
_Width #4
_Height #5
_Depth #6
_EstWidth #7
_EstHeight #8
_Confidence #9
_NumBoxes #10
_Angle #11
100.0 200.0 <NA> 220.0 220.0 <NA> 212.5 208.0 0.875 1.0 <NA>
-10.0 20.5 <NA> 221.0 221.0 <NA> 214.5 210.0 0.25 1.0 <NA>

data_cryolo_include

loop_
_slice_index #1

"""


def test_boxes_of_cryolo_are_centred_exactly(tmp_path):
    (tmp_path / "a.cbox").write_text(CBOX)
    assert detect_format(tmp_path / "a.cbox") == "cbox"
    (picks,) = read_picks(tmp_path / "a.cbox", pixel_size=2.0)
    assert picks.xy.tolist() == [[210, 310], [100.5, 131]]
    assert picks.scores.tolist() == [0.875, 0.25]
    assert picks.diameter == 2 * 213.5


def test_cryolo_gets_the_corner_and_the_diameter(tmp_path):
    picks = Picks("a.mrc", [[50, 60.5]], [0.5], 31.5, None, 1.5)
    row = written(tmp_path, picks, "cbox", ".cbox").split("data_cryolo\n")[1].split("_Angle #11\n")[1].split("\n")[0].split()
    assert [float(row[i]) for i in (0, 1, 3, 4, 6, 7, 8)] == [39.5, 50, 21, 21, 21, 21, 0.5]
    assert row[2] == row[5] == "<NA>"


def test_cryolo_boxes_without_confidence_are_picks_without_scores(tmp_path):
    write_picks([Picks("a.mrc", [[50, 60]], None, 21.0)], tmp_path / "a.cbox")
    assert read_picks(tmp_path / "a.cbox")[0].scores is None


# Xmipp

XMIPP = """# XMIPP_STAR_1 *
#
data_header
loop_
 _pickingMicrographState
Manual
data_particles
loop_
 _enabled
 _cost
 _xcoor
 _ycoor
         1     0.500000        10        20
        -1     0.250000        30        40
         1     0.125000         0         0
"""


def test_enabled_particles_of_xmipp_are_read(tmp_path):
    (tmp_path / "a.pos").write_text(XMIPP)
    assert detect_format(tmp_path / "a.pos") == "xmipp"
    (picks,) = read_picks(tmp_path / "a.pos")
    assert picks.xy.tolist() == [[10, 20], [0, 0]]
    assert picks.scores.tolist() == [0.5, 0.125]


def test_xmipp_gets_whole_pixels(tmp_path):
    text = written(tmp_path, Picks("a.mrc", [[10.5, 20.25]], [0.5]), "xmipp", ".pos")
    assert "data_particles" in text
    assert "_xcoor" in text
    assert text.split("\n")[-2].split() == ["1", "11", "20", "0.500000"]


# CryoPPP

CRYOPPP = "X-Coordinate,Y-Coordinate,Diameter,Angle-Psi\n1970,99,84,33.979591\n0,0,84,191.938766\n"


def test_rows_of_cryoppp_are_counted_from_the_last_row_of_the_mrc(tmp_path):
    (tmp_path / "a.csv").write_text(CRYOPPP)
    assert detect_format(tmp_path / "a.csv") == detect_format(tmp_path) == "cryoppp"
    (picks,) = read_picks(tmp_path, micrographs=[blank("a.mrc", (100, 2000), 1.5)])
    assert picks.xy.tolist() == [[1970, 0], [0, 99]]
    assert picks.diameter == 84 * 1.5


def test_rows_of_cryoppp_are_those_of_its_images_which_are_flipped_already(tmp_path):
    (tmp_path / "a.csv").write_text(CRYOPPP)
    (picks,) = read_picks(tmp_path, micrographs=[blank("a.jpg", (100, 2000))])
    assert picks.xy.tolist() == [[1970, 99], [0, 0]]
    assert picks.diameter == 84


def test_cryoppp_gets_integer_pixels_of_the_flipped_image(tmp_path):
    picks = Picks("a.mrc", [[10.25, 0], [3, 99]], None, 30.0, (100, 200), 1.5)
    assert written(tmp_path, picks, "cryoppp", ".csv") == "X-Coordinate,Y-Coordinate,Diameter\n10,99,20\n3,0,20\n"
