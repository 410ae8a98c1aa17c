"""A session: requests of several pages, conflicts between them, and recovery after a crash."""

import os
import threading

import msgspec
import numpy as np
import pytest

from cryopick.errors import FileError, SettingError
from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.picks.formats import read_picks, write_picks
from cryopick.review.edits import (
    Add,
    EditEntry,
    EditRequest,
    Erase,
    MarkReviewed,
    Move,
    OriginalEntry,
    Paint,
    RedoEntry,
    Remove,
    SetThreshold,
    UndoEntry,
)
from cryopick.review.export import write_result
from cryopick.review.load import load_micrographs
from cryopick.review.session import ConflictError, Review
from cryopick.types import Picks

KEYS = (f"key-{number:06}" for number in range(10**6))


def request(edit=None, **words):
    return EditRequest(next(KEYS), edit, **words)


def undo(review, index=0):
    review.submit(index, request(undo=True, revision=review.revision(index)))


def redo(review, index=0):
    review.submit(index, request(redo=True, revision=review.revision(index)))


def test_all_edits_are_restored_when_a_review_is_reopened(open_review):
    review = open_review()
    review.submit(0, request(Remove([0, 1])))
    review.submit(1, request(Add(50.5, 60.5)))
    review.submit(1, request(MarkReviewed(True)))
    review.submit(2, request(SetThreshold(0.6)))
    undo(review, 1)
    undo(review, 1)
    before = [review.result(index).xy.tolist() for index in range(3)]
    review.close()
    again = open_review()
    assert [again.result(index).xy.tolist() for index in range(3)] == before
    redo(again, 1)
    redo(again, 1)
    assert again.result(1).xy[-1].tolist() == [50.5, 60.5]
    assert again.edited_picks(1).state.reviewed
    assert again.threshold == 0.6


def test_undo_reverts_the_newest_edit_of_the_micrograph_or_of_all(review):
    review.submit(0, request(Remove([4])))
    review.submit(1, request(SetThreshold(0.6)))
    review.submit(1, request(Remove([3])))
    undo(review, 0)
    assert review.threshold is None
    assert len(review.result(0)) == 4
    undo(review, 0)
    assert len(review.result(0)) == 5
    undo(review, 0)  # nothing is left to undo
    redo(review, 0)
    redo(review, 0)
    assert (len(review.result(0)), review.threshold) == (1, 0.6)
    assert len(review.result(1)) == 1


def test_a_request_that_is_sent_twice_is_carried_out_once_even_after_a_restart(open_review):
    review, sent = open_review(), request(Add(10, 10))
    review.submit(0, sent)
    review.submit(0, sent)
    assert len(review.result(0)) == 6
    review.close()
    again = open_review()
    again.submit(0, sent)
    assert len(again.result(0)) == 6


def test_edits_of_removed_picks_are_refused_and_the_rest_of_an_edit_is_made(review):
    review.submit(0, request(Remove([0])))
    with pytest.raises(ConflictError, match="another page"):
        review.submit(0, request(Move(0, 5, 5)))
    review.submit(0, request(Remove([0, 1])))
    assert review.edited_picks(0).state.numbers[review.edited_picks(0).state.present].tolist() == [2, 3, 4]


def test_an_undo_of_an_older_state_is_refused(review):
    seen = review.revision(0)
    review.submit(0, request(Remove([0])))
    with pytest.raises(ConflictError, match="check it"):
        review.submit(0, request(undo=True, revision=seen))
    assert len(review.result(0)) == 4


@pytest.mark.parametrize("edit", [Add(float("nan"), 1), SetThreshold(float("inf"))])
def test_numbers_that_are_not_finite_never_reach_the_journal(review, edit):
    with pytest.raises(SettingError, match="finite"):
        review.submit(0, request(edit))
    assert (review.folder / "journal.jsonl").read_bytes() == b""


def test_an_edit_that_cannot_be_written_is_not_made(review, monkeypatch):
    def full(*entries):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(review._journal, "append", full)
    with pytest.raises(OSError, match="No space"):
        review.submit(0, request(Remove([0])))
    assert len(review.result(0)) == 5
    monkeypatch.undo()
    review.submit(0, request(Remove([1])))
    assert review.edited_picks(0).state.present.tolist() == [True, False, True, True, True]


def test_edited_micrographs_keep_their_original_picks_when_the_file_changes(open_review, folder):
    review = open_review()
    review.submit(0, request(Remove([0])))
    review.close()
    write_picks([Picks(name, [(1, 1)], [0.5]) for name in ("a.mrc", "b.mrc")], folder / "picks.star")
    again = open_review()
    assert [len(again.result(index)) for index in range(3)] == [4, 1, 0]


def test_a_review_can_be_open_only_once(review, open_review):
    with pytest.raises(SettingError, match="another `cryopick review`"):
        open_review()


