"""`cryopick evaluate` from files to numbers."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from cryopick.cli import app
from cryopick.errors import CryopickError, NameMatchError, SettingError
from cryopick.io.micrographs.files import write_micrograph
from cryopick.runs.folder import RunFolder
from cryopick.runs.outputs import assemble
from cryopick.runs.records import done, read_record, write_record
from cryopick.runs.settings import run_settings
from cryopick.types import Picks


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, words)], catch_exceptions=False)


def numbers(*words: str | Path) -> dict:
    result = run(*words, "--json")
    assert result.exit_code == 0
    return json.loads(result.stdout)


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """Two particles on micrograph a, one on b: a folder with a table for each micrograph, 20 px across."""
    folder = tmp_path / "truth"
    folder.mkdir()
    (folder / "a.csv").write_text("x,y,diameter\n30,30,20\n60,30,20\n")
    (folder / "b.csv").write_text("x,y,diameter\n30,40,20\n")
    return folder


@pytest.fixture
def found(tmp_path: Path) -> Path:
    """On a: one pick 3 px off, one double of it, one on nothing. None on b."""
    path = tmp_path / "found.csv"
    path.write_text("micrograph,x,y,score\na.mrc,33,30,0.9\na.mrc,30,34,0.8\na.mrc,90,90,0.3\n")
    return path


@pytest.fixture
def micrographs(tmp_path: Path) -> Path:
    """Both micrographs, 120 columns by 100 rows, 2 Å/px."""
    folder = tmp_path / "micrographs"
    folder.mkdir()
    for name in "ab":
        pixels = np.arange(100 * 120, dtype=np.float32).reshape(100, 120)
        write_micrograph(folder / f"{name}.mrc", pixels, pixel_size=2.0)
    return folder


def test_json_has_pooled_numbers_means_and_every_micrograph(found: Path, truth: Path):
    summary = numbers(found, truth)
    assert summary["pooled"] == {
        "true_positive": 1,
        "false_positive": 2,
        "false_negative": 2,
        "precision": 1 / 3,
        "recall": 1 / 3,
        "f1": 1 / 3,
        "duplicates": 1,
    }
    assert summary["mean_over_micrographs"] == {"precision": 1 / 3, "recall": 0.25, "f1": 0.2}
    assert summary["localisation_error_px"] == {"median": 3, "mean": 3}
    assert summary["localisation_error_angstrom"] is None
    assert [one["micrograph"] for one in summary["per_micrograph"]] == ["a", "b"]
    assert summary["per_micrograph"][1]["precision"] is None


def test_json_has_the_curve_of_the_scores(found: Path, truth: Path):
    scores = numbers(found, truth)["scores"]
    # Best first: true, false, false; three particles: recall 1/3 at precision 1.
    assert scores["average_precision"] == pytest.approx(1 / 3)
    assert scores["best"] == pytest.approx({"threshold": 0.9, "precision": 1, "recall": 1 / 3, "f1": 0.5})
    assert scores["curve"]["precision"] == pytest.approx([1, 1 / 2, 1 / 3])


def test_the_best_threshold_gives_the_stated_f1(found: Path, truth: Path):
    best = numbers(found, truth)["scores"]["best"]
    assert numbers(found, truth, "--threshold", str(best["threshold"]))["pooled"]["f1"] == pytest.approx(best["f1"])


def test_the_table_holds_the_same_numbers(found: Path, truth: Path):
    result = run(found, truth)
    assert result.exit_code == 0
    together = next(line for line in result.stdout.splitlines() if "all micrographs" in line)
    assert together.split()[2:] == ["3", "3", "1", "1", "0.333", "0.333", "0.333"]
    assert "median 3.0 px" in result.stdout
    assert "Average precision: 0.333" in result.stdout
    assert "no picks on b" in result.stderr


def test_shapes_and_pixel_sizes_come_from_the_micrographs(found: Path, truth: Path, micrographs: Path):
    # With a border of 30 all particles count. With one of 41 none does: b's is on row 40.
    summary = numbers(found, truth, "--micrographs", micrographs, "--border", "30")
    assert summary["pooled"]["recall"] == 1 / 3
    assert summary["localisation_error_angstrom"] == {"median": 6, "mean": 6}
    inner = numbers(found, truth, "--micrographs", micrographs, "--border", "41")
    assert inner["pooled"] == {
        "true_positive": 0,
        "false_positive": 0,
        "false_negative": 0,
        "precision": None,
        "recall": None,
        "f1": None,
        "duplicates": 0,
    }


def test_a_border_without_micrographs_is_an_error_that_says_to_give_them(found: Path, truth: Path):
    with pytest.raises(CryopickError, match="give the micrographs"):
        run(found, truth, "--border", "10")


def test_a_given_diameter_is_in_angstrom_when_the_pixel_size_is_given(found: Path, truth: Path):
    # The pick 3 px off is 6 Å off at 2 Å/px: half of 12 Å is not further, half of 13 Å is.
    assert numbers(found, truth, "--pixel-size", "2", "--diameter", "12")["pooled"]["true_positive"] == 0
    assert numbers(found, truth, "--pixel-size", "2", "--diameter", "13")["pooled"]["true_positive"] == 1
    assert numbers(found, truth, "--diameter", "6.1")["pooled"]["true_positive"] == 1


@pytest.fixture
def picked(tmp_path: Path) -> Path:
    """A run that found both particles of a, the second 1 px off, and nothing on b; 62 columns by 100 rows."""
    folder = RunFolder(tmp_path / "out")
    folder.prepare(run_settings(), overwrite=False)
    for name, xy, scores in (("a", [[30, 30], [60, 31]], [0.9, 0.4]), ("b", [], [])):
        picks = Picks(f"micrographs/{name}.mrc", np.reshape(xy, (-1, 2)), scores, shape_hw=(100, 62))
        write_record(done(picks, path=f"micrographs/{name}.mrc", seconds=1.0, files=[], notes=[]), folder.record(name))
    assemble(folder, [(name, read_record(folder.record(name)).outcome) for name in "ab"], run_settings())
    return folder.path


def test_the_output_folder_of_picking_needs_no_micrographs_even_for_a_border(picked: Path, truth: Path):
    assert numbers(picked, truth)["pooled"]["true_positive"] == 2
    assert numbers(picked, truth, "--border", "10")["pooled"]["true_positive"] == 1


def test_shapes_missing_from_the_truth_are_taken_from_the_run(picked: Path, tmp_path: Path):
    header = "X-Coordinate,Y-Coordinate,Diameter\n"
    (tmp_path / "cryoppp").mkdir()
    for name, rows in (("a", "30,69,20\n60,69,20\n"), ("b", "30,59,20\n")):  # counted from the last row: 99 - 69 = 30
        (tmp_path / "cryoppp" / f"{name}.csv").write_text(header + rows)
    pooled = numbers(picked, tmp_path / "cryoppp")["pooled"]
    assert (pooled["true_positive"], pooled["false_negative"]) == (2, 1)
    (tmp_path / "cryoppp" / "c.csv").write_text(header + "1,1,20\n")  # on an unknown micrograph
    with pytest.raises(CryopickError, match="shape"):
        run(picked, tmp_path / "cryoppp")


def test_tables_with_labels_and_sources_can_be_the_truth(tmp_path: Path, found: Path):
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.csv").write_text("x,y,label,source\n30.0,30.0,particle,someone\n")
    assert numbers(found, tmp_path / "labels", "--diameter", "20")["pooled"]["true_positive"] == 1


def test_picks_on_micrographs_without_truth_are_excluded_with_a_warning(tmp_path: Path, truth: Path):
    path = tmp_path / "found.csv"
    path.write_text("micrograph,x,y\na,30,30\nelsewhere,1,1\n")
    result = run(path, truth, "--json")
    assert "elsewhere" in result.stderr
    assert json.loads(result.stdout)["without_truth"] == ["elsewhere"]
    assert json.loads(result.stdout)["pooled"]["false_positive"] == 0


def test_names_that_do_not_match_are_an_error(tmp_path: Path, truth: Path):
    path = tmp_path / "found.csv"
    path.write_text("micrograph,x,y\nelsewhere,1,1\n")
    with pytest.raises(NameMatchError, match="elsewhere"):
        run(path, truth)


def test_the_papers_protocol_gives_means_and_maxima_of_pixels(tmp_path: Path, truth: Path, micrographs: Path):
    path = tmp_path / "found.csv"
    path.write_text("micrograph,x,y\na,30,30\na,60,30\nb,30,40\nb,80,80\n")
    summary = numbers(path, truth, "--micrographs", micrographs, "--protocol", "paper")
    # a: the same discs. b: two discs of one size, one of them true.
    assert summary["mean_over_micrographs"]["precision"] == 0.75
    assert summary["mean_over_micrographs"]["recall"] == 1
    assert summary["maximum_over_micrographs"]["precision"] == 1
    assert summary["mean_over_micrographs"]["dice"] == pytest.approx((1 + 2 / 3) / 2)
    table = run(path, truth, "--micrographs", micrographs, "--protocol", "paper").stdout
    assert "maximum (as in the released program)" in table


def test_a_plot_is_a_png(tmp_path: Path, found: Path, truth: Path):
    plot = tmp_path / "plots" / "curve.png"
    assert run(found, truth, "--plot", plot).exit_code == 0
    assert plot.read_bytes().startswith(b"\x89PNG\r\n")


def test_a_plot_that_cannot_be_drawn_is_an_error(tmp_path: Path, found: Path, truth: Path):
    unscored = tmp_path / "unscored.csv"
    unscored.write_text("micrograph,x,y\na,30,30\n")
    with pytest.raises(SettingError, match="scores"):
        run(unscored, truth, "--plot", tmp_path / "curve.png")
    with pytest.raises(SettingError, match="format"):
        run(found, truth, "--plot", tmp_path / "curve.xyz")
    with pytest.raises(SettingError, match="--protocol matching"):
        run(found, truth, "--plot", tmp_path / "curve.png", "--protocol", "paper")
    assert not list(tmp_path.glob("curve*"))
