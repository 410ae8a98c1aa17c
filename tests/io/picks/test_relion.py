"""RELION's auto-pick job folders, in the layouts of 3.1 and of 4 and 5."""

from pathlib import Path

import numpy as np
import pytest
import starfile

from cryopick.errors import FileError, NameMatchError
from cryopick.io.micrographs.sources import find_micrographs
from cryopick.io.picks.formats import detect_format, read_picks, write_picks
from cryopick.io.picks.relion import coordinate_file, write_coordinates, write_index
from cryopick.types import Micrograph, Picks

COORDINATES = """
# version 30001

data_

loop_
_rlnCoordinateX #1
_rlnCoordinateY #2
_rlnClassNumber #3
_rlnAnglePsi #4
_rlnAutopickFigureOfMerit #5
  839.125024    19.979167            0     0.000000     0.624705
  899.062526   199.791672            0     0.000000     0.623809
"""
INDEX = """
# version 30001

data_coordinate_files

loop_
_rlnMicrographName #1
_rlnMicrographCoordinates #2
MotionCorr/job002/raw/a.mrc AutoPick/job006/raw/a_autopick.star
"""


@pytest.fixture
def job(tmp_path):
    folder = tmp_path / "AutoPick" / "job006"
    (folder / "raw").mkdir(parents=True)
    (folder / "raw" / "a_autopick.star").write_text(COORDINATES)
    return folder


def test_a_job_of_relion_4_is_read_by_its_index(job, monkeypatch):
    (job / "autopick.star").write_text(INDEX)
    monkeypatch.chdir(job.parents[1])
    for path in (job, job / "autopick.star", Path("AutoPick/job006")):
        (picks,) = read_picks(path)
        assert picks.micrograph == "MotionCorr/job002/raw/a.mrc"
        assert picks.xy.tolist() == [[839.125024, 19.979167], [899.062526, 199.791672]]
        np.testing.assert_allclose(picks.scores, [0.624705, 0.623809], rtol=1e-6)


def test_a_job_is_read_from_outside_the_project_and_when_moved(job, tmp_path):
    (job / "autopick.star").write_text(INDEX)
    assert len(read_picks(job)[0]) == 2
    moved = job.rename(tmp_path / "copied")
    assert len(read_picks(moved)[0]) == 2


def test_a_coordinate_file_that_is_missing_is_named(job):
    (job / "autopick.star").write_text(INDEX.replace("raw/a_autopick", "raw/z_autopick"))
    with pytest.raises(FileError, match=r"lists AutoPick/job006/raw/z_autopick\.star, which does not exist"):
        read_picks(job)


def test_a_job_of_relion_3_1_is_read_by_its_files(job):
    (job / "coords_suffix_autopick.star").write_text("CtfFind/job003/micrographs_ctf.star\n")
    for path in (job, job / "coords_suffix_autopick.star"):
        assert detect_format(path) == "relion"
        (picks,) = read_picks(path)
        assert (picks.micrograph, len(picks)) == ("raw/a", 2)
    (picks,) = read_picks(job, micrographs=[Micrograph(np.zeros((960, 928), np.float32), None, "MotionCorr/job002/raw/a.mrc")])
    assert (picks.micrograph, picks.shape_hw) == ("MotionCorr/job002/raw/a.mrc", (960, 928))


@pytest.mark.parametrize(
    "content", ["", "\n# version 30001\n\ndata_\n\nloop_ \n\n", "data_\n\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n\n"]
)
def test_relion_found_nothing_on_a_micrograph(job, content):
    # RELION 3.1 leaves an empty file; tables without labels or rows come from other versions.
    (job / "raw" / "b_autopick.star").write_text(content)
    assert [(picks.micrograph, len(picks)) for picks in read_picks(job, format="relion")] == [("raw/a", 2), ("raw/b", 0)]
    assert len(read_picks(job / "raw" / "b_autopick.star")[0]) == 0


def test_a_star_file_of_something_else_is_an_error(tmp_path):
    (tmp_path / "a_autopick.star").write_text("data_micrographs\n\nloop_\n_rlnMicrographName\na.mrc\n")
    with pytest.raises(FileError, match="has no table with _rlnCoordinateX"):
        read_picks(tmp_path / "a_autopick.star")


def test_an_index_without_its_table_and_one_with_impossible_names_are_errors(tmp_path):
    index = tmp_path / "autopick.star"
    index.write_text("# _rlnMicrographCoordinates\ndata_x\n_y 1\n")
    with pytest.raises(FileError, match="no table with _rlnMicrographCoordinates"):
        read_picks(index)
    index.write_text("data_\nloop_\n_rlnMicrographName\n_rlnMicrographCoordinates\na.mrc " + "a" * 5000 + "\n")
    with pytest.raises(FileError, match="which does not exist"):
        read_picks(index)


def test_a_folder_of_coordinate_files_alone_is_read(job):
    assert detect_format(job / "raw") == "relion"
    assert [picks.micrograph for picks in read_picks(job / "raw")] == ["a"]


