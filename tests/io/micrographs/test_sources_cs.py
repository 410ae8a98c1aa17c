"""CryoSPARC's exposures name micrographs with their UIDs, groups and pixel sizes."""

import numpy as np
import pytest

from cryopick.errors import FileError
from cryopick.io.micrographs.sources import find_micrographs


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"not opened")
    return path


def exposures(path, blob="micrograph_blob", paths=("J1/imported/b.mrc", "J1/imported/a.mrc")):
    """A `.cs` file as CryoSPARC writes it: a NumPy structured array with fixed-width byte strings."""
    fields = [("uid", "<u8"), (f"{blob}/path", "S64"), (f"{blob}/psize_A", "<f4"), ("mscope_params/exp_group_id", "<u4")]
    rows = np.zeros(len(paths), fields)
    rows["uid"] = [15367891234567890123, 7][: len(paths)]
    rows[f"{blob}/path"] = [name.encode() for name in paths]
    rows[f"{blob}/psize_A"] = 1.77
    rows["mscope_params/exp_group_id"] = [4, 5][: len(paths)]
    with path.open("wb") as stream:
        np.save(stream, rows)


@pytest.mark.parametrize("blob", ["micrograph_blob", "micrograph_blob_non_dw"])
def test_cryosparcs_exposures_give_names_uids_and_pixel_sizes(tmp_path, blob):
    raw = touch(tmp_path / "raw/b.mrc")
    touch(tmp_path / "CS/J1/imported/a.mrc")
    (tmp_path / "CS/J1/imported/b.mrc").symlink_to(raw)
    (tmp_path / "CS/J2").mkdir()
    exposures(tmp_path / "CS/J2/exposures.cs", blob)
    first, second = find_micrographs([tmp_path / "CS/J2/exposures.cs"])
    assert (first.name, first.uid, first.pixel_size, first.optics_group) == ("J1/imported/b.mrc", 15367891234567890123, 1.77, 4)
    assert (second.name, second.uid, second.optics_group) == ("J1/imported/a.mrc", 7, 5)
    assert first.path == tmp_path / "CS/J1/imported/b.mrc"


def test_a_mark_before_a_cryosparc_path_is_not_part_of_the_path(tmp_path):
    touch(tmp_path / "J1/imported/a.mrc")
    exposures(tmp_path / "e.cs", paths=(">J1/imported/a.mrc",))
    (source,) = find_micrographs([tmp_path / "e.cs"])
    assert source.path == tmp_path / "J1/imported/a.mrc"


BROKEN_HEADER = b"\x93NUMPY\x01\x00\x08\x00{'descr\n"


@pytest.mark.parametrize("content", [b"text", b"", b"PK\x03\x04 a zip", BROKEN_HEADER])
def test_a_file_that_is_not_a_cs_dataset_is_refused(tmp_path, content):
    (tmp_path / "e.cs").write_bytes(content)
    with pytest.raises(FileError, match="not a CryoSPARC dataset"):
        find_micrographs([tmp_path / "e.cs"])


def test_compressed_exposures_are_named_as_such(tmp_path):
    (tmp_path / "e.cs").write_bytes(b"\x95CSDAT and more")
    with pytest.raises(FileError, match="compressed CryoSPARC dataset"):
        find_micrographs([tmp_path / "e.cs"])


def test_a_cs_whose_names_are_numbers_is_refused(tmp_path):
    with (tmp_path / "e.cs").open("wb") as stream:
        np.save(stream, np.zeros(2, [("micrograph_blob/path", "f4")]))
    with pytest.raises(FileError, match="micrograph_blob/path is not text"):
        find_micrographs([tmp_path / "e.cs"])


def test_a_cs_with_pickled_objects_is_not_run(tmp_path):
    with (tmp_path / "e.cs").open("wb") as stream:
        np.save(stream, np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(FileError, match=r"not a CryoSPARC"):
        find_micrographs([tmp_path / "e.cs"])


def test_a_cs_without_micrographs_is_refused(tmp_path):
    exposures(tmp_path / "e.cs", "movie_blob")
    with pytest.raises(FileError, match="no micrographs"):
        find_micrographs([tmp_path / "e.cs"])
