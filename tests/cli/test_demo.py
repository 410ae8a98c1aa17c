"""`cryopick demo` writes micrographs, picks, scores and a figure."""

import re

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from cryopick.cli import app
from cryopick.errors import SettingError
from cryopick.evaluate import evaluate_picks
from cryopick.io.picks.formats import read_picks


def demo(*words):
    return CliRunner().invoke(app, ["demo", *map(str, words)], catch_exceptions=False)


def test_the_demo_picks_its_micrographs_prints_scores_and_can_be_repeated(tmp_path):
    out = tmp_path / "demo"
    result = demo("--out", out, "-n", 1, "--size", 1024)
    assert result.exit_code == 0
    assert str(out / "demo.png") in result.output
    printed = float(re.search(r"F1 ([0-9.]+)", result.output)[1])
    border = 90 / 2  # half of 180 Å at 2 Å/px
    picks, truth = read_picks(out / "picks" / "particles.star"), read_picks(out / "truth.star")
    (shape_hw,) = [cv2.imread(str(out / "picks" / "previews" / f"{picks[0].micrograph[:-4]}.png")).shape[:2]]
    assert shape_hw == (1024, 1024)
    micrographs = sorted((out / "micrographs").iterdir())
    truth = read_picks(out / "truth.star", micrographs=[_source(path) for path in micrographs])
    assert printed == pytest.approx(evaluate_picks(picks, truth, diameter=180, border=border).f1, abs=0.001)
    assert printed > 0.5
    page = (out / "picks" / "report.html").read_text()
    assert '"averagePrecision":0.' in page or '"averagePrecision":1.0' in page
    assert str(out / "picks" / "report.html") in result.output
    figure = cv2.imread(str(out / "demo.png"))
    assert (np.ptp(figure.astype(int), axis=2) > 60).any()

    before = (out / "picks" / "particles.star").read_bytes()
    assert demo("--out", out, "-n", 1, "--size", 1024).exit_code == 0
    assert (out / "picks" / "particles.star").read_bytes() == before

    for words in [("-n", 1, "--seed", 3), ("-n", 3, "--seed", 3)]:
        with pytest.raises(SettingError, match="micrographs of another simulation"):
            demo("--out", out, "--size", 1024, *words)


def _source(path):
    from cryopick.io.micrographs.sources import find_micrographs

    return find_micrographs([path])[0]


def test_a_folder_with_other_files_is_not_touched(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(SettingError, match="holds other files"):
        demo("--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
