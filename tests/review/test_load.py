"""Folders that can be reviewed."""

import numpy as np
import pytest

from cryopick.errors import CryopickError, FileError
from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.micrographs.sources import find_micrographs
from cryopick.io.picks.formats import write_picks
from cryopick.review.load import load_micrographs, review_folder
from cryopick.types import Picks


def counts(opened):
    return {each.source.name: len(each.picks) for each in opened.micrographs}


@pytest.fixture
def run(folder, tmp_path, monkeypatch):
    """A run on two of the micrographs, started in the parent of their folder."""
    from cryopick.runs.pick import run_picking
    from cryopick.runs.settings import run_settings

    monkeypatch.chdir(tmp_path)
    place = tmp_path / "run"
    run_picking(
        find_micrographs(["mics/a.mrc", "mics/b.mrc"]), place, run_settings("log", diameter=80.0, previews=False), workers=1
    )
    return place


def test_picks_are_named_or_beside_the_micrographs_or_absent(folder, tmp_path):
    assert counts(load_micrographs(folder, picks=folder / "picks.star")) == {"a.mrc": 5, "b.mrc": 5, "c.mrc": 5}
    (folder / "picks.star").unlink()
    assert counts(load_micrographs(folder)) == {"a.mrc": 0, "b.mrc": 0, "c.mrc": 0}
    write_picks([Picks("b.mrc", [(1, 2)], diameter=40.0, pixel_size=2.0, shape_hw=(400, 600))], folder, format="box")
    assert counts(load_micrographs(folder)) == {"a.mrc": 0, "b.mrc": 1, "c.mrc": 0}


def test_a_single_file_of_picks_is_found_and_two_are_an_error(folder):
    assert counts(load_micrographs(folder)) == {"a.mrc": 5, "b.mrc": 5, "c.mrc": 5}
    (folder / "others.star").write_bytes((folder / "picks.star").read_bytes())
    with pytest.raises(FileError, match=r"2 files of picks.*--picks"):
        load_micrographs(folder)


def test_a_run_can_be_opened_from_another_folder(run, tmp_path, monkeypatch):
    first = load_micrographs(run)
    assert sorted(counts(first)) == ["a.mrc", "b.mrc"]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = load_micrographs(run)
    assert counts(again) == counts(first)
    assert all(each.source.path.is_file() for each in again.micrographs)
    assert [each.picks.diameter for each in again.micrographs] == [80.0, 80.0]


def test_a_run_whose_micrographs_have_moved_needs_their_new_place(run, folder, tmp_path):
    folder.rename(tmp_path / "moved")
    with pytest.raises(FileError, match="--micrographs"):
        load_micrographs(run)
    inputs = [str(tmp_path / "moved" / "*.mrc")]
    assert {each.picks.diameter for each in load_micrographs(run, micrographs=inputs).micrographs} == {80.0}


def test_some_micrographs_of_a_run_can_be_reviewed_and_the_others_are_reported(run):
    opened = load_micrographs(run, micrographs=["mics/b.mrc"])
    assert [each.picks.micrograph for each in opened.micrographs] == ["b.mrc"]
    assert opened.micrographs[0].picks.diameter == 80
    assert opened.unknown == ["a.mrc"]


def test_picks_of_other_micrographs_are_reported_and_an_error_if_there_are_no_others(folder):
    known, other = Picks("a.mrc", [(1, 1)]), Picks("z.mrc", [(1, 1)])
    write_picks([known, other], folder.parent / "some.csv")
    opened = load_micrographs(folder, picks=folder.parent / "some.csv")
    assert (counts(opened), opened.unknown) == ({"a.mrc": 1, "b.mrc": 0, "c.mrc": 0}, ["z.mrc"])
    write_picks([other], folder.parent / "some.csv")
    with pytest.raises(CryopickError, match=r"no picks of these micrographs.*'z.mrc'"):
        load_micrographs(folder, picks=folder.parent / "some.csv")


def test_a_given_diameter_overrides_and_a_missing_one_is_that_of_the_other_micrographs(folder):
    assert load_micrographs(folder, diameter=50.0).micrographs[0].picks.diameter == 50.0
    write_micrograph(folder / "d.mrc", np.eye(50, dtype=np.float32))
    assert load_micrographs(folder).micrographs[3].picks.diameter == 80.0


def test_a_cryosparc_micrograph_without_picks_keeps_its_uid_for_added_picks(folder):
    rows = np.zeros(2, [("uid", "<u8"), ("micrograph_blob/path", "S8"), ("micrograph_blob/psize_A", "<f4")])
    rows["uid"], rows["micrograph_blob/path"], rows["micrograph_blob/psize_A"] = [71, 72], ["a.mrc", "c.mrc"], 2.0
    with (folder / "exposures.cs").open("wb") as file:
        np.save(file, rows)
    write_picks([Picks("a.mrc", [(100.0, 80.0)], [0.5], 80.0, (400, 600), 2.0)], folder / "one.star")
    opened = load_micrographs(folder, picks=folder / "one.star", micrographs=[str(folder / "exposures.cs")])
    assert counts(opened) == {"a.mrc": 1, "c.mrc": 0}
    assert [each.picks.uid for each in opened.micrographs] == [71, 72]


def test_a_review_does_not_write_through_a_link_out_of_its_folder(folder, tmp_path):
    (tmp_path / "other").mkdir()
    (folder / "review").symlink_to(tmp_path / "other")
    with pytest.raises(FileError, match="points outside"):
        review_folder(folder)


def test_a_file_and_a_missing_folder_cannot_be_reviewed(folder, tmp_path):
    for path in (folder / "a.mrc", tmp_path / "nothing"):
        with pytest.raises(FileError, match="is not a folder"):
            load_micrographs(path)
