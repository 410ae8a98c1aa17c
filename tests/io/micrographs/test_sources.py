"""Every way to name micrographs finds them once, in order, with the names and pixel sizes that other programs use."""

import bz2
import gzip

import numpy as np
import pytest

from cryopick.errors import CryopickError, FileError
from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.micrographs.sources import find_micrographs

PIXELS = np.arange(15, dtype=np.float32).reshape(3, 5)

STAR_31 = """# version 30001

data_optics

loop_
_rlnOpticsGroupName #1
_rlnOpticsGroup #2
_rlnMicrographOriginalPixelSize #3
_rlnVoltage #4
_rlnMicrographPixelSize #5
opticsGroup1 1 0.885 300.000000 1.770000
opticsGroup2 2 0.885 300.000000 0.885000


# version 30001

data_micrographs

loop_
_rlnCtfImage #1
_rlnMicrographName #2
_rlnOpticsGroup #3
c1.ctf:mrc MotionCorr/job002/Movies/b_1.mrc 2
c2.ctf:mrc MotionCorr/job002/Movies/a_1.mrc 1
"""

STAR_30 = """
data_

loop_
_rlnMicrographName #1
_rlnMagnification #2
_rlnDetectorPixelSize #3
MotionCorr/job002/Movies/b_1.mrc 79096.000000 14.000000
MotionCorr/job002/Movies/a_1.mrc 79096.000000 14.000000
"""


@pytest.fixture
def project(tmp_path):
    """A RELION project with two micrographs and the folder of a job two levels down."""
    for name in ("a_1.mrc", "b_1.mrc"):
        touch(tmp_path / "P/MotionCorr/job002/Movies" / name)
    (tmp_path / "P/CtfFind/job003").mkdir(parents=True)
    return tmp_path / "P"


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"not opened")
    return path


def names(inputs):
    return [source.name for source in find_micrographs(inputs)]


def test_a_file_is_itself(tmp_path):
    path = touch(tmp_path / "b.mrc")
    (source,) = find_micrographs([str(path)])
    assert (source.path, source.name, source.pixel_size, source.optics_group, source.uid) == (path, "b.mrc", None, 1, None)


def test_a_single_input_needs_no_list(tmp_path):
    path = touch(tmp_path / "b.mrc")
    assert names(str(path)) == names(path) == names([path]) == ["b.mrc"]


def test_a_folder_gives_its_micrographs_by_name_and_nothing_else(tmp_path):
    wanted = ["a.mrc", "b.TIF", "c.png", "d.jpg", "e.mrc.gz", "f.mrc.bz2", "g.tiff", "h.jpeg"]
    others = ["i.mrcs", "j.map", "k.star", "l.txt", ".m.mrc", "n.eer", "deeper/o.mrc", "p.gz"]
    for name in reversed(wanted + others):
        touch(tmp_path / name)
    assert names([tmp_path]) == wanted


def test_relions_power_spectra_and_half_sums_are_skipped_beside_their_micrograph(tmp_path):
    for name in ("a.mrc", "a_PS.mrc", "a_EVN.mrc", "a_ODD.mrc", "b_PS.mrc"):
        touch(tmp_path / name)
    assert names([tmp_path]) == ["a.mrc", "b_PS.mrc"]


def test_a_folder_without_micrographs_is_an_error_that_shows_the_way_deeper(tmp_path):
    touch(tmp_path / "deeper/a.mrc")
    with pytest.raises(FileError, match=r"\*\*/\*\.mrc"):
        find_micrographs([tmp_path])
    assert names([f"{tmp_path}/**/*.mrc"]) == ["a.mrc"]


def test_a_pattern_gives_the_micrographs_that_match_sorted(tmp_path):
    for name in ("m_2.mrc", "m_1.mrc", "m_3.tif", "m_1.star", "n.mrc", "m_4.mrcs"):
        touch(tmp_path / name)
    assert names([str(tmp_path / "m_*")]) == ["m_1.mrc", "m_2.mrc", "m_3.tif", "m_4.mrcs"]
    assert names([str(tmp_path / "m_[12].mrc")]) == ["m_1.mrc", "m_2.mrc"]


def test_a_file_with_a_bracket_in_its_name_is_not_a_pattern(tmp_path):
    assert names([touch(tmp_path / "m[1].mrc")]) == ["m[1].mrc"]


