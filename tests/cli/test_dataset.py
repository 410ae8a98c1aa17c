"""`cryopick dataset coco` from the command line: picks of any format and their micrographs become training sets."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from cryopick.cli import app
from cryopick.errors import SettingError
from cryopick.io.datasets.cryoppp import DatasetFolder
from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.picks.formats import read_picks, write_picks
from cryopick.train.data.labelled import find_labelled
from cryopick.types import Micrograph, Picks


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def invoke(*words, code=0):
        result = CliRunner().invoke(app, ["dataset", "coco", *map(str, words)])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result.output

    return invoke


def write_mrcs(folder, rng, count=10):
    for index in range(count):
        write_micrograph(folder / f"m{index}.mrc", rng.normal(size=(40, 60)).astype(np.float32), pixel_size=2.0)


def test_a_star_file_and_mrc_files_become_three_sets_for_training(tmp_path, run, rng):
    write_mrcs(tmp_path / "raw", rng)
    write_picks([Picks(f"m{index}.mrc", [[10 + index, 5]], pixel_size=2.0) for index in range(10)], tmp_path / "p.star")
    output = run("raw", "--picks", "p.star", "--diameter", 12, "--out", "coco")
    assert "train.json: 8 micrographs, 8 particles" in output
    assert "test.json: 1 micrograph, 1 particle" in output
    labelled = find_labelled(tmp_path / "coco" / "train.json")
    assert labelled.skipped == ()
    for one in labelled.micrographs:
        assert one.source.path.resolve() == tmp_path / "raw" / one.source.path.name
        assert one.truth.xy.tolist() == [[10 + int(one.source.path.stem[1:]), 5]]
        assert one.truth.diameter_px == 6


def test_boxes_of_mrc_picks_fit_upside_down_images(tmp_path, run, rng):
    write_micrograph(tmp_path / "jpegs" / "m0.png", rng.integers(0, 255, (40, 60), np.uint8))
    write_picks([Picks("m0.mrc", [[10, 5]])], tmp_path / "p.csv")
    run("jpegs", "--picks", "p.csv", "--diameter", 6, "--out", "coco", "--split", 1, 0, 0, "--upside-down")
    [annotation] = json.loads((tmp_path / "coco" / "train.json").read_text())["annotations"]
    assert annotation["bbox"] == [7, 31, 6, 6]  # row 5 of 40 is row 34 from the other end


def test_a_cryoppp_folder_needs_nothing_beside_it(tmp_path, run, rng):
    folder = DatasetFolder(tmp_path / "set")
    for index in range(3):
        micrograph = Micrograph(rng.normal(size=(40, 60)), 2.0, f"m{index}.mrc", kind="mrc")
        truth = Picks(micrograph.name, [[10, 5], [30, 20]], None, 12.0, (40, 60), 2.0)
        folder.write(micrograph, truth, Picks(micrograph.name, shape_hw=(40, 60)))
    output = run("set", "--out", "coco")
    assert output.count("1 micrograph, 2 particles") == 3
    [picks] = read_picks(tmp_path / "coco" / "val.json")
    assert picks.xy.tolist() == [[10, 5], [30, 20]]


def test_skipped_micrographs_are_named(tmp_path, run, rng):
    write_mrcs(tmp_path / "raw", rng, count=2)
    write_picks([Picks(name, [[10, 5]]) for name in ("m0.mrc", "elsewhere.mrc")], tmp_path / "p.csv")
    output = run("raw", "--picks", "p.csv", "--diameter", 6, "--out", "coco", "--split", 1, 0, 0, code=1)
    assert "skipped: elsewhere.mrc: has picks, but is not among the micrographs" in output
    with pytest.raises(SettingError, match="sum to 1"):
        run("raw", "--picks", "p.csv", "--diameter", 6, "--out", "coco", "--split", 1, 1, 0)
