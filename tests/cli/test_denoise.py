"""`cryopick denoise` from files to files."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from cryopick.cli import app
from cryopick.errors import CryopickError
from cryopick.files import _machine
from cryopick.io.micrographs.files import read_micrograph, write_micrograph
from cryopick.preprocess.denoise import denoise


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["denoise", *map(str, words)], catch_exceptions=False)


@pytest.fixture
def micrograph(tmp_path: Path, rng) -> Path:
    path = tmp_path / "raw" / "m.1.mrc"
    write_micrograph(path, rng.normal(100, 25, (48, 64)).astype(np.float32), pixel_size=1.5)
    return path


@pytest.mark.parametrize("kind", ["mrc", "tiff", "png"])
def test_every_lossless_format_holds_the_denoised_grey_values_in_the_rows_of_the_file(micrograph, tmp_path, kind):
    result = run(micrograph, "--out", tmp_path / "out", "--to", kind, "--workers", 1)
    assert result.exit_code == 0
    assert "(3, 3)" in result.output
    written = read_micrograph(tmp_path / "out" / f"m.1.{kind}")
    np.testing.assert_array_equal(written.pixels, denoise(read_micrograph(micrograph).pixels)[0])
    assert written.pixel_size == (None if kind == "png" else pytest.approx(1.5))


def test_jpeg_can_be_written(micrograph, tmp_path):
    run(micrograph, "--out", tmp_path / "out", "--to", "jpg", "--workers", 1)
    assert read_micrograph(tmp_path / "out" / "m.1.jpg").shape_hw == (48, 64)


def test_the_corrected_preset_scales_with_the_diameter_in_angstrom_and_shifts_nothing(micrograph, tmp_path):
    from cryopick.preprocess.denoise import load_denoise_settings

    result = run(micrograph, "--out", tmp_path / "out", "--preset", "corrected", "--diameter", 150, "--workers", 1)
    assert "pixel (0, 0)" not in result.output
    settings = load_denoise_settings("corrected").for_diameter(100.0)  # 150 Å at 1.5 Å per pixel
    wanted, _ = denoise(read_micrograph(micrograph).pixels, settings)
    np.testing.assert_array_equal(read_micrograph(tmp_path / "out" / "m.1.mrc").pixels, wanted)


@pytest.mark.parametrize("workers", [1, 2])
def test_one_bad_file_is_named_and_the_others_are_denoised(micrograph, tmp_path, workers):
    (micrograph.parent / "bad.mrc").write_bytes(b"not a micrograph")
    result = run(micrograph.parent, "--out", tmp_path / "out", "--workers", workers)
    assert result.exit_code == 1
    assert "1 of 2 micrographs denoised" in result.output
    assert "bad.mrc" in result.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["m.1.mrc"]


def test_no_micrograph_is_overwritten(micrograph):
    before = micrograph.read_bytes()
    with pytest.raises(CryopickError, match="would be overwritten; choose another --out"):
        run(micrograph, "--out", micrograph.parent)
    assert micrograph.read_bytes() == before


def test_micrographs_with_the_same_name_in_two_folders_are_an_error(micrograph, tmp_path):
    twin = tmp_path / "other" / "m.1.mrc"
    twin.parent.mkdir()
    twin.write_bytes(micrograph.read_bytes())
    with pytest.raises(CryopickError, match=r"m\.1"):
        run(micrograph, twin, "--out", tmp_path / "out")


def test_a_diameter_without_effect_is_an_error(micrograph, tmp_path):
    result = run(micrograph, "--out", tmp_path / "out", "--diameter", 100)
    assert result.exit_code == 2
    assert "corrected" in result.output


def test_a_setting_wins_over_the_preset(micrograph, tmp_path):
    from cryopick.preprocess.denoise import load_denoise_settings

    given = {"guided_size": 9}
    run(micrograph, "--out", tmp_path / "out", "--set", "guided_size=9", "--workers", 1)
    settings = load_denoise_settings("published", given)
    wanted, _ = denoise(read_micrograph(micrograph).pixels, settings)
    np.testing.assert_array_equal(read_micrograph(tmp_path / "out" / "m.1.mrc").pixels, wanted)


def test_a_negative_diameter_is_bad_usage(micrograph, tmp_path):
    assert run(micrograph, "--out", tmp_path / "out", "--preset", "corrected", "--diameter", -5).exit_code == 2


def test_an_output_folder_that_is_a_file_is_an_error(micrograph):
    with pytest.raises(FileExistsError):
        run(micrograph, "--out", micrograph, "--workers", 1)


def test_what_a_killed_run_left_is_removed(micrograph, tmp_path):
    left = tmp_path / "out" / f".cryopick-tmp-{_machine()}-0123456789ab.mrc"
    left.parent.mkdir()
    left.write_text("half")
    run(micrograph, "--out", tmp_path / "out", "--workers", 1)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["m.1.mrc"]