def test_a_list_is_relative_to_its_folder_or_to_the_current_one(tmp_path, monkeypatch):
    b, a = touch(tmp_path / "data/b.mrc"), touch(tmp_path / "data/a.mrc")
    listing = tmp_path / "lists/all.txt"
    listing.parent.mkdir()
    for lines in ("../data/b.mrc\n\n# a comment\n../data/a.mrc\n", f"{b}\r\n{a}\r\n"):
        listing.write_text(lines)
        assert [source.path.resolve() for source in find_micrographs([listing])] == [b, a]
    listing.write_text("data/b.mrc\ndata/a.mrc\n")
    monkeypatch.chdir(tmp_path)
    assert [source.path.resolve() for source in find_micrographs([listing])] == [b, a]


def test_a_byte_order_mark_is_not_part_of_the_first_path(tmp_path):
    touch(tmp_path / "a.mrc")
    (tmp_path / "all.txt").write_bytes(b"\xef\xbb\xbfa.mrc\r\n")
    assert names([tmp_path / "all.txt"]) == ["a.mrc"]


def test_a_link_whose_target_is_missing_is_listed_so_that_it_fails_by_name(tmp_path):
    touch(tmp_path / "a.mrc")
    (tmp_path / "b.mrc").symlink_to(tmp_path / "nowhere.mrc")
    (tmp_path / "c.mrc").symlink_to(tmp_path)
    for given in (tmp_path, tmp_path / "*.mrc", [tmp_path / "a.mrc", tmp_path / "b.mrc"]):
        assert names(given) == ["a.mrc", "b.mrc"]
    with pytest.raises(FileError, match=r"b\.mrc: no such file"):
        find_micrographs(tmp_path)[1].read()


def test_a_link_that_leads_in_a_circle_fails_by_name_and_stops_no_other(tmp_path):
    touch(tmp_path / "a.mrc")
    (tmp_path / "b.mrc").symlink_to(tmp_path / "b.mrc")
    for given in (tmp_path, tmp_path / "*.mrc", [tmp_path / "a.mrc", tmp_path / "b.mrc"]):
        assert names(given) == ["a.mrc", "b.mrc"]
    with pytest.raises(FileError, match=r"b\.mrc: .*symbolic links"):
        find_micrographs(tmp_path)[1].read()


