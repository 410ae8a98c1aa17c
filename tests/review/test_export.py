"""The results that a review writes."""

import csv
import json
import shlex

import numpy as np
import pytest

from cryopick.errors import CryopickError, FileError, SettingError
from cryopick.io.datasets.cryoppp import BadArea
from cryopick.io.picks.formats import FORMATS, read_picks
from cryopick.review.edits import Add, EditRequest, MarkBad, MarkReviewed, Paint, Remove, SetThreshold
from cryopick.review.export import labelled_names, training_commands, write_labels, write_result
from cryopick.review.session import Review
from cryopick.train.data.labelled import find_labelled


@pytest.fixture
def edited(review):
    """On a, one pick is removed, one added and two painted over; b is bad; on c the threshold keeps two. a is reviewed."""
    edits = [
        (0, Remove([0])),
        (0, Add(444.25, 222.5)),
        (0, Paint(10.0, [(300.0, 80.0), (500.0, 300.0)])),
        (0, MarkReviewed(True)),
        (1, MarkBad(True)),
        (2, SetThreshold(0.6)),
    ]
    for number, (index, edit) in enumerate(edits):
        review.submit(index, EditRequest(f"key-{number:05}", edit))
    return review


def test_written_picks_exclude_bad_micrographs_bad_areas_and_low_scores(edited, folder):
    originals = (folder / "picks.star").read_bytes()
    place = write_result(edited)
    assert place == folder / "review" / "picks.star"
    found = {picks.micrograph: picks for picks in read_picks(place)}
    assert sorted(found) == ["a.mrc", "c.mrc"]
    assert found["a.mrc"].xy.tolist() == [[200, 80], [100, 300], [444.25, 222.5]]
    assert found["a.mrc"].scores.tolist() == pytest.approx([0.3, 0.7, 1.0])
    assert found["c.mrc"].xy.tolist() == [[100, 300], [500, 300]]
    assert (found["a.mrc"].pixel_size, found["a.mrc"].diameter) == (2.0, 80.0)
    assert (folder / "picks.star").read_bytes() == originals


def test_tables_list_bad_areas_and_the_state_of_each_micrograph(edited, folder):
    write_result(edited)
    areas = json.loads((folder / "review" / "areas.json").read_text())
    assert areas == {"a.mrc": [{"radius": 10.0, "points": [[300.0, 80.0], [500.0, 300.0]]}]}
    with (folder / "review" / "micrographs.csv").open() as table:
        rows = {row["name"]: row for row in csv.DictReader(table)}
    columns = ("state", "picks", "found", "taken_away", "set_by_hand")
    assert [rows["a.mrc"][name] for name in columns] == ["reviewed", "3", "5", "3", "1"]
    assert [rows["b.mrc"][name] for name in columns] == ["bad", "0", "5", "0", "0"]
    assert [rows["c.mrc"][name] for name in columns] == ["untouched", "2", "5", "0", "0"]


@pytest.mark.parametrize("name", FORMATS.names)
def test_every_format_can_hold_the_result(edited, name):
    place = write_result(edited, name)
    assert place.is_relative_to(edited.folder)
    sources = [each.source for each in edited.micrographs]
    counts = {picks.micrograph: len(picks) for picks in read_picks(place, format=name, micrographs=sources)}
    assert {key: count for key, count in counts.items() if count} == {"a.mrc": 3, "c.mrc": 2}


def test_writing_again_removes_the_files_of_a_micrograph_that_became_bad(edited):
    place = write_result(edited, "box")
    edited.submit(2, EditRequest("key-later", MarkBad(True)))
    write_result(edited, "box")
    assert [path.name for path in place.iterdir()] == ["a.box"]


def test_an_unknown_format_writes_nothing(edited):
    with pytest.raises(CryopickError, match="no pick format"):
        write_result(edited, "../star")
    assert not (edited.folder / "picks.star").exists()


def test_labels_are_the_reviewed_micrographs_with_removed_picks_as_false_positives(edited, folder):
    labels = write_labels(edited)
    assert (labels.folder, labels.micrographs, labels.particles) == (folder / "review" / "labels", 1, 3)
    (one,) = find_labelled(labels.folder).micrographs
    assert one.source.name == "a.mrc"
    assert np.abs(one.truth.xy - [(200, 80), (100, 300), (444.25, 222.5)]).max() <= 0.5  # that format keeps whole pixels
    assert one.false_positives.xy.tolist() == [[100, 80], [300, 80], [500, 300]]
    assert one.areas == [BadArea(10.0, [(300.0, 80.0), (500.0, 300.0)])]
    assert labelled_names(edited) == {"a.mrc"}


def test_labels_are_replaced_and_exclude_bad_micrographs(edited):
    write_labels(edited)
    edited.submit(0, EditRequest("key-bad-too", MarkBad(True)))
    with pytest.raises(SettingError, match="no micrograph is marked as reviewed"):
        write_labels(edited)
    edited.submit(2, EditRequest("key-reviewed", MarkReviewed(True)))
    write_labels(edited)
    assert labelled_names(edited) == {"c.mrc"}


def test_the_training_commands_name_the_folders_of_the_review(edited, folder):
    finetune, pick, compare = (shlex.split(command) for command in training_commands(edited, folder))
    assert finetune[:3] == ["cryopick", "finetune", str(folder / "review" / "labels")]
    assert pick[:3] == ["cryopick", "pick", str(folder)]
    assert pick[pick.index("--diameter") + 1] == "80"
    assert compare == ["cryopick", "review", str(folder), "--compare", pick[pick.index("--out") + 1]]


@pytest.mark.parametrize("name", ["box", "labels", "picks.star", "micrographs.csv", "areas.json", ".lock"])
def test_nothing_is_written_or_removed_through_a_link_inside_the_review(edited, tmp_path, name):
    outside = tmp_path / "outside"
    (outside / "micrographs").mkdir(parents=True)
    (outside / "victim").write_text("mine")
    place = edited.folder / name
    place.unlink(missing_ok=True)
    place.symlink_to(outside / "victim" if "." in name else outside)
    refused = {"box": lambda: write_result(edited, "box"), "labels": lambda: write_labels(edited)}
    if name in refused:
        with pytest.raises(FileError, match=f"{name}: is a link"):
            refused[name]()
    elif name == ".lock":
        edited.close()
        with pytest.raises(FileError, match=r"\.lock: is a link"):
            Review(edited.micrographs, edited.folder)
    else:
        write_result(edited)
        assert not place.is_symlink()
    assert (outside / "victim").read_text() == "mine"
    assert sorted(path.name for path in outside.iterdir()) == ["micrographs", "victim"]
