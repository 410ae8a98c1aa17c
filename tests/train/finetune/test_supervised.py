"""Fine-tuning and self-training on micrographs of dark discs in noise, whose particles are known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import expit

from cryopick.errors import CryopickError, FileError, SettingError
from cryopick.io.datasets.cryoppp import BadArea, LabelledMicrograph
from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.micrographs.sources import MicrographSource
from cryopick.models.attention_unet import AttentionUNet
from cryopick.models.weights import Card, read, read_card, save
from cryopick.pickers.unet import UNetPicker, UNetSettings
from cryopick.train.data.labelled import LabelledSet
from cryopick.train.data.splits import split_micrographs
from cryopick.train.finetune.held_out import cross_calibrate, label_probabilities, measure, measure_recall
from cryopick.train.finetune.pseudo_labels import count_agreement, pseudo_labelled, uncertain_picks
from cryopick.train.finetune.self_training import self_train, unlabelled
from cryopick.train.finetune.supervised import FinetuneSettings, InitialWeights, finetune_unet
from cryopick.train.loop import LoopSettings
from cryopick.types import Picks

pytest.importorskip("lightning.fabric")
SIDE, DIAMETER = 256, 16.0
QUICK = LoopSettings(steps=40, batch=8, learning_rate=1e-2, warmup=5, ema=0.9, validate_every=40, tensorboard=False)
SETTINGS = FinetuneSettings(structures=2, crop=4.0, mix=1.0, loop=QUICK)


def discs(folder: Path, name: str, seed: int) -> LabelledMicrograph:
    """A micrograph of noise with dark discs, and all of them as its labels."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.arange(20, SIDE - 15, 30), np.arange(20, SIDE - 15, 30)), -1).reshape(-1, 2)
    xy = grid[rng.random(len(grid)) < 0.6] + rng.integers(-4, 5, (1, 2))
    pixels = rng.normal(size=(SIDE, SIDE)).astype(np.float32)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for x, y in xy:
        pixels[(rows - y) ** 2 + (columns - x) ** 2 <= (DIAMETER / 2) ** 2] -= 2
    path = folder / f"{name}.mrc"
    write_micrograph(path, pixels)
    truth = Picks(path.name, xy.astype(float), diameter=DIAMETER, shape_hw=(SIDE, SIDE))
    return LabelledMicrograph(MicrographSource(path, path.name), truth, Picks(path.name))


def with_labels(one: LabelledMicrograph, xy) -> LabelledMicrograph:
    return replace(one, truth=replace(one.truth, xy=np.array(xy, float)))


def labelled(*micrographs: LabelledMicrograph) -> LabelledSet:
    return LabelledSet(micrographs, ())


@pytest.fixture(scope="module")
def micrographs(tmp_path_factory) -> list[LabelledMicrograph]:
    folder = tmp_path_factory.mktemp("discs")
    return [discs(folder, name, seed) for seed, name in enumerate("abcd")]