def test_a_folder_that_may_not_be_listed_is_named(tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(FileError, match=r"cannot be listed \(Permission denied\)"):
        find_micrographs(tmp_path)


def test_a_name_that_no_file_system_takes_is_a_missing_micrograph(tmp_path):
    (tmp_path / "all.txt").write_text("a" * 5000 + ".mrc\n")
    with pytest.raises(FileError, match="do not exist"):
        find_micrographs(tmp_path / "all.txt")


def test_relion_31_gives_names_groups_and_pixel_sizes_as_written(project):
    star = project / "CtfFind/job003/micrographs_ctf.star"
    star.write_text(STAR_31)
    first, second = find_micrographs([star])
    assert (first.name, first.optics_group, first.pixel_size) == ("MotionCorr/job002/Movies/b_1.mrc", 2, 0.885)
    assert (second.name, second.optics_group, second.pixel_size) == ("MotionCorr/job002/Movies/a_1.mrc", 1, 1.77)
    assert first.path == project / "MotionCorr/job002/Movies/b_1.mrc"


def test_relion_30_gives_the_pixel_size_from_magnification_and_detector(project):
    star = project / "micrographs.star"
    star.write_text(STAR_30)
    sources = find_micrographs([star])
    assert [source.name for source in sources] == ["MotionCorr/job002/Movies/b_1.mrc", "MotionCorr/job002/Movies/a_1.mrc"]
    assert [source.pixel_size for source in sources] == pytest.approx([1.77, 1.77], abs=1e-5)  # 14 µm / 79096
    assert [source.optics_group for source in sources] == [1, 1]


def test_a_star_without_pixel_sizes_leaves_them_to_the_micrographs(project):
    star = project / "micrographs.star"
    star.write_text("data_\n\nloop_\n_rlnMicrographName\nMotionCorr/job002/Movies/a_1.mrc\n")
    assert find_micrographs([star])[0].pixel_size is None


def test_a_missing_micrograph_does_not_stop_the_others(project):
    (project / "MotionCorr/job002/Movies/b_1.mrc").unlink()
    star = project / "micrographs.star"
    star.write_text(STAR_31)
    missing, present = find_micrographs([star])
    assert present.path.exists()
    with pytest.raises(FileError, match="no such file"):
        missing.read()


def test_a_star_outside_its_project_is_an_error_unless_run_from_there(project, tmp_path, monkeypatch):
    star = tmp_path / "elsewhere/micrographs.star"
    star.parent.mkdir()
    star.write_text(STAR_31)
    with pytest.raises(FileError, match="do not exist, for instance MotionCorr/job002/Movies/b_1"):
        find_micrographs([star])
    monkeypatch.chdir(project)
    assert find_micrographs([star])[1].path.exists()


def test_a_link_to_a_star_leads_to_its_project(project, tmp_path):
    (project / "micrographs.star").write_text(STAR_31)
    link = tmp_path / "elsewhere/micrographs.star"
    link.parent.mkdir()
    link.symlink_to(project / "micrographs.star")
    assert find_micrographs([link])[0].path.exists()


@pytest.mark.parametrize(
    ("columns", "row", "said"),
    [
        ("_rlnMicrographName\n_rlnCoordinateX", "a.mrc 3", "particles"),
        ("_rlnMicrographMovieName", "a.tif", "no micrographs"),
        ("_rlnMicrographName", "", "names no micrographs"),
    ],
)
def test_other_star_files_are_refused(tmp_path, columns, row, said):
    (tmp_path / "other.star").write_text(f"data_\n\nloop_\n{columns}\n{row}\n")
    with pytest.raises(FileError, match=said):
        find_micrographs([tmp_path / "other.star"])


def test_a_given_pixel_size_wins_with_one_warning_a_file(project, caplog):
    star = project / "micrographs.star"
    star.write_text(STAR_31)
    assert [source.pixel_size for source in find_micrographs([star], pixel_size=0.89)] == [0.89, 0.89]
    assert len(caplog.records) == 1
    assert "1.77" in caplog.text


def test_the_same_file_named_twice_is_taken_once_the_first_time(project, monkeypatch):
    star = project / "micrographs.star"
    star.write_text(STAR_31)
    folder = project / "MotionCorr/job002/Movies"
    assert names([star, folder, f"{folder}/*.mrc"]) == names([star])
    monkeypatch.chdir(folder)
    assert names(["a_1.mrc", "../Movies/a_1.mrc", folder]) == ["a_1.mrc", "b_1.mrc"]


@pytest.mark.parametrize("second", ["two/a.mrc", "one/a.png", "one/a.mrc.gz"])
def test_two_files_with_one_name_are_an_error_that_names_both(tmp_path, second):
    paths = [touch(tmp_path / "one/a.mrc"), touch(tmp_path / second)]
    with pytest.raises(CryopickError, match="share the name") as error:
        find_micrographs(paths)
    assert all(str(path) in str(error.value) for path in paths)


def test_equal_file_names_in_different_folders_of_a_star_are_different_names(project):
    touch(project / "MotionCorr/job009/Movies/a_1.mrc")
    star = project / "micrographs.star"
    star.write_text(STAR_31.replace("MotionCorr/job002/Movies/b_1.mrc", "MotionCorr/job009/Movies/a_1.mrc"))
    assert len(find_micrographs([star])) == 2


@pytest.mark.parametrize("given", ["nowhere.mrc", "nowhere", "nowhere/*.mrc"])
def test_what_is_not_there_is_named(tmp_path, given):
    with pytest.raises(FileError, match=r"no such file or folder|no micrograph matches"):
        find_micrographs([tmp_path / given])


def test_a_source_reads_its_micrograph_with_name_size_and_group(project):
    star = project / "micrographs.star"
    star.write_text(STAR_31)
    write_micrograph(project / "MotionCorr/job002/Movies/b_1.mrc", PIXELS, pixel_size=0.885)
    micrograph = find_micrographs([star])[0].read()
    assert micrograph.pixels.tolist() == PIXELS.tolist()
    assert (micrograph.name, micrograph.pixel_size, micrograph.optics_group) == ("MotionCorr/job002/Movies/b_1.mrc", 0.885, 2)


@pytest.mark.parametrize("pack", [gzip, bz2])
def test_a_source_salvages_on_request(tmp_path, pack):
    write_micrograph(tmp_path / "m.mrc", PIXELS)
    content = (tmp_path / "m.mrc").read_bytes()
    (tmp_path / "m.mrc").unlink()
    (tmp_path / "m.mrc.x").write_bytes(pack.compress(content[:-4]))
    (source,) = find_micrographs([tmp_path / "m.mrc.x"])
    with pytest.raises(FileError, match="2 of 3 rows"):
        source.read()
    assert source.read(salvage=True).pixels[:2].tolist() == PIXELS[:2].tolist()


def test_nothing_is_opened_and_nothing_missed_among_many(tmp_path):
    (tmp_path / "Movies").mkdir()
    expected = [f"Movies/m_{number:05}.mrc" for number in range(3000)]
    touch(tmp_path / expected[0])
    (tmp_path / "micrographs.star").write_text("data_micrographs\n\nloop_\n_rlnMicrographName\n" + "\n".join(expected) + "\n")
    assert names([tmp_path / "micrographs.star"]) == expected
