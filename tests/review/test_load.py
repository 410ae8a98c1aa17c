"""What a folder to review may be."""

import numpy as np
import pytest

from cryopick.errors import CryopickError, FileError
from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.micrographs.sources import find_micrographs
from cryopick.io.picks.formats import write_picks
from cryopick.review.load import open_subjects, review_folder
from cryopick.types import Picks


def counts(opened):
    return {subject.source.name: len(subject.picks) for subject in opened.subjects}


@pytest.fixture
def run(folder, tmp_path, monkeypatch):
    """A run of the picker on two of the micrographs, started in their folder's parent."""
    from cryopick.runs.pick import run_picking
    from cryopick.runs.settings import run_settings

    monkeypatch.chdir(tmp_path)
    place = tmp_path / "run"
    run_picking(
        find_micrographs(["mics/a.mrc", "mics/b.mrc"]), place, run_settings("log", diameter=80.0, previews=False), workers=1
    )
    return place


def test_picks_lie_beside_the_micrographs_or_are_named_or_there_are_none(folder, tmp_path):
    assert counts(open_subjects(folder, picks=folder / "picks.star")) == {"a.mrc": 5, "b.mrc": 5, "c.mrc": 5}
    (folder / "picks.star").unlink()
    assert counts(open_subjects(folder)) == {"a.mrc": 0, "b.mrc": 0, "c.mrc": 0}
    write_picks([Picks("b.mrc", [(1, 2)], diameter=40.0, pixel_size=2.0, shape_hw=(400, 600))], folder, format="box")
    assert counts(open_subjects(folder)) == {"a.mrc": 0, "b.mrc": 1, "c.mrc": 0}


def test_one_file_of_picks_among_the_micrographs_is_found_and_two_are_one_too_many(folder):
    assert counts(open_subjects(folder)) == {"a.mrc": 5, "b.mrc": 5, "c.mrc": 5}
    (folder / "others.star").write_bytes((folder / "picks.star").read_bytes())
    with pytest.raises(FileError, match=r"2 files of picks.*--picks"):
        open_subjects(folder)


def test_a_run_is_opened_from_another_folder_too(run, tmp_path, monkeypatch):
    first = open_subjects(run)
    assert sorted(counts(first)) == ["a.mrc", "b.mrc"]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = open_subjects(run)
    assert counts(again) == counts(first)
    assert all(subject.source.path.is_file() for subject in again.subjects)
    assert [subject.picks.diameter for subject in again.subjects] == [80.0, 80.0]


def test_a_run_whose_micrographs_have_moved_says_so_and_takes_their_new_place(run, folder, tmp_path):
    folder.rename(tmp_path / "moved")
    with pytest.raises(FileError, match="--micrographs"):
        open_subjects(run)
    inputs = [str(tmp_path / "moved" / "*.mrc")]
    assert {subject.picks.diameter for subject in open_subjects(run, micrographs=inputs).subjects} == {80.0}


def test_some_micrographs_of_a_run_are_reviewed_by_name_and_the_others_told(run):
    opened = open_subjects(run, micrographs=["mics/b.mrc"])
    assert [subject.picks.micrograph for subject in opened.subjects] == ["b.mrc"]
    assert opened.subjects[0].picks.diameter == 80
    assert opened.unknown == ["a.mrc"]


def test_picks_of_micrographs_that_are_not_here_are_named_and_all_of_them_are_an_error(folder):
    known, other = Picks("a.mrc", [(1, 1)]), Picks("z.mrc", [(1, 1)])
    write_picks([known, other], folder.parent / "some.csv")
    opened = open_subjects(folder, picks=folder.parent / "some.csv")
    assert (counts(opened), opened.unknown) == ({"a.mrc": 1, "b.mrc": 0, "c.mrc": 0}, ["z.mrc"])
    write_picks([other], folder.parent / "some.csv")
    with pytest.raises(CryopickError, match=r"none of its picks .* 'z.mrc'"):
        open_subjects(folder, picks=folder.parent / "some.csv")


def test_a_diameter_that_is_given_wins_and_one_that_is_missing_is_that_of_the_others(folder):
    assert open_subjects(folder, diameter=50.0).subjects[0].picks.diameter == 50.0
    write_micrograph(folder / "d.mrc", np.eye(50, dtype=np.float32))
    assert open_subjects(folder).subjects[3].picks.diameter == 80.0


def test_a_micrograph_of_cryosparc_without_picks_keeps_its_number_for_those_that_are_added(folder):
    rows = np.zeros(2, [("uid", "<u8"), ("micrograph_blob/path", "S8"), ("micrograph_blob/psize_A", "<f4")])
    rows["uid"], rows["micrograph_blob/path"], rows["micrograph_blob/psize_A"] = [71, 72], ["a.mrc", "c.mrc"], 2.0
    with (folder / "exposures.cs").open("wb") as file:
        np.save(file, rows)
    write_picks([Picks("a.mrc", [(100.0, 80.0)], [0.5], 80.0, (400, 600), 2.0)], folder / "one.star")
    opened = open_subjects(folder, picks=folder / "one.star", micrographs=[str(folder / "exposures.cs")])
    assert counts(opened) == {"a.mrc": 1, "c.mrc": 0}
    assert [subject.picks.uid for subject in opened.subjects] == [71, 72]


def test_a_review_never_writes_through_a_link_out_of_its_folder(folder, tmp_path):
    (tmp_path / "other").mkdir()
    (folder / "review").symlink_to(tmp_path / "other")
    with pytest.raises(FileError, match="leads out"):
        review_folder(folder)


def test_a_file_or_nothing_is_no_folder_to_review(folder, tmp_path):
    for path in (folder / "a.mrc", tmp_path / "nothing"):
        with pytest.raises(FileError, match="is not a folder"):
            open_subjects(path)
