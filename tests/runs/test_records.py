"""Records of finished micrographs, and the names of their files."""

import numpy as np
import pytest

from cryopick.errors import NameMatchError, SettingError
from cryopick.runs.records import check_name, done, file_stems, read_outcome, read_record, write_record
from cryopick.types import Picks


def test_a_record_keeps_picks_exactly(tmp_path, rng):
    picks = Picks("a/b.mrc", rng.uniform(0, 4096, (50, 2)), rng.random(50, np.float32), 123.4, (4096, 2048), 1.0 / 3)
    write_record(done(picks, path="x", seconds=1.0, files=[], notes=[]), tmp_path / "b.json")
    again = read_record(tmp_path / "b.json").to_picks()
    np.testing.assert_array_equal(again.xy, picks.xy, strict=True)
    np.testing.assert_array_equal(again.scores, picks.scores, strict=True)
    for name in ["micrograph", "diameter", "shape_hw", "pixel_size"]:
        assert getattr(again, name) == getattr(picks, name)


def test_missing_scores_and_missing_picks_stay_missing(tmp_path):
    write_record(done(Picks("m.mrc", [[1, 2]]), path="x", seconds=0, files=[], notes=[]), tmp_path / "one.json")
    write_record(done(Picks("m.mrc", scores=[]), path="x", seconds=0, files=[], notes=[]), tmp_path / "none.json")
    assert read_record(tmp_path / "one.json").to_picks().scores is None
    empty = read_record(tmp_path / "none.json").to_picks()
    assert empty.xy.shape == (0, 2)
    assert empty.scores is not None


def test_a_missing_or_damaged_record_counts_as_none(tmp_path):
    (tmp_path / "damaged.json").write_bytes(b'{"outcome":{"name":')
    (tmp_path / "empty.json").touch()
    assert [read_outcome(tmp_path / f"{name}.json") for name in ["absent", "damaged", "empty"]] == [None, None, None]


def test_files_are_named_after_their_micrographs():
    assert file_stems(["raw/a.mrc", "b.mrc.gz", "May08_03.05.02.tif"]) == ["a", "b", "May08_03.05.02"]


def test_micrographs_with_one_stem_get_files_of_different_names_that_others_do_not_change():
    names = ["one/a.mrc", "two/A.mrc", "b.mrc"]
    first, second, third = file_stems(names)
    assert first.startswith("a-")
    assert second.startswith("A-")
    assert first[2:] != second[2:]
    assert third == "b"
    assert file_stems([*names, "three/a.mrc"])[:3] == [first, second, third]


@pytest.mark.parametrize("other", ["Import/job003/raw/a.mrc", "MotionCorr/job002/raw/a.mrc"])
def test_micrographs_with_the_same_coordinate_file_in_relion_are_refused(other):
    with pytest.raises(NameMatchError, match=r"raw/a_autopick\.star"):
        file_stems(["MotionCorr/job002/raw/a.mrc", other])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a\udcff.mrc", r"a\\udcff.mrc: the name must be UTF-8"),
        ("x" * 242, "is 1 bytes too long"),
        ("a\nb.mrc", r"a\\nb.mrc: the name must have no tabs, line ends"),
        ("a\tb.mrc", "no tabs, line ends"),
        ("raw\x00/b.mrc", "no tabs, line ends or other control characters"),
        ("a\u2028b.mrc", "no tabs, line ends"),
        ("a 'b\" c.mrc", "both kinds of quotes"),
        ("", "is empty"),
        ("raw/..", "is empty"),
    ],
)
def test_a_name_that_result_files_cannot_have_gets_a_stem_for_the_record_of_its_failure(name, said):
    with pytest.raises(SettingError, match=said):
        check_name(name)
    usable, unusable = file_stems(["b.mrc", name])
    assert usable == "b"
    assert unusable.isascii()
    assert unusable.isprintable()
    assert len(unusable) < 30
    check_name("x" * 241)
    assert file_stems(["x" * 241]) == ["x" * 241]
