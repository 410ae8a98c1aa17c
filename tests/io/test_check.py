"""A look at a file finds all its faults, not only the first, and says what is in a good one."""

import numpy as np
import pytest

from cryopick.io.check import check_micrograph, check_picks
from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.micrographs.sources import MicrographSource

PIXELS = np.array([[0, 1, 2, 3, 5], [8, 13, 21, 34, 55], [89, 90, 91, 92, 127]], np.float32)


def faults(examination):
    return [fault.found for fault in examination.faults]


def test_a_good_micrograph_has_facts_and_no_faults(tmp_path):
    write_micrograph(tmp_path / "m.mrc", PIXELS.astype(np.int16), pixel_size=1.77)
    examination = check_micrograph(tmp_path / "m.mrc")
    assert faults(examination) == []
    assert examination.notes == ()
    assert examination.facts["size"].startswith("5 x 3 pixels")
    assert examination.facts["stored"] == "MRC mode 1 (int16)"
    assert examination.facts["pixel size"] == "1.77 Å"
    # sum 631; squares 0+1+4+9+25+64+169+441+1156+3025+7921+8100+8281+8464+16129 = 53789; 53789/15 - 42.0667² = 1816.33 = 42.6184²
    assert examination.facts["values"] == "0 to 127, mean 42.0667, standard deviation 42.6184"


def test_a_cut_file_with_nan_has_both_faults(tmp_path):
    pixels = PIXELS.copy()
    pixels[0, 2] = np.nan
    with pytest.warns(RuntimeWarning):
        write_micrograph(tmp_path / "m.mrc", pixels)
    content = (tmp_path / "m.mrc").read_bytes()
    (tmp_path / "m.mrc").write_bytes(content[:-1])
    cut, nan = faults(check_micrograph(tmp_path / "m.mrc"))
    assert "2 of 3 rows" in cut
    assert "NaN" in nan
    assert "row 0, column 2" in nan


def test_a_file_of_nan_alone_is_examined(tmp_path):
    with pytest.warns(RuntimeWarning):
        write_micrograph(tmp_path / "m.mrc", np.full((3, 5), np.nan, np.float32))
    examination = check_micrograph(tmp_path / "m.mrc")
    assert "15 NaN" in faults(examination)[0]
    assert examination.facts["values"] == "no finite values"


def test_a_wrong_extension_is_a_note_not_a_fault(tmp_path):
    write_micrograph(tmp_path / "m.tif", PIXELS)
    examination = check_micrograph((tmp_path / "m.tif").rename(tmp_path / "m.mrc"))
    assert faults(examination) == []
    assert "TIFF" in examination.notes[0]


def test_a_file_that_is_not_a_micrograph_has_a_fault_and_no_facts(tmp_path):
    (tmp_path / "m.mrc").touch()
    examination = check_micrograph(tmp_path / "m.mrc")
    assert "empty" in faults(examination)[0]
    assert examination.facts == {}


def star(path, rows):
    lines = ["data_particles", "", "loop_", "_rlnMicrographName", "_rlnCoordinateX", "_rlnCoordinateY"]
    path.write_text("\n".join([*lines, *rows]) + "\n")
    return path


def test_good_picks_have_facts_and_no_faults(tmp_path):
    examination = check_picks(star(tmp_path / "p.star", ["a.mrc 1 2", "b.mrc 3 1", "b.mrc 0 0"]))
    assert faults(examination) == []
    assert examination.facts == {"format": "star", "picks": "3 on 2 micrographs"}


def test_picks_off_their_micrograph_and_doubled_ones_are_faults(tmp_path):
    write_micrograph(tmp_path / "a.mrc", PIXELS)  # columns 0 to 4, rows 0 to 2
    picks = star(tmp_path / "p.star", ["a.mrc 4 2", "a.mrc 4 1", "a.mrc 2 4", "a.mrc 1 1", "a.mrc 1 1", "a.mrc -1 0"])
    outside, doubled = faults(check_picks(picks, micrographs=[MicrographSource(tmp_path / "a.mrc", "a.mrc")]))
    assert "2 of 6 picks lie outside a.mrc (5 x 3 pixels)" in outside
    assert "1 of 6 picks on a.mrc" in doubled


def test_without_the_micrographs_only_negative_picks_are_outside(tmp_path):
    (outside,) = faults(check_picks(star(tmp_path / "p.star", ["a.mrc 4000 2", "a.mrc -1 0"])))
    assert "1 of 2 picks lie outside a.mrc (left of its first column or above its first row)" in outside


def test_names_that_match_no_micrograph_are_a_fault(tmp_path):
    write_micrograph(tmp_path / "a.mrc", PIXELS)
    picks = star(tmp_path / "p.star", ["other.mrc 4 2"])
    examination = check_picks(picks, micrographs=[MicrographSource(tmp_path / "a.mrc", "a.mrc")])
    assert "other.mrc" in str(examination.faults[0])


def test_a_file_without_picks_is_noted(tmp_path):
    examination = check_picks(star(tmp_path / "p.star", []))
    assert faults(examination) == []
    assert examination.notes == ("no picks",)
