"""From CryoSPARC's exposures to picks that join them again: UIDs, names, fractions; read by CryoSPARC's own tools."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cryopick import cli
from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.picks.formats import read_picks
from cryopick.io.tables.star import read_star
from cryopick.pickers import PICKERS

tools = pytest.importorskip("cryosparc.dataset", reason="cryosparc-tools is not installed")

UIDS = [1281467243737059, 17733468412345678901]
NAMES = [f"J2/motioncorrected/{UIDS[0]:021d}_stack0_patch_aligned_doseweighted.mrc", "J1/imported/stack1.mrc"]
SHAPE = (96, 150)


@pytest.fixture
def exposures(tmp_path, monkeypatch, rng) -> Path:
    """A CryoSPARC project with two micrographs, each with one bright pixel in column 30 and row 70, and their exposures file."""
    monkeypatch.setitem(PICKERS._entries, "stub", "stub_pickers:StubPicker")
    monkeypatch.chdir(tmp_path)
    rows = tools.Dataset(
        {
            "uid": np.array(UIDS, np.uint64),
            "micrograph_blob/path": np.array(NAMES),
            "micrograph_blob/shape": np.array([SHAPE] * 2, np.uint32),
            "micrograph_blob/psize_A": np.array([1.5, 1.5], np.float32),
            "mscope_params/exp_group_id": np.array([3, 5], np.uint32),
        }
    )
    for name in NAMES:
        pixels = rng.normal(size=SHAPE).astype(np.float32)
        pixels[70, 30] = 99
        write_micrograph(tmp_path / name, pixels)
    path = tmp_path / "J2" / "J2_passthrough_exposures_accepted.cs"
    rows.save(str(path))
    return path


def test_picks_on_exposures_join_them_by_uid_in_a_cs_file_and_by_bare_name_in_a_star_file(exposures):
    words = ["--picker", "stub", "--set", "count=1", "--to", "cs", "--to", "cryosparc-star", "--workers", "1"]
    result = CliRunner().invoke(cli.app, ["pick", str(exposures), "--out", "picks", *words], catch_exceptions=False)
    assert result.exit_code == 0, result.output

    picks = tools.Dataset.load("picks/cs/particles.cs")
    assert picks["location/micrograph_uid"].tolist() == UIDS
    assert picks["location/exp_group_id"].tolist() == [3, 5]
    assert [one.optics_group for one in read_picks("picks/cs/particles.cs")] == [3, 5]
    assert len(set(picks["uid"].tolist())) == 2
    assert picks["location/micrograph_path"].tolist() == NAMES
    assert picks["location/micrograph_shape"].tolist() == [list(SHAPE)] * 2
    # the stub's picks are a third of a pixel off; pyem, too, takes the fraction times the side for RELION's coordinate
    np.testing.assert_allclose(picks["location/center_x_frac"], (30 + 1 / 3) / 150, atol=1e-6)
    np.testing.assert_allclose(picks["location/center_y_frac"], (70 + 1 / 3) / 96, atol=1e-6)
    np.testing.assert_allclose(picks["location/micrograph_psize_A"], 1.5)

    words = ["convert", "picks", "again.cs", "--threshold", "0"]
    assert CliRunner().invoke(cli.app, words, catch_exceptions=False).exit_code == 0
    again = tools.Dataset.load("again.cs")
    assert again["location/micrograph_uid"].tolist() == UIDS
    assert again["location/exp_group_id"].tolist() == [3, 5]

    star = read_star(Path("picks/cryosparc-star/particles.star"))["particles"]
    assert star.text("rlnMicrographName") == ["stack0_patch_aligned_doseweighted.mrc", "stack1.mrc"]
    np.testing.assert_allclose(star.numbers("rlnCoordinateX"), 30 + 1 / 3, atol=1e-5)