@pytest.mark.parametrize("index", ["manualpick.star", "coords_suffix_manualpick.star"])
def test_manual_picks_are_read(tmp_path, monkeypatch, index):
    folder = tmp_path / "ManualPick" / "job004"
    (folder / "raw").mkdir(parents=True)
    (folder / "raw" / "a_manualpick.star").write_text(COORDINATES)
    text = INDEX.replace("AutoPick/job006/raw/a_autopick", "ManualPick/job004/raw/a_manualpick")
    (folder / index).write_text(text if index == "manualpick.star" else "micrographs.star\n")
    monkeypatch.chdir(tmp_path)
    for path in (folder, folder / index):
        assert detect_format(path) == "relion"
        assert [len(picks) for picks in read_picks(path)] == [2]


def test_two_micrographs_with_one_coordinate_file_are_an_error(tmp_path):
    twins = [Picks("MotionCorr/job002/a.mrc", [[1, 2]]), Picks("MotionCorr/job003/a.mrc", [[3, 4]])]
    with pytest.raises(NameMatchError, match=r"job002/a\.mrc and MotionCorr/job003/a\.mrc would both"):
        write_picks(twins, tmp_path, format="relion")


@pytest.mark.parametrize("suffix", ["_autopick", "_manualpick", "_pick", ""])
def test_one_coordinate_file_is_the_picks_of_one_micrograph(tmp_path, suffix):
    path = tmp_path / f"a{suffix}.star"
    path.write_text(COORDINATES)
    assert detect_format(path) == "relion"
    assert [picks.micrograph for picks in read_picks(path)] == ["a"]


def test_a_folder_without_coordinate_files_is_an_error(tmp_path):
    with pytest.raises(FileError, match=r"has no coordinate STAR files"):
        read_picks(tmp_path, format="relion")


def test_coordinates_lie_where_relion_3_1_looks_for_them():
    # decomposePipelineFileName takes the job off; the rest of the path is kept.
    assert {name: str(coordinate_file(name)) for name in EXPECTED_FILES} == EXPECTED_FILES


EXPECTED_FILES = {
    "MotionCorr/job002/raw/grid1/a.mrc": "raw/grid1/a_autopick.star",
    "MotionCorr/job1002/a.mrc": "a_autopick.star",
    "Micrographs/a.b.mrc": "Micrographs/a.b_autopick.star",
    "a.mrc": "a_autopick.star",
    "a": "a_autopick.star",
    "/data/x/a.tif": "data/x/a_autopick.star",
    "../x/a.mrc": "x/a_autopick.star",
    "job_files/a.mrc": "job_files/a_autopick.star",
}


def test_the_index_names_micrographs_exactly_and_files_as_they_were_given(tmp_path):
    names = ["MotionCorr/job002/raw/a.mrc", "MotionCorr/job002/raw/b.mrc"]
    files = [write_coordinates(Picks(names[0], [[1.4, 2.5]], [0.5]), tmp_path), write_coordinates(Picks(names[1]), tmp_path)]
    write_index(zip(names, files, strict=True), tmp_path)
    index = starfile.read(tmp_path / "autopick.star", always_dict=True)["coordinate_files"]
    assert index["rlnMicrographName"].tolist() == names
    assert index["rlnMicrographCoordinates"].tolist() == [str(tmp_path / "raw" / f"{letter}_autopick.star") for letter in "ab"]
    assert (tmp_path / "coords_suffix_autopick.star").exists()


def test_coordinates_are_rounded_because_relion_cuts_decimals_off(tmp_path):
    xy = [[10.25, 20.5], [0.49, 0.5], [1.9999, 7]]
    table = starfile.read(write_coordinates(Picks("a.mrc", xy, [1.0, 0.5, 0.25]), tmp_path))
    assert table["rlnCoordinateX"].tolist() == [10, 0, 2]
    assert table["rlnCoordinateY"].tolist() == [21, 1, 7]
    assert table["rlnAutopickFigureOfMerit"].tolist() == [1, 0.5, 0.25]


def test_tiff_rows_are_counted_from_the_last(tmp_path):
    picks = Picks("raw/a.tif", [[5, 0], [6, 99]], shape_hw=(100, 200))
    write_picks([picks], tmp_path, format="relion")
    assert starfile.read(tmp_path / "raw" / "a_autopick.star")["rlnCoordinateY"].tolist() == [99, 0]
    (found,) = read_picks(tmp_path, micrographs=[Micrograph(np.zeros((100, 200), np.float32), None, "raw/a.tif")])
    assert found.xy.tolist() == [[5, 0], [6, 99]]
    assert found.scores is None


def test_picks_that_relion_3_0_wrote_are_read(real_data):
    folder = real_data / "ice_contaminant"
    (picks,) = read_picks(folder / "Ucsf_stack_1142_DW_autopick.star")
    assert (picks.micrograph, len(picks)) == ("Ucsf_stack_1142_DW", 45)
    assert picks.xy[0].tolist() == [839.125024, 19.979167]
    (picks,) = read_picks(folder, micrographs=find_micrographs([folder / "Ucsf_stack_1142_DW.mrc.gz"]))
    assert (picks.micrograph, picks.shape_hw) == ("Ucsf_stack_1142_DW.mrc.gz", (927, 959))
