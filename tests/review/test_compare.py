"""Comparison of two sets of picks, counted by hand."""

from dataclasses import replace

import pytest
import torch

from cryopick.models.weights import find, read, save
from cryopick.review.compare import Comparison
from cryopick.review.edits import EditRequest, MarkBad, MarkReviewed, Remove
from cryopick.review.export import write_labels
from cryopick.review.training_set import training_names
from cryopick.runs.folder import RunFolder
from cryopick.runs.settings import run_settings
from cryopick.types import Picks


@pytest.fixture
def comparison(review):
    """Ground truth of a: all but the first; b is in the labels, unchanged; c is bad. After: two of the five and one elsewhere."""
    requests = [(1, MarkReviewed(True)), (0, Remove([0])), (0, MarkReviewed(True)), (2, MarkReviewed(True)), (2, MarkBad(True))]
    for number, (index, edit) in enumerate(requests):
        review.submit(index, EditRequest(f"key-{number:05}", edit))
        if number == 0:
            write_labels(review)
    after = [Picks(name, [(205, 80), (300, 80), (400, 200)], [0.9, 0.8, 0.7]) for name in ("a.mrc", "b.mrc")]
    return Comparison.of(review, after, title="after")


def test_a_row_counts_both_sets_and_the_picks_that_agree_within_half_a_diameter(comparison):
    row = comparison.row(0)
    assert (row["before"], row["after"], row["agreed"], row["truth"], row["trainedOn"]) == (5, 3, 2, 4, False)
    assert row["beforeScore"] == {"precision": 0.8, "recall": 1.0, "f1": 0.889}  # 4 of 5, 4 of 4, 8 / 9
    assert row["afterScore"] == {"precision": 0.667, "recall": 0.5, "f1": 0.571}  # 2 of 3, 2 of 4, 4 / 7


def test_each_set_has_its_own_threshold_and_the_ground_truth_has_none(comparison):
    cut = comparison.above(0.5, 0.8)  # before 300, 80; 100, 300; 500, 300: all true. After 205, 80; 300, 80
    row = cut.row(0)
    assert (row["before"], row["after"], row["agreed"], row["truth"]) == (3, 2, 1, 4)
    assert row["beforeScore"] == {"precision": 1.0, "recall": 0.75, "f1": 0.857}  # 6 / 7
    assert row["afterScore"] == {"precision": 1.0, "recall": 0.5, "f1": 0.667}
    assert [len(side["xy"]) for side in (cut.detail(0)["before"], cut.detail(0)["after"])] == [3, 2]
    assert cut.totals()[0]["before"]["f1"] == 0.857
    assert comparison.above(None, None).row(0) == comparison.row(0)


def test_picks_without_scores_pass_every_threshold(comparison):
    bare = Comparison.of(comparison.review, [Picks("a.mrc", [(205, 80)])], title="bare")
    assert bare.above(None, 0.9).row(0)["after"] == 1


def test_micrographs_in_the_labels_are_pooled_separately(comparison):
    fresh, trained = comparison.totals()
    assert (fresh["trainedOn"], fresh["micrographs"], fresh["before"]["f1"]) == (False, 1, 0.889)
    assert (trained["trainedOn"], trained["micrographs"], trained["before"]["f1"], trained["after"]["f1"]) == (True, 1, 1.0, 0.5)


def test_a_bad_micrograph_is_no_ground_truth_and_one_without_picks_is_compared(comparison):
    row = comparison.row(2)
    assert (row["truth"], row["beforeScore"], row["after"], row["agreed"]) == (None, None, 0, 0)


def test_picks_are_correct_or_false_with_ground_truth_and_agreed_or_not_without(comparison):
    scored = comparison.detail(0)
    assert scored["before"]["kinds"] == ["false", "correct", "correct", "correct", "correct"]
    assert scored["after"]["kinds"] == ["correct", "correct", "false"]
    assert scored["after"]["missed"] == [[100, 300], [500, 300]]
    assert comparison.detail(2)["before"]["kinds"] == ["only"] * 5


def test_the_training_set_of_the_weights_overrides_the_labels(comparison):
    explicit = Comparison.of(comparison.review, comparison.after, title="after", trained_on={"a.mrc", "elsewhere.mrc"})
    fresh, trained = explicit.totals()
    assert (fresh["micrographs"], trained["micrographs"], explicit.row(0)["trainedOn"]) == (1, 1, True)


def test_the_training_set_of_a_run_is_read_from_the_card_of_its_weights(folder, tmp_path):
    weights, run = tmp_path / "weights.safetensors", tmp_path / "run"
    kept = {"seen": ["a.mrc"], "held_out": ["b.mrc"], "kinds": ["simulated"]}
    save(weights, {"bias": torch.zeros(1)}, replace(read(find("unet"))[1], data=kept))
    settings = run_settings("unet", settings={"weights": str(weights)}, diameter=80.0, previews=False, device="cpu")
    with RunFolder(run).in_use():
        RunFolder(run).prepare(settings)
    RunFolder(run).table.write_text("name\n")
    assert training_names(run) == {"a.mrc", "b.mrc"}
    weights.unlink()
    assert training_names(run) == set()
    assert training_names(folder) == set()
