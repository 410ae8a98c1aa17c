"""RELION's stages: their input, their order, and skipping of finished ones."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cryopick.errors import CryopickError
from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.micrographs.sources import MicrographSource
from cryopick.io.tables.star import read_star, star_text
from cryopick.resolution.half_maps import OrientedMicrograph
from cryopick.resolution.relion import FINAL, SELECTED, RelionSettings, Stage, _select, run_stages, stages, write_project
from cryopick.simulate.ctf import Optics
from cryopick.types import Picks

OPTICS = [20000.0, 300.0, 0.5, 2.7e7, 0.1, 0.0, 80.0, 300_000.0]


@pytest.fixture
def micrographs(tmp_path, rng) -> list[OrientedMicrograph]:
    made = []
    for number, voltage in enumerate((300_000.0, 200_000.0)):
        path = tmp_path / "set" / "micrographs" / f"m{number}.mrc"
        write_micrograph(path, rng.normal(size=(96, 96)).astype(np.float32), pixel_size=4.0)
        optics = Optics(*(torch.tensor([value]) for value in [*OPTICS[:-1], voltage]))
        truth = Picks(path.name, [[30.0, 40.4], [60.0, 50.6]], None, 80.0, (96, 96), 4.0)
        made.append(OrientedMicrograph(MicrographSource(path, path.name), truth, np.stack([np.eye(3)] * 2), optics))
    return made


def write(path: Path, text: str, stage: str) -> Stage:
    return Stage(stage, (sys.executable, "-c", f"open({str(path)!r}, 'a').write({text!r})"))


def final(project: Path) -> Stage:
    text = star_text({"general": {"rlnFinalResolution": [9.5]}})
    words = f"import pathlib; pathlib.Path({FINAL!r}).write_text({text!r})"
    return Stage("PostProcess", (sys.executable, "-c", words))


def test_micrographs_have_their_defocus_and_one_optics_group_per_microscope(micrographs, tmp_path):
    write_project(tmp_path / "project", [one.truth for one in micrographs], micrographs)
    tables = read_star(tmp_path / "project" / "micrographs.star")
    table, optics = tables["micrographs"], tables["optics"]
    assert table.text("rlnMicrographName") == ["micrographs/m0.mrc", "micrographs/m1.mrc"]
    assert (table.numbers("rlnDefocusU") == 20300).all()
    assert (table.numbers("rlnDefocusV") == 19700).all()
    assert table.numbers("rlnDefocusAngle") == pytest.approx(np.rad2deg(0.5), abs=1e-5)
    voltage = dict(zip(optics.numbers("rlnOpticsGroup"), optics.numbers("rlnVoltage"), strict=True))
    assert [voltage[group] for group in table.numbers("rlnOpticsGroup")] == [300, 200]
    assert optics.numbers("rlnSphericalAberration") == pytest.approx([2.7, 2.7])
    coordinates = next(iter(read_star(tmp_path / "project" / "picks" / "micrographs" / "m0_autopick.star").values()))
    assert coordinates.numbers("rlnCoordinateY").tolist() == [40, 51]
    assert (tmp_path / "project" / "micrographs" / "m1.mrc").is_file()


def test_each_stage_uses_the_output_of_the_one_before(micrographs):
    commands = {
        stage.name: stage.command
        for stage in stages(micrographs, symmetry="D2", settings=RelionSettings(model_iterations=(1, 2, 4)))
    }
    assert list(commands) == ["Extract", "Class2D", "InitialModel", "Refine3D", "Mask", "PostProcess"]
    assert "--i Extract/particles.star" in commands["Class2D"]
    assert "--ref InitialModel/run_it007_class001.mrc" in commands["Refine3D"]
    assert "--split_random_halves" in commands["Refine3D"]
    assert all("--sym D2" in commands[name] for name in ("InitialModel", "Refine3D"))
    assert "--extract_size 32 " in commands["Extract"]  # 1.6 times the 20 pixels of 80 Å


def test_a_finished_stage_is_skipped_unless_its_command_or_input_changes(tmp_path):
    log = tmp_path / "log"
    first, second, last = write(log, "a", "First"), write(log, "b", "Second"), final(tmp_path)
    heard: list[tuple[str, bool]] = []

    def run(*todo: Stage) -> float:
        return run_stages(tmp_path, todo, on_stage=lambda stage, skipped: heard.append((stage.name, skipped)))

    assert run(first, second, last) == 9.5
    run(first, second, last)
    assert log.read_text() == "ab"
    assert heard[3:] == [("First", True), ("Second", True), ("PostProcess", True)]
    run(write(log, "c", "First"), second, last)
    assert log.read_text() == "abcb"
    assert (tmp_path / "commands.log").read_text().splitlines()[0] == first.command


def test_new_picks_invalidate_finished_stages(micrographs, tmp_path):
    project, log = tmp_path / "project", tmp_path / "log"
    for picks in ([one.truth for one in micrographs], [micrographs[0].truth], [micrographs[0].truth]):
        write_project(project, picks, micrographs)
        run_stages(project, [write(log, "x", "Extract"), final(project)], on_stage=lambda stage, skipped: None)
    assert log.read_text() == "xx"


def test_the_error_for_a_failed_stage_has_its_output_and_the_stage_is_run_again(tmp_path):
    words = (sys.executable, "-c", "import sys; print('no memory'); sys.exit(3)")
    with pytest.raises(CryopickError, match=r"failed in Broken .*no memory"):
        run_stages(tmp_path, [Stage("Broken", words)], on_stage=lambda stage, skipped: None)
    assert not (tmp_path / "Broken.done").exists()


def test_good_classes_are_selected_and_blurred_or_empty_ones_rejected(tmp_path):
    (tmp_path / "Class2D").mkdir()
    classes = {"rlnClassDistribution": [0.5, 0.3, 0.19, 0.01], "rlnEstimatedResolution": [12.0, 17.0, 40.0, 10.0]}
    (tmp_path / "Class2D" / "run_it002_model.star").write_text(star_text({"model_classes": classes}))
    particles = {"rlnImageName": ["1@a", "2@a", "3@a", "4@a", "5@a"], "rlnClassNumber": [1, 3, 2, 4, 1]}
    tables = {"optics": {"rlnOpticsGroup": [1]}, "particles": particles}
    (tmp_path / "Class2D" / "run_it002_data.star").write_text(star_text(tables))
    _select(tmp_path, 2)
    assert read_star(tmp_path / SELECTED)["particles"].text("rlnImageName") == ["1@a", "3@a", "5@a"]


@pytest.mark.skipif(shutil.which("relion_preprocess") is None, reason="RELION is not installed")
def test_relion_extracts_every_pick_with_its_defocus(micrographs, tmp_path):
    project = tmp_path / "project"
    write_project(
        project, [replace(one.truth, micrograph=f"elsewhere/{one.truth.micrograph}") for one in micrographs], micrographs
    )
    (extract, *_) = stages(micrographs, symmetry="C1", settings=RelionSettings())
    with pytest.raises(CryopickError, match="PostProcess"):  # of the result that one stage alone does not give
        run_stages(project, [extract], on_stage=lambda stage, skipped: None)
    table = read_star(project / "Extract" / "particles.star")["particles"]
    assert len(table) == 4
    assert (table.numbers("rlnDefocusU") == 20300).all()
