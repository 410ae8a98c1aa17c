"""Other programs' picks of real micrographs against the experts' labels."""

import csv
from pathlib import Path

import numpy as np
import pytest

from cryopick.evaluate import evaluate_picks, evaluate_pixels
from cryopick.types import Picks

SHAPE = (4096, 4096)
BORDER = 130  # the labels stop 131 px from the edge
PROGRAMS = ["repic_crYOLO", "repic_topaz", "repic_deepPicker"]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def picks_of(source: str, folder: Path) -> list[Picks]:
    """The picks of one source, on the micrographs where it has some."""
    every = []
    for path in sorted((folder / "other_labels").glob("*.csv")):
        xy = [(float(row["x"]), float(row["y"])) for row in rows(path) if row["source"] == source]
        if xy:
            every.append(Picks(path.stem, xy, shape_hw=SHAPE))
    return every


@pytest.fixture(scope="module")
def folder(real_data: Path) -> Path:
    return real_data / "empiar10017"


@pytest.fixture(scope="module")
def truth(folder: Path) -> list[Picks]:
    tables = {path.stem: rows(path) for path in sorted((folder / "truth").glob("*.csv"))}
    assert len(tables) == 8
    return [
        Picks(name, [(float(row["x"]), float(row["y"])) for row in table], diameter=108, shape_hw=SHAPE)
        for name, table in tables.items()
    ]


def on_the_same(truth: list[Picks], found: list[Picks]) -> list[Picks]:
    return [picks for picks in truth if picks.micrograph in {other.micrograph for other in found}]


def test_ground_truth_against_itself_is_perfect(truth: list[Picks]):
    evaluation = evaluate_picks(truth, truth, border=BORDER)
    assert evaluation.counts.true_positive == sum(map(len, truth)) == 5152
    assert (evaluation.f1, evaluation.duplicates, evaluation.errors_px.max()) == (1, 0, 0)


def test_the_same_experts_labels_from_another_road_agree_to_a_pixel(folder: Path, truth: list[Picks]):
    # The published coordinates of one micrograph; the truth was recovered from masks.
    published = picks_of("cryoppp", folder)
    assert len(published) == 1
    evaluation = evaluate_picks(published, on_the_same(truth, published))
    assert evaluation.counts.truth == len(published[0]) == 629
    assert evaluation.f1 > 0.99
    assert np.median(evaluation.errors_px) <= 1


@pytest.mark.parametrize("program", PROGRAMS)
def test_other_programs_find_the_labelled_particles_better_upright_than_upside_down(folder: Path, truth, program: str):
    found = picks_of(program, folder)
    assert len(found) == 4
    shared = on_the_same(truth, found)
    upright = evaluate_picks(found, shared, border=BORDER)
    flipped = evaluate_picks(
        [Picks(p.micrograph, np.stack([p.xy[:, 0], SHAPE[0] - 1 - p.xy[:, 1]], 1), shape_hw=SHAPE) for p in found],
        shared,
        border=BORDER,
    )
    assert upright.f1 > flipped.f1 + 0.05
    assert np.median(upright.errors_px) < np.median(flipped.errors_px)


def test_two_trained_programs_reach_what_such_programs_reach(folder: Path, truth: list[Picks]):
    for program in PROGRAMS[:2]:
        found = picks_of(program, folder)
        assert 0.8 < evaluate_picks(found, on_the_same(truth, found), border=BORDER).f1 < 0.95


def test_the_papers_protocol_is_kinder_in_its_maximum_than_in_its_mean(folder: Path, truth: list[Picks]):
    found = picks_of(PROGRAMS[1], folder)[:2]
    evaluation = evaluate_pixels(found, on_the_same(truth, found), border=BORDER)
    mean, maximum = evaluation.mean, evaluation.maximum
    assert 0.7 < mean.dice < maximum.dice <= maximum.f1 < 0.95
