"""`cryopick relion` as RELION calls it, and extraction of the picked particles by RELION."""

import shutil
import subprocess
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from relion_project import write_micrographs_star
from typer.testing import CliRunner, Result

from cryopick import cli
from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.picks.formats import read_picks
from cryopick.io.tables.star import read_star
from cryopick.pickers import PICKERS

NAMES = [f"MotionCorr/job002/raw/{letter}.mrc" for letter in "abc"]
MICROGRAPHS = "CtfFind/job003/micrographs_ctf.star"
JOB = Path("External/job007")
HEIGHT, WIDTH, BOX = 96, 150, 16
INNER = 20


@pytest.fixture
def project(tmp_path, monkeypatch, rng) -> Path:
    """A project with three micrographs, in each seven bright pixels away from the edges."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(PICKERS._entries, "stub", "stub_pickers:StubPicker")
    for number, name in enumerate(NAMES):
        pixels = rng.normal(size=(HEIGHT, WIDTH)).astype(np.float32)
        inner = pixels[INNER:-INNER, INNER:-INNER]
        places = np.unravel_index(rng.choice(inner.size, 7, replace=False), inner.shape)
        inner[places] = 100 * (number + 1) + np.arange(7)
        write_micrograph(tmp_path / name, pixels, pixel_size=1.5)
    write_micrographs_star(tmp_path / MICROGRAPHS, NAMES)
    JOB.mkdir(parents=True)
    for file in ("job.star", "run.out", "run.err", "note.txt", "default_pipeline.star"):  # as RELION leaves them
        (JOB / file).touch()
    return tmp_path


def run(*words: str) -> Result:
    """As RELION calls it: the folder with a slash at its end, free parameters, then the threads."""
    command = ["relion", "--o", f"{JOB}/", "--in_mics", MICROGRAPHS, "--picker", "stub", *words, "--j", "1"]
    return CliRunner().invoke(cli.app, command)


def ends() -> set[str]:
    return {path.name.removeprefix("RELION_JOB_") for path in JOB.glob("RELION_JOB_*")}


def test_the_job_is_laid_out_like_relions_own_and_names_its_nodes(project):
    assert run("--no-previews").exit_code == 0
    assert ends() == {"EXIT_SUCCESS"}
    nodes = read_star(JOB / "RELION_OUTPUT_NODES.star")["output_nodes"]
    assert nodes.text("rlnPipeLineNodeName") == [f"{JOB}/autopick.star", f"{JOB}/coords_suffix_autopick.star"]
    assert nodes.text("rlnPipeLineNodeType") == ["2", "2"]
    assert (JOB / "coords_suffix_autopick.star").read_text() == f"{MICROGRAPHS}\n"
    index = read_star(JOB / "autopick.star")["coordinate_files"]
    assert index.text("rlnMicrographName") == NAMES
    assert index.text("rlnMicrographCoordinates") == [f"{JOB}/raw/{letter}_autopick.star" for letter in "abc"]
    assert (JOB / "job.star").exists()


@pytest.mark.skipif(shutil.which("relion_preprocess") is None, reason="RELION 3.1 is not installed")
def test_relion_extracts_the_particles_of_the_job(project):
    assert run().exit_code == 0
    where = ["--coord_dir", f"{JOB}/", "--coord_suffix", "_autopick.star"]
    command = ["relion_preprocess", "--i", MICROGRAPHS, *where, "--part_dir", "Extract/", "--part_star", "particles.star"]
    done = subprocess.run([*command, "--extract", "--extract_size", str(BOX)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    table = read_star(Path("particles.star"))["particles"]
    assert len(table) == 21
    for number, name in enumerate(NAMES):
        (stack,) = {image.split("@")[1] for image in table.text("rlnImageName") if f"/{Path(name).stem}.mrcs" in image}
        particles = mrcfile.read(stack)
        # the pixel that was picked, brightest first, is the one that RELION calls the middle of the box
        assert particles[:, BOX // 2, BOX // 2].tolist() == [100 * (number + 1) + rank for rank in reversed(range(7))]
        pixels = mrcfile.read(name)
        y, x = np.argwhere(pixels == 100 * (number + 1) + 6)[0]
        np.testing.assert_array_equal(particles[0], pixels[y - 8 : y + 8, x - 8 : x + 8])


def test_some_failed_micrographs_leave_a_success_and_all_of_them_a_failure(project):
    result = run("--set", "fail_on=b")
    assert result.exit_code == 0
    assert "b.mrc: ZeroDivisionError" in result.output
    assert ends() == {"EXIT_SUCCESS"}
    assert len(read_picks(JOB / "particles.star")) == 2
    for name in NAMES:
        Path(name).write_bytes(b"")
    shutil.rmtree(JOB)
    assert run().exit_code == 1
    assert ends() == {"EXIT_FAILURE"}


def test_an_error_in_the_settings_is_a_failure_until_the_job_is_continued(project):
    assert run("--set", "nope=1").exit_code != 0
    assert ends() == {"EXIT_FAILURE"}
    assert run().exit_code == 0
    assert ends() == {"EXIT_SUCCESS"}


def test_an_aborted_job_is_resumed_when_it_is_continued(project):
    (JOB / "RELION_JOB_ABORT_NOW").touch()
    assert run().exit_code == 130
    assert ends() == {"EXIT_ABORTED"}
    assert len(list((JOB / "records").glob("*.json"))) == 1
    result = run()
    assert "3 micrographs, 1 of them from an earlier run" in result.output
    assert ends() == {"EXIT_SUCCESS"}


def test_sigterm_aborts_the_job(project):
    assert run("--set", "stop_on=b").exit_code == 130
    assert ends() == {"EXIT_ABORTED"}
