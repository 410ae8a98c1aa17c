"""Map resolution from picks: effects of misses, false picks and centring errors."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from cryopick.cli import app
from cryopick.errors import FileError
from cryopick.io.picks.formats import write_picks
from cryopick.resolution import half_maps as resolution
from cryopick.resolution.half_maps import box_side, box_transforms, correlation_with_truth, read_oriented, reconstruct_picks
from cryopick.resolution.tables import HEADINGS
from cryopick.types import Picks

WORDS = ["-n", "2", "--size", "384", "--pixel-size", "6", "--preset", "resolution", "--set", "contrast=[4, 4]"]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("resolution") / "set"
    words = ["simulate", "--out", str(folder), *WORDS, "--structures", "barrel-D7", "--seed", "5", "--workers", "1"]
    assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0
    return folder


@pytest.fixture(scope="module")
def micrographs(simulated):
    return read_oriented(simulated)


@pytest.fixture(scope="module")
def best(micrographs):
    return reconstruct_picks("truth", [one.truth for one in micrographs], micrographs)


def moved(picks: Picks, by: np.ndarray) -> Picks:
    return replace(picks, xy=picks.xy + by)


def test_all_micrographs_show_the_same_structure_with_orientations(micrographs):
    assert len(micrographs) == 2
    assert all(len(one.rotations) == len(one.truth) > 5 for one in micrographs)
    assert [one.truth.diameter for one in micrographs] == pytest.approx([170, 170])


def test_micrographs_of_different_structures_raise(tmp_path):
    words = ["simulate", "--out", str(tmp_path), "-n", "2", "--size", "192", "--pixel-size", "8", "--preset", "easy"]
    assert CliRunner().invoke(app, [*words, "--workers", "1"], catch_exceptions=False).exit_code == 0
    with pytest.raises(FileError, match="different structures"):
        read_oriented(tmp_path)


def test_the_error_for_a_missing_micrograph_names_it(simulated, tmp_path):
    shutil.copytree(simulated, tmp_path / "set")
    gone = sorted((tmp_path / "set" / "micrographs").iterdir())[0]
    gone.unlink()
    with pytest.raises(FileError, match=gone.name):
        read_oriented(tmp_path / "set")


def test_many_picks_are_processed_in_parts(micrographs, best, monkeypatch):
    counts = []

    def counted(pixels, xy, *, side):
        counts.append(len(xy))
        return box_transforms(pixels, xy, side=side)

    monkeypatch.setattr(resolution, "box_transforms", counted)
    monkeypatch.setattr(resolution, "PIXELS_AT_ONCE", 4 * len(best.as_picked.first) ** 2)
    again = reconstruct_picks("truth", [one.truth for one in micrographs], micrographs)
    assert (max(counts), sum(counts)) == (4, 2 * best.truth)
    np.testing.assert_allclose(again.as_picked.mean, best.as_picked.mean, atol=1e-4 * best.as_picked.mean.max())


def test_the_ground_truth_is_all_correct_and_gives_a_map(best):
    assert (best.missed, best.false, best.correct) == (0, 0, best.truth)
    assert best.errors.max() == 0
    assert best.as_picked.correlation.resolution() == best.recentred.correlation.resolution() < 25


def test_the_ground_truth_is_no_worse_than_picks_with_centring_errors(micrographs, best, rng):
    errors = [rng.normal(0, 15 / 6, one.truth.xy.shape) for one in micrographs]
    worse = reconstruct_picks("moved", [moved(one.truth, by) for one, by in zip(micrographs, errors, strict=True)], micrographs)
    assert np.median(worse.errors) == pytest.approx(15 * np.sqrt(2 * np.log(2)), rel=0.15)  # of a Rayleigh distribution
    assert best.as_picked.correlation.resolution() < worse.as_picked.correlation.resolution()
    assert worse.recentred.correlation.resolution() == pytest.approx(best.as_picked.correlation.resolution(), rel=0.15)


def test_the_ground_truth_correlates_with_itself_like_its_halves(best):
    np.testing.assert_allclose(correlation_with_truth(best, best).correlation, best.as_picked.correlation.correlation, atol=1e-6)


def test_picks_with_a_systematic_error_agree_with_each_other_but_not_with_the_ground_truth(micrographs, best):
    # Each beside its particle's axis, where that particle's own frame has its x: a map of something, but not of the particle.
    beside = [moved(one.truth, 60 / 6 * one.rotations[:, :2, 0]) for one in micrographs]
    off = reconstruct_picks("off", beside, micrographs)
    assert off.as_picked.correlation.resolution() < 30
    assert correlation_with_truth(off, best).resolution() > 2 * off.as_picked.correlation.resolution()


def test_false_picks_are_counted_and_lower_the_resolution(micrographs, best, rng):
    corner = [Picks(one.truth.micrograph, np.concatenate([one.truth.xy, rng.uniform(0, 380, (60, 2))])) for one in micrographs]
    worse = reconstruct_picks("with false ones", corner, micrographs)
    assert worse.correct == best.correct
    assert worse.false == 120
    assert worse.as_picked.correlation.correlation[3:20].mean() < best.as_picked.correlation.correlation[3:20].mean()


def test_symmetry_improves_the_resolution(micrographs):
    alone, symmetric = (
        reconstruct_picks(symmetry, [micrographs[0].truth], micrographs[:1], symmetry=symmetry) for symmetry in ("C1", "C7")
    )
    assert symmetric.as_picked.correlation.correlation[3:20].mean() > alone.as_picked.correlation.correlation[3:20].mean()


def test_no_picks_give_an_empty_map_and_no_resolution(micrographs):
    nothing = reconstruct_picks("nothing", [], micrographs)
    assert (nothing.correct, nothing.false, nothing.missed) == (0, 0, nothing.truth)
    assert nothing.as_picked.correlation.resolution() == float("inf")


def test_a_box_has_its_point_at_the_origin_with_inverted_contrast():
    pixels = np.zeros((40, 50), np.float32)
    pixels[12, 31] = -1
    (transform,) = box_transforms(pixels, np.array([[31.0, 12.0]]), side=16)
    image = torch.fft.irfft2(transform, s=(16, 16))
    assert divmod(int(image.argmax()), 16) == (0, 0)
    (off,) = box_transforms(pixels, np.array([[29.0, 12.0]]), side=16)
    assert divmod(int(torch.fft.irfft2(off, s=(16, 16)).argmax()), 16) == (0, 2)


def test_boxes_are_even_and_wide_enough():
    assert box_side(10.0, times=2.0) == 20
    assert all(box_side(size, times=1.6) % 2 == 0 and box_side(size, times=1.6) >= 1.6 * size for size in (7.3, 31.0, 57.9))


def test_the_command_writes_tables_figures_and_maps(simulated, micrographs, tmp_path):
    half = [one.truth.where(np.arange(len(one.truth)) % 2 == 0) for one in micrographs]
    write_picks(half, tmp_path / "half.star", format="star")
    words = ["resolution", str(simulated), "--picks", f"half={tmp_path / 'half.star'}", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    lines = (tmp_path / "out" / "resolution.md").read_text().splitlines()
    assert [line.split("|")[1].strip() for line in lines] == [HEADINGS[0], "---", "truth", "half"]
    written = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    assert {"fsc.png", "slices.png", "orientations.png", "fsc.csv", "resolution.csv", "maps/half_half1.mrc"} <= written
