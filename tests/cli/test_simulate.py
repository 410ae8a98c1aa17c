"""`cryopick simulate`: its files, which do not depend on the number of workers."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cryopick.cli import app
from cryopick.errors import SettingError
from cryopick.io.micrographs.files import read_micrograph
from cryopick.io.picks.formats import read_picks
from cryopick.io.tables.star import read_star
from cryopick.train.data.labelled import find_labelled

SMALL = ["--size", "160", "--pixel-size", "5", "--preset", "easy", "--set", "diameter=[120, 180]", "--seed", "3"]


def simulate(folder: Path, *words: str) -> Path:
    result = CliRunner().invoke(app, ["simulate", "--out", str(folder), *words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return simulate(tmp_path_factory.mktemp("made") / "set", "-n", "3", "--workers", "1", *SMALL)


def test_micrographs_are_mrc_files_with_a_pixel_size(made):
    paths = sorted((made / "micrographs").iterdir())
    assert [path.suffix for path in paths] == [".mrc"] * 3
    micrograph = read_micrograph(paths[0])
    assert micrograph.shape_hw == (160, 160)
    assert micrograph.pixel_size == pytest.approx(5)


def test_the_folder_reads_back_as_a_data_set(made):
    found = find_labelled(made).micrographs
    table = read_star(made / "ground_truth" / "particles.star")["particles"]
    names = np.array(table.text("rlnMicrographName"))
    assert len(found) == 3
    assert sum(len(one.truth) for one in found) == len(names) > 5
    first = found[0]
    exact = np.stack([table.numbers("rlnCoordinateX"), table.numbers("rlnCoordinateY")], 1)[names == first.source.name]
    assert np.abs(first.truth.xy - exact).max() <= 0.5  # CryoPPP's numbers are whole
    assert 120 / 5 - 1 <= first.truth.diameter_px <= 180 / 5 + 1
    assert len(first.false_positives) == 0


def test_the_truth_is_the_same_in_every_form(made):
    star = read_picks(made / "ground_truth" / "particles.star", format="star")
    coco = read_picks(made / "ground_truth" / "coco.json", format="coco")
    assert [len(picks) for picks in star] == [len(picks) for picks in coco]
    for ours, theirs in zip(star, coco, strict=True):
        np.testing.assert_allclose(ours.xy, theirs.xy, atol=1.0)
        assert ours.pixel_size == pytest.approx(5)
        assert ours.diameter_px == pytest.approx(theirs.diameter_px, abs=0.51)  # COCO's boxes are whole pixels


def test_everything_drawn_is_in_a_table(made):
    table = read_star(made / "ground_truth" / "micrographs.star")["micrographs"]
    assert {"cryopickStructure", "cryopickDefocus", "cryopickIce", "cryopickContrast"} <= set(table.labels)
    assert all(20_000 <= value <= 30_000 for value in table.numbers("cryopickDefocus"))
    assert (made / "contact_sheet.png").stat().st_size > 1000
    assert len(list((made / "ground_truth" / "cover").iterdir())) == 3
    assert json.loads((made / "ground_truth" / "coco.json").read_text())["images"]


def test_two_workers_write_the_same_bytes_as_one(made, tmp_path):
    again = simulate(tmp_path / "again", "-n", "3", "--workers", "2", *SMALL)
    files = sorted(path.relative_to(made) for path in made.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert len(files) > 10
    assert [path for path in files if (made / path).read_bytes() != (again / path).read_bytes()] == []


def test_distractors_of_particle_size_become_false_positives(tmp_path):
    folder = simulate(tmp_path / "set", "-n", "1", "--workers", "1", *SMALL, "--set", "aggregates=4", "--set", "fragments=0.8")
    table = read_star(folder / "ground_truth" / "distractors.star")["distractors"]
    kinds = set(table.text("cryopickKind"))
    assert kinds <= {"fragment", "aggregate", "hidden"}
    wanted = sum(kind != "hidden" for kind in table.text("cryopickKind"))
    assert len(find_labelled(folder).micrographs[0].false_positives) == wanted > 0


def test_a_model_can_be_the_particle_and_be_drawn(tmp_path):
    atoms = [
        f"ATOM  {i:5d}  CA  ALA A{i:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00           C"
        for i, (x, y, z) in enumerate(np.random.default_rng(0).normal(0, 25, (300, 3)), 1)
    ]
    model = tmp_path / "ball.pdb"
    model.write_text("\n".join([*atoms, "END"]) + "\n")
    folder = simulate(tmp_path / "set", "-n", "1", "--workers", "1", "--structures", str(model), *SMALL)
    table = read_star(folder / "ground_truth" / "micrographs.star")["micrographs"]
    assert list(table.text("cryopickStructure")) == ["ball"]
    simulate(tmp_path / "look", "--gallery", "--structures", str(model))
    assert (tmp_path / "look" / "gallery.png").stat().st_size > 1000


def test_unknown_presets_and_folders_with_other_files_are_errors(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    for words in (["--out", str(tmp_path)], ["--out", str(tmp_path / "new"), "--preset", "nice"]):
        with pytest.raises(SettingError):
            CliRunner().invoke(app, ["simulate", *words], catch_exceptions=False)


def test_micrographs_of_another_run_are_not_mixed_with_this_ones(tmp_path):
    folder = simulate(tmp_path / "set", "-n", "2", "--workers", "1", *SMALL)
    for words in (["-n", "1", *SMALL], ["-n", "2", *SMALL, "--seed", "4"]):
        with pytest.raises(SettingError, match=r"sim_3_00000[01]\.mrc"):
            CliRunner().invoke(app, ["simulate", "--out", str(folder), *words], catch_exceptions=False)
    (folder / "micrographs" / ".sim_3_000000-abcdefgh.mrc").touch()  # what a killed run leaves
    simulate(folder, "-n", "3", "--workers", "1", *SMALL)
    assert len(read_star(folder / "ground_truth" / "micrographs.star")["micrographs"].text("rlnMicrographName")) == 3


def test_a_run_that_was_killed_while_it_wrote_beside_its_folders_is_resumed(tmp_path):
    out = tmp_path / "set"
    out.mkdir()
    (out / ".cryopick-tmp-0123abcd-0123456789ab.png").write_text("half")
    simulate(out, "-n", "1", "--workers", "1", *SMALL)
    assert len(list((out / "micrographs").iterdir())) == 1
