"""RELION's flat STAR and CryoSPARC's: rows as other programs write them, and what starfile reads of ours."""

import numpy as np
import pytest
import starfile

from cryopick.errors import FileError
from cryopick.io.picks.formats import read_picks, write_picks
from cryopick.types import Micrograph, Picks

RELION_PARTICLES = """
# version 30001

data_optics

loop_
_rlnOpticsGroupName #1
_rlnOpticsGroup #2
_rlnMicrographPixelSize #3
_rlnImagePixelSize #4
opticsGroup1            1     1.500000     3.000000
opticsGroup2            2     0.885000     3.000000


# version 30001

data_particles

loop_
_rlnCoordinateY #1
_rlnOpticsGroup #2
_rlnImageName #3
_rlnCoordinateX #4
_rlnMicrographName #5
   200.500000            1 000001@Extract/job003/raw/b.mrcs    100.250000 MotionCorr/job002/raw/b.mrc
     7.000000            2 000001@Extract/job003/raw/a.mrcs      0.000000 MotionCorr/job002/raw/a.mrc
     9.000000            1 000002@Extract/job003/raw/b.mrcs      8.000000 MotionCorr/job002/raw/b.mrc
"""


def blank(name, shape=(100, 200), pixel_size=None):
    return Micrograph(np.zeros(shape, np.float32), pixel_size, name)


def test_columns_in_any_order_and_pixel_sizes_by_optics_group(tmp_path):
    (tmp_path / "particles.star").write_text(RELION_PARTICLES)
    b, a = read_picks(tmp_path / "particles.star")
    assert (b.micrograph, b.xy.tolist(), b.pixel_size) == ("MotionCorr/job002/raw/b.mrc", [[100.25, 200.5], [8, 9]], 1.5)
    assert (a.micrograph, a.xy.tolist(), a.pixel_size) == ("MotionCorr/job002/raw/a.mrc", [[0, 7]], 0.885)
    assert b.scores is None


def test_old_files_without_optics_and_with_windows_line_ends(tmp_path):
    labels = ("MicrographName", "CoordinateX", "CoordinateY", "AutopickFigureOfMerit")
    header = "data_\r\n\r\nloop_\r\n" + "".join(f"_rln{label} #{number}\r\n" for number, label in enumerate(labels, 1))
    (tmp_path / "old.star").write_bytes((header + 'a.mrc\t1\t2\t0.25\r\n"b c.mrc"\t3\t4\t0.5\r\n').encode())
    a, bc = read_picks(tmp_path / "old.star")
    assert (a.micrograph, a.xy.tolist(), a.scores.tolist(), a.pixel_size) == ("a.mrc", [[1, 2]], [0.25], None)
    assert (bc.micrograph, bc.xy.tolist()) == ("b c.mrc", [[3, 4]])


def test_particles_picked_by_hand_have_no_scores(tmp_path):
    header = "data_\nloop_\n_rlnMicrographName\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnAutopickFigureOfMerit\n"
    (tmp_path / "manual.star").write_text(header + "a.mrc 1 2 -999.000000\n")
    assert read_picks(tmp_path / "manual.star")[0].scores is None


def test_a_micrograph_picked_by_hand_has_no_scores_beside_others_that_have(tmp_path):
    header = "data_\nloop_\n_rlnMicrographName\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnAutopickFigureOfMerit\n"
    (tmp_path / "mixed.star").write_text(header + "a.mrc 1 2 -999\nb.mrc 3 4 0.25\nb.mrc 5 6 -999\n")
    a, b = read_picks(tmp_path / "mixed.star")
    assert a.scores is None
    assert b.scores.tolist() == [0.25, -999]


def test_a_group_that_the_optics_table_lacks_has_no_pixel_size(tmp_path):
    (tmp_path / "particles.star").write_text(RELION_PARTICLES.replace("7.000000            2 ", "7.000000            5 "))
    b, a = read_picks(tmp_path / "particles.star")
    assert (b.optics_group, b.pixel_size) == (1, 1.5)
    assert (a.optics_group, a.pixel_size) == (5, None)


def test_an_empty_table_gives_no_picks(tmp_path):
    (tmp_path / "x.star").write_text("data_particles\n\nloop_\n_rlnMicrographName\n_rlnCoordinateX\n_rlnCoordinateY\n\n")
    assert read_picks(tmp_path / "x.star") == []


def test_a_bad_coordinate_is_named_with_its_row(tmp_path):
    (tmp_path / "x.star").write_text(RELION_PARTICLES.replace("8.000000", "8,0"))
    with pytest.raises(FileError, match=r"x\.star: row 3 has _rlnCoordinateX '8,0', which is not a number"):
        read_picks(tmp_path / "x.star")


def test_the_error_for_a_star_file_without_coordinates_lists_its_blocks(tmp_path):
    (tmp_path / "micrographs.star").write_text("data_micrographs\nloop_\n_rlnMicrographName\na.mrc\n")
    with pytest.raises(FileError, match="only data_micrographs"):
        read_picks(tmp_path / "micrographs.star", format="star")


def test_rows_of_tiffs_are_counted_from_the_last_as_relion_does(tmp_path):
    # 100 rows: RELION's row 0 is the file's row 99, and 69.5 is 29.5.
    (tmp_path / "x.star").write_text(
        "data_\nloop_\n_rlnMicrographName\n_rlnCoordinateX\n_rlnCoordinateY\nb.tif 100.25 69.5\nb.tif 8 0\n"
    )
    (picks,) = read_picks(tmp_path / "x.star", micrographs=[blank("raw/b.tif")])
    assert picks.xy.tolist() == [[100.25, 29.5], [8, 99]]
    write_picks([picks], tmp_path / "y.star")
    assert starfile.read(tmp_path / "y.star")["rlnCoordinateY"].tolist() == [69.5, 0]


