"""Names of micrographs that no file of their own can have."""

import pytest

from cryopick.errors import NameMatchError
from cryopick.io.picks.formats import FORMATS, read_picks, write_picks
from cryopick.runs.results import PickedMicrograph
from cryopick.types import Picks

FOLDERS = [name for name in FORMATS.own if not FORMATS.get(name).single]
NAMES = {
    "none": "/",
    "dots": "grid/..",
    "hidden": "grid/.m1.mrc",
    "too long": f"grid/{300 * 'm'}.mrc",
    "too long in bytes": f"grid/{130 * 'ä'}.mrc",
    "NUL": "grid/m\0.mrc",
}


@pytest.mark.parametrize("format_name", FOLDERS)
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_micrograph_that_can_have_no_file_is_named_and_nothing_is_written(tmp_path, format_name, name):
    every = [Picks(each, [[20, 30]], [0.5], 16.0, (96, 96), 2.0) for each in ("grid/good.mrc", name)]
    with pytest.raises(NameMatchError, match=r"its picks cannot have a file of their own: .*Rename it") as error:
        write_picks(every, tmp_path / "out", format=format_name)
    assert repr(name)[:100] in str(error.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_there_are_formats_with_a_file_for_each_micrograph():
    assert {"relion", "box", "eman2", "xmipp", "cryoppp"} <= {*FOLDERS}


@pytest.mark.parametrize("format_name", FOLDERS)
def test_names_of_the_largest_size_are_written(tmp_path, format_name):
    picks = Picks("m" * 200 + ".mrc", [[20, 30]], [0.5], 16.0, (96, 96), 2.0)
    write_picks(picks, tmp_path / "out", format=format_name)
    known = [PickedMicrograph.of(picks)]
    (found,) = read_picks(tmp_path / "out", format=format_name, micrographs=known)
    assert len(found) == 1