def test_edits_from_many_threads_are_all_kept(review, open_review):
    def work(offset):
        for number in range(20):
            review.submit(number % 3, request(Add(offset, number)))

    threads = [threading.Thread(target=work, args=(offset,)) for offset in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(review.result(index)) for index in range(3)] == [5 + 28, 5 + 28, 5 + 24]
    numbers = review.edited_picks(0).state.numbers
    assert len(np.unique(numbers)) == len(numbers)
    review.close()
    again = open_review()
    assert len(again.result(0)) == 33


def test_changes_since_an_entry_are_reported(review):
    review.submit(1, request(Remove([0])))
    seen = review.entry_count
    review.submit(2, request(Remove([0])))
    assert review.changed_since(seen) == ({2}, False)
    review.submit(0, request(SetThreshold(0.5)))
    assert review.changed_since(seen) == ({2}, True)
    assert review.changed_since(review.entry_count) == (set(), False)


@pytest.mark.parametrize(
    "edit",
    [
        *(Add(1e300, 1.0), Add(1.0, -1e300), Add(700.0, 1.0), Add(1.0, -41.0), Add(1.0, 440.0), Move(0, 641.0, 5.0)),
        *(SetThreshold(1e300), SetThreshold(-1e39), MarkReviewed(True, 1e300), MarkReviewed(True, float("nan"))),
        *(Paint(1e300, [(1.0, 1.0)]), Paint(5.0, [(1.0, 1.0), (1e300, 1.0)]), Paint(5.0, [(-12_001.0, 1.0)])),
    ],
)
def test_edits_far_outside_the_micrograph_or_beyond_all_numbers_never_reach_the_journal(review, edit):
    with pytest.raises(SettingError, match=r"outside the micrograph|beyond all scores|finite"):
        review.submit(0, request(edit))
    assert (review.folder / "journal.jsonl").read_bytes() == b""
    assert len(review.result(0)) == 5


def test_edits_up_to_a_diameter_outside_are_made(review):
    for edit in (Add(-40.0, 439.0), Move(0, 639.0, 0.0), Paint(900.0, [(-600.0, 900.0)])):  # 400 rows, 600 columns, 40 px
        review.submit(0, request(edit))
    assert review.entry_count == 3


def test_picks_outside_an_unreadable_micrograph_are_refused_by_the_shape_that_the_picks_have(review, folder):
    (folder / "a.mrc").unlink()
    with pytest.raises(SettingError, match="outside"):
        review.submit(0, request(Add(700.0, 1.0)))
    review.submit(0, request(Add(599.0, 1.0)))


@pytest.mark.parametrize(
    "entry",
    [
        *(EditEntry("a.mrc", edit) for edit in (Move(99, 1, 1), Remove([99]), Erase(9), Add(1, 1, 3), Add(1, 1, 2**70))),
        *(EditEntry("a.mrc", edit) for edit in (Add(1e300, 1, 9), SetThreshold(1e300), Paint(1e300, [(1.0, 1.0)], 9))),
        *(UndoEntry("a.mrc"), RedoEntry("a.mrc"), UndoEntry(""), EditEntry("", Add(1, 1, 9))),
        OriginalEntry("a.mrc", [(1.0, 1.0)], [0.5, 0.6]),
    ],
)
def test_a_journal_line_that_does_not_fit_is_refused_by_name_and_kept(open_review, folder, entry):
    open_review().close()
    path = folder / "review" / "journal.jsonl"
    path.write_bytes(msgspec.json.encode(EditEntry("b.mrc", Remove([0]))) + b"\n" + msgspec.json.encode(entry) + b"\n")
    content = path.read_bytes()
    with pytest.raises(FileError, match=r"journal\.jsonl: line 2 is damaged"):
        open_review()
    assert path.read_bytes() == content


def test_a_micrograph_whose_name_is_not_utf8_is_reviewed(tmp_path):
    name = os.fsdecode(b"m-\xe4.mrc")
    write_micrograph(tmp_path / "m.mrc", np.eye(50, dtype=np.float32))
    (tmp_path / "m.mrc").rename(tmp_path / name)
    for count in (1, 2):
        with Review(load_micrographs(tmp_path).micrographs, tmp_path / "review") as review:
            review.submit(0, request(Add(5, count)))
            assert len(review.result(0)) == count
            write_result(review)


def test_one_odd_name_does_not_keep_the_picks_of_the_others_from_being_written(tmp_path, caplog):
    for name in ("a.mrc", "new\nline.mrc"):
        write_micrograph(tmp_path / name, np.eye(50, dtype=np.float32))
    with Review(load_micrographs(tmp_path).micrographs, tmp_path / "review") as review:
        for index in (0, 1):
            review.submit(index, request(Add(5, 5)))
        assert [picks.micrograph for picks in read_picks(write_result(review))] == ["a.mrc"]
    assert "the picks of one micrograph are not written" in caplog.text