@pytest.fixture(scope="module")
def untrained(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    model = AttentionUNet(4, 2, maps=3)
    model.output.weight.data.zero_()
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    settings = {"width": 4, "levels": 2, "maps": 3}
    save(path, model.state_dict(), Card("attention-unet", settings, input={"particle_px": 8.0, "calibration": [1.0, 0.0]}))
    return path


@pytest.fixture(scope="module")
def finetuned(micrographs, untrained, tmp_path_factory):
    """Result of fine-tuning random weights, which amounts to training them."""
    out = tmp_path_factory.mktemp("finetuned")
    return finetune_unet(labelled(*micrographs), replace(SETTINGS, weights=str(untrained)), out)


def found_at(weights: Path, one: LabelledMicrograph, xy) -> np.ndarray:
    """Highest score within a radius of each position."""
    picks = UNetPicker(UNetSettings(weights=str(weights), threshold=0.0)).pick(one.source.read(), diameter=DIAMETER)
    near = np.linalg.norm(picks.xy[:, None] - np.array(xy), axis=-1) < DIAMETER / 2
    return np.max(np.where(near, picks.scores[:, None], 0.0), axis=0)


def test_fine_tuning_improves_the_weights_and_records_it_in_the_card(finetuned, micrographs, untrained):
    assert finetuned.better
    assert finetuned.after.f1 > 0.8 > finetuned.before.f1 == 0
    assert sorted(finetuned.trained + finetuned.held_out) == ["a.mrc", "b.mrc", "c.mrc", "d.mrc"]
    assert len(finetuned.held_out) == 1
    card = read_card(finetuned.weights)
    assert card is not None
    assert "precision_before" not in card.metrics  # nothing was found
    assert card.metrics["f1_after"] == pytest.approx(finetuned.after.f1, abs=1e-4)
    assert card.data == {"seen": finetuned.trained, "held_out": finetuned.held_out}
    assert card.input["particle_px"] == 8.0
    assert "untrained.safetensors" in card.source


def test_partial_labels_do_not_train_the_other_particles_as_background(finetuned, micrographs, tmp_path):
    some = [with_labels(one, one.truth.xy[::4]) for one in micrographs]
    others = np.delete(micrographs[0].truth.xy, np.s_[::4], axis=0)
    settings = replace(SETTINGS, weights=str(finetuned.weights), loop=replace(QUICK, steps=20, validate_every=20))
    weights = {"start": finetuned.weights.with_name("tuned.safetensors")}
    for labels in ("partial", "complete"):
        finetune_unet(labelled(*some), replace(settings, labels=labels), tmp_path / labels)
        weights[labels] = tmp_path / labels / "tuned.safetensors"
    score = {name: float(np.median(found_at(path, micrographs[0], others))) for name, path in weights.items()}
    assert score["partial"] > score["start"]
    assert score["partial"] > 1.4 * score["complete"]


def test_wrong_labels_leave_the_initial_weights_in_place(finetuned, micrographs, tmp_path):
    rng = np.random.default_rng(5)
    training, (aside,) = split_micrographs(micrographs, share=0.25, seed=0)
    wrong = [with_labels(one, rng.uniform(10, SIDE - 10, (60, 2))) for one in training]
    settings = replace(SETTINGS, weights=str(finetuned.weights), loop=replace(QUICK, steps=10, validate_every=10))
    outcome = finetune_unet(labelled(*sorted([*wrong, aside], key=lambda one: one.source.name)), settings, tmp_path)
    assert not outcome.better
    assert outcome.after.f1 < outcome.before.f1
    assert outcome.weights.read_bytes() == finetuned.weights.read_bytes()


def test_a_killed_run_resumes_to_identical_weights(micrographs, untrained, tmp_path):
    settings = replace(SETTINGS, weights=str(untrained), loop=replace(QUICK, steps=6, validate_every=2))
    finetune_unet(labelled(*micrographs), settings, tmp_path / "whole")

    def kill(step, losses):
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune_unet(labelled(*micrographs), settings, tmp_path / "killed", on_step=kill)
    steps: list[int] = []
    finetune_unet(labelled(*micrographs), settings, tmp_path / "killed", on_step=lambda step, _: steps.append(step))
    assert steps == [5, 6]
    whole, killed = (read(tmp_path / run / "tuned.safetensors")[0] for run in ("whole", "killed"))
    assert all(torch.equal(whole[name], killed[name]) for name in whole)
    assert (tmp_path / "whole" / "weights.safetensors").read_bytes() == (tmp_path / "killed" / "weights.safetensors").read_bytes()
    fewer = labelled(with_labels(micrographs[0], micrographs[0].truth.xy[1:]), *micrographs[1:])
    with pytest.raises(SettingError, match="training_particles"):
        finetune_unet(fewer, settings, tmp_path / "killed")


def test_a_single_micrograph_is_split_into_halves(micrographs):
    one = replace(micrographs[0], areas=[BadArea(5.0, [(SIDE / 2 + 10.0, 7.0)])])
    (left,), (right,) = split_micrographs([one], share=0.25, seed=0)
    assert (left.areas[0].points, right.areas[0].points) == ([(SIDE / 2 + 10.0, 7.0)], [(10.0, 7.0)])
    assert [half.source.name for half in (left, right)] == ["a.mrc (left half)", "a.mrc (right half)"]
    pixels = one.source.read().pixels
    assert np.array_equal(np.hstack([half.source.read().pixels for half in (left, right)]), pixels)
    assert left.truth.shape_hw == (SIDE, SIDE // 2)
    rejoined = np.vstack([left.truth.xy, right.truth.xy + np.array([SIDE // 2, 0])])
    assert sorted(map(tuple, rejoined)) == sorted(map(tuple, one.truth.xy[one.truth.xy[:, 0] != 127.5]))


def test_held_out_micrographs_have_particles_and_depend_on_the_seed(micrographs):
    empty = [with_labels(one, np.zeros((0, 2))) for one in micrographs[1:]]
    training, aside = split_micrographs([*empty, micrographs[0]], share=0.9, seed=3)
    assert [one.source.name for one in aside] == ["a.mrc"]
    assert len(training) == 3
    chosen = {split_micrographs(micrographs, share=0.01, seed=seed)[1][0].source.name for seed in range(20)}
    assert len(chosen) > 1


def picks(xy, scores=None, shape_hw=(100, 100)) -> Picks:
    return Picks("m", np.array(xy, float).reshape(-1, 2), scores, 10.0, shape_hw)


def test_recall_is_measured_at_a_given_number_of_picks():
    # The third best pick lies in the border of one diameter and does not count; the first and the last find labels.
    found = picks([[50, 50], [30, 30], [3, 50], [70, 70]], [0.9, 0.8, 0.85, 0.1])
    truth = picks([[50, 51], [70, 71], [20, 80]])
    one, two, three, nine = (measure_recall([found], [truth], border=1.0, picks=count) for count in (1, 2, 3, 9))
    assert [each.recall for each in (one, two, three, nine)] == pytest.approx([1 / 3, 1 / 3, 2 / 3, 2 / 3])
    assert [each.mean_recall for each in (one, two, three)] == pytest.approx([1 / 3, 1 / 3, 4 / 9])
    assert (nine.picks, nine.precision, nine.score) == (3, None, pytest.approx((1 + 1 + 7 * 2) / 27))
    whole = measure([found], [truth], border=1.0)
    assert (whole.picks, whole.precision, whole.recall) == (2, 0.5, pytest.approx(1 / 3))
    assert whole.score == whole.f1 == pytest.approx(0.4)


def test_the_probability_of_a_pick_is_that_of_its_label_or_the_initial_score_there():
    found = picks([[50, 50], [30, 30], [80, 80]], [0.9, 0.8, 0.7])
    start = picks([[51, 50], [31, 30]], [0.4, 0.6])
    truth = picks([[50, 51]])
    assert label_probabilities(found, truth).tolist() == [1.0, 0.0, 0.0]
    assert label_probabilities(found, truth, start=start).tolist() == pytest.approx([1.0, 0.6, 0.0])


def test_scores_are_calibrated_on_the_other_half_of_the_micrograph():
    # All logits 0. On the left one of four is right, on the right three: each side gets the log-odds of the other.
    xy = [[x, y] for x in (20, 40, 60, 80) for y in (20, 40, 60, 80)]
    right = np.array([y == 20 for x, y in xy if x < 50] + [y != 20 for x, y in xy if x > 50], float)
    (scored,), (slope, offset) = cross_calibrate([picks(xy, np.full(16, 0.5, np.float32))], [right], border=0.0)
    np.testing.assert_allclose(scored.scores[:8], 0.75, atol=1e-3)
    np.testing.assert_allclose(scored.scores[8:], 0.25, atol=1e-3)
    assert offset == pytest.approx(0, abs=1e-3)
    assert np.isfinite(slope)


def test_training_micrographs_take_part_in_the_calibration():
    # All logits 0. Held out: one of two is right on each side. Training: 6 of 6. Each half is fitted to 7 of 8, all to 8 of 10.
    aside = picks([[20, 20], [20, 40], [80, 20], [80, 40]], np.full(4, 0.5, np.float32))
    training = picks([[x, 50] for x in (10, 20, 30, 60, 70, 80)], np.full(6, 0.5, np.float32))
    right = np.array([1, 0, 1, 0], float)
    (scored,), line = cross_calibrate([aside], [right], border=0.0, training=[(training, np.ones(6))])
    np.testing.assert_allclose(scored.scores, 7 / 8, atol=1e-3)
    assert expit(line[1]) == pytest.approx(8 / 10, abs=1e-3)


def test_confident_picks_become_labels_and_the_others_above_a_threshold_are_uncertain(micrographs):
    found = picks([[50, 50], [30, 30], [80, 80], [10, 80]], [0.95, 0.5, 0.05, 0.9])
    one = LabelledMicrograph(micrographs[0].source, replace(picks([]), diameter=12.0), picks([[1, 1]]))
    itself = pseudo_labelled(one, found, threshold=0.9)
    assert itself.truth.xy.tolist() == [[50, 50], [10, 80]]
    assert (itself.truth.diameter, itself.truth.scores, len(itself.false_positives)) == (12.0, None, 0)
    assert uncertain_picks(found, itself.truth, threshold=0.1).xy.tolist() == [[30, 30]]
    assert uncertain_picks(found, picks([]), threshold=0.1).xy.tolist() == [[50, 50], [30, 30], [10, 80]]


def test_agreement_counts_the_picks_found_both_times():
    before = picks([[50, 50], [30, 30], [80, 80]], [0.9, 0.6, 0.2])
    after = picks([[52, 50], [80, 80], [5, 5]], [0.9, 0.9, 0.9])
    assert count_agreement([before], [after], threshold=0.5, border=0.0) == (2, 3, 1)
    assert count_agreement([before], [after], threshold=0.5, border=1.0) == (2, 2, 1)


def test_self_training_uses_labels_for_scores_only(finetuned, micrographs, tmp_path, monkeypatch):
    monkeypatch.setattr("cryopick.train.finetune.self_training.VALIDATION_CROPS", 2)
    monkeypatch.setattr("cryopick.train.finetune.self_training.VALIDATION_STRUCTURES", 2)
    settings = replace(SETTINGS, weights=str(finetuned.weights), loop=replace(QUICK, steps=3, validate_every=3))
    bare, skipped = unlabelled([one.source for one in micrographs], diameter=DIAMETER)
    assert skipped == []
    alone = self_train(bare, settings, tmp_path / "alone")
    measured = self_train(bare, settings, tmp_path / "measured", truth={one.source.name: one.truth for one in micrographs})
    assert alone.measured is None
    assert measured.measured is not None
    assert measured.measured[1].f1 > 0.8
    assert alone.picks == measured.picks
    assert 0 < alone.picks[2] <= min(alone.picks[:2])
    states = [read(tmp_path / run / "tuned.safetensors")[0] for run in ("alone", "measured")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_self_training_without_confident_picks_raises(untrained, micrographs, tmp_path):
    bare, _ = unlabelled([micrographs[0].source], diameter=DIAMETER)
    with pytest.raises(CryopickError, match=r"0\.999 or more"):
        self_train(bare, replace(SETTINGS, weights=str(untrained), label_threshold=0.999), tmp_path)


def test_weights_for_whole_micrographs_raise(tmp_path):
    path = tmp_path / "paper.safetensors"
    save(path, AttentionUNet(2, 2).state_dict(), Card("attention-unet", {"width": 2, "levels": 2}))
    with pytest.raises(FileError, match="a fixed particle size"):
        InitialWeights(path)


@pytest.mark.parametrize(
    "wrong", [{"mix": 1.1}, {"held_out": 0.0}, {"jitter": 0.9}, {"ignore_threshold": 0.9, "label_threshold": 0.5}]
)
def test_invalid_settings_raise_with_their_name(wrong):
    with pytest.raises(SettingError, match=next(iter(wrong))):
        FinetuneSettings(**wrong)