def test_a_name_without_extension_is_a_tiff_if_the_micrograph_is(tmp_path):
    (tmp_path / "x.star").write_text("data_\nloop_\n_rlnMicrographName\n_rlnCoordinateX\n_rlnCoordinateY\nb 8 0\n")
    assert read_picks(tmp_path / "x.star", micrographs=[blank("b.tif")])[0].xy.tolist() == [[8, 99]]
    assert read_picks(tmp_path / "x.star", micrographs=[blank("b.mrc")])[0].xy.tolist() == [[8, 0]]


def test_starfile_reads_ours_with_decimals_kept(tmp_path):
    picks = [
        Picks("raw/a b.mrc", [[10.25, 20.5], [0, 99]], [0.75, 0.5], 150.0, (100, 200), 1.5),
        Picks("raw/c.mrc", [[1, 2]], None, 150.0, (100, 200), 1.5),
        Picks("raw/d.mrc", [[3, 4]], [1.0], 150.0, (100, 200), 0.75),
    ]
    write_picks(picks, tmp_path / "out.star")
    tables = starfile.read(tmp_path / "out.star")
    particles = tables["particles"]
    assert particles["rlnMicrographName"].tolist() == ["raw/a b.mrc", "raw/a b.mrc", "raw/c.mrc", "raw/d.mrc"]
    assert particles["rlnCoordinateX"].tolist() == [10.25, 0, 1, 3]
    assert particles["rlnCoordinateY"].tolist() == [20.5, 99, 2, 4]
    assert particles["rlnAutopickFigureOfMerit"].tolist() == [0.75, 0.5, -999, 1]
    assert particles["rlnOpticsGroup"].tolist() == [1, 1, 1, 2]
    assert tables["optics"]["rlnMicrographPixelSize"].tolist() == [1.5, 0.75]
    assert tables["optics"]["rlnParticleDiameter"].tolist() == [150, 150]


def test_optics_groups_keep_their_numbers_and_come_back(tmp_path):
    picks = [
        Picks("a.mrc", [[1, 2]], None, 150.0, None, 1.5, optics_group=3),
        Picks("b.mrc", [[1, 2]], None, 150.0, None, 0.75, optics_group=1),
    ]
    write_picks(picks, tmp_path / "out.star")
    optics = starfile.read(tmp_path / "out.star")["optics"]
    assert optics["rlnOpticsGroup"].tolist() == [1, 3]
    assert optics["rlnMicrographPixelSize"].tolist() == [0.75, 1.5]
    back = read_picks(tmp_path / "out.star")
    assert [(one.micrograph, one.optics_group, one.pixel_size) for one in back] == [("a.mrc", 3, 1.5), ("b.mrc", 1, 0.75)]


def test_the_diameter_comes_back_where_it_is_one_for_all(tmp_path):
    one = [Picks("a.mrc", [[1, 2]], None, 150.0, None, 1.5), Picks("b.mrc", [[1, 2]], None, 150.0, None, 1.5)]
    write_picks(one, tmp_path / "one.star")
    assert [picks.diameter for picks in read_picks(tmp_path / "one.star")] == [150, 150]
    two = [one[0], Picks("b.mrc", [[1, 2]], None, 160.0, None, 1.5)]
    write_picks(two, tmp_path / "two.star")
    assert [picks.diameter for picks in read_picks(tmp_path / "two.star")] == [None, None]
    write_picks([*two, Picks("c.mrc", [[1, 2]], None, 150.0, None, 0.75)], tmp_path / "three.star")
    assert [picks.diameter for picks in read_picks(tmp_path / "three.star")] == [None, None, None]


def test_micrographs_without_picks_and_float_noise_change_no_optics_group(tmp_path):
    picks = [
        Picks("a.mrc", [[1, 2]], None, 150.0, None, 1.77),
        Picks("b.mrc"),
        Picks("c.mrc", [[1, 2]], None, 150.0, None, float(np.float32(1.77))),
    ]
    write_picks(picks, tmp_path / "out.star")
    assert len(starfile.read(tmp_path / "out.star")["optics"]) == 1
    assert [(each.pixel_size, each.diameter) for each in read_picks(tmp_path / "out.star")] == [(1.77, 150)] * 2


def test_without_pixel_sizes_there_is_no_optics_table(tmp_path):
    write_picks([Picks("a.mrc", [[1, 2]], None, 30.0), Picks("b.mrc", [[1, 2]], None, 150.0, None, 1.5)], tmp_path / "out.star")
    assert list(starfile.read(tmp_path / "out.star", always_dict=True)) == ["particles"]


def test_cryosparc_gets_bare_names_without_its_uid_and_the_files_own_rows(tmp_path):
    picks = [
        Picks("J1/imported/000001281467243737059_a.mrc", [[10.25, 20.5]], [0.75]),
        Picks("raw/b.tif", [[1, 2]], [0.5], None, (100, 200)),
    ]
    write_picks(picks, tmp_path / "out.star", format="cryosparc-star")
    table = starfile.read(tmp_path / "out.star")
    assert table["rlnMicrographName"].tolist() == ["a.mrc", "b.tif"]
    assert table["rlnCoordinateY"].tolist() == [20.5, 2]
    found = read_picks(tmp_path / "out.star", micrographs=[blank("J1/imported/000001281467243737059_a.mrc"), blank("b.tif")])
    assert found[0].micrograph == "J1/imported/000001281467243737059_a.mrc"
