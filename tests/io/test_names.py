"""Names of micrographs as RELION, CryoSPARC, Topaz and EMAN spell them."""

import pytest

from cryopick.errors import NameMatchError
from cryopick.io.names import NameIndex, match_names, stem, uid, without_uid

UID = "000001281467243737059"


@pytest.mark.parametrize(
    ("written", "known"),
    [
        ("MotionCorr/job002/raw/a.mrc", "MotionCorr/job002/raw/a.mrc"),
        ("a.mrc", "MotionCorr/job002/raw/a.mrc"),
        ("/abs/elsewhere/a.mrc", "raw/a.mrc"),
        ("a", "raw/a.mrc"),
        ("raw/a.mrc", "a"),
        ("a.tif", "raw/a.mrc"),
        ("a.mrc.gz", "a.mrc"),
        (f"J1/imported/{UID}_a.mrc", "raw/a.mrc"),
        ("a.mrc", f"J1/imported/{UID}_a.mrc"),
        ("a", f"J1/imported/{UID}_a.mrc"),
        (f"{UID}_a", f"J1/imported/{UID}_a.mrc"),
    ],
)
def test_spellings_of_one_name(written, known):
    assert NameIndex(["other.mrc", known, "aa.mrc"]).find(written) == known


def test_only_image_extensions_are_taken_off():
    assert stem("x/May08_03.05.02.png") == "May08_03.05.02"
    assert stem("May08_03.05.02") == "May08_03.05.02"
    assert NameIndex(["May08_03.05.02.png", "May08_03.05.png"]).find("May08_03.05") == "May08_03.05.png"


def test_the_uid_has_21_digits():
    assert without_uid(f"J1/{UID}_a.mrc") == "a.mrc"
    assert uid(f"J1/{UID}_a.mrc") == 1281467243737059
    assert without_uid("20240917_a.mrc") == "20240917_a.mrc"
    assert uid("20240917_a.mrc") is None


def test_the_exact_name_wins_over_one_in_another_folder():
    assert NameIndex(["x/a.mrc", "a.mrc"]).find("a.mrc") == "a.mrc"
    assert NameIndex(["a.tif", "a.mrc"]).find("b/a.mrc") == "a.mrc"


def test_folders_distinguish_names():
    assert NameIndex(["grid1/a.mrc", "grid2/a.mrc"]).find("MotionCorr/job002/grid2/a.mrc") == "grid2/a.mrc"


def test_a_name_that_matches_several_is_an_error_that_lists_them():
    with pytest.raises(NameMatchError, match=r"'a\.mrc' matches 'grid1/a\.mrc', 'grid2/a\.mrc'"):
        NameIndex(["grid1/a.mrc", "grid2/a.mrc"]).find("a.mrc")


def test_two_imports_of_one_file_are_not_distinguished_by_its_plain_name():
    with pytest.raises(NameMatchError, match="matches"):
        NameIndex([f"{UID}_a.mrc", "000001281467243737060_a.mrc"]).find("a.mrc")


def test_a_name_that_matches_none_is_an_error_with_examples_of_known_names():
    with pytest.raises(NameMatchError, match=r"'z\.mrc'; there are 'm0\.mrc', 'm1\.mrc', 'm2\.mrc' and 7 more"):
        NameIndex([f"m{i}.mrc" for i in range(10)]).find("z.mrc")
    with pytest.raises(NameMatchError, match="there are none"):
        NameIndex([]).find("z.mrc")


def test_two_spellings_of_one_micrograph_are_an_error():
    assert match_names(["a", "b", "a"], ["x/a.mrc", "x/b.mrc"]) == {"a": "x/a.mrc", "b": "x/b.mrc"}
    with pytest.raises(NameMatchError, match=r"both 'a' and 'y/a\.mrc' match"):
        match_names(["a", "y/a.mrc"], ["x/a.mrc"])
