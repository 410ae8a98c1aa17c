"""Shapes from headers are those of the pixels."""

import numpy as np
import pytest

from cryopick.errors import FileError
from cryopick.io.micrographs.files import read_micrograph, write_micrograph
from cryopick.io.micrographs.headers import read_shape


@pytest.mark.parametrize("name", ["a.mrc", "a.tif", "a.png", "a.jpg"])
def test_height_and_width_in_this_order(tmp_path, rng, name):
    write_micrograph(tmp_path / name, rng.integers(0, 255, (30, 501)).astype(np.uint8), pixel_size=1.25)
    assert read_shape(tmp_path / name) == ((30, 501), 1.25 if name in {"a.mrc", "a.tif"} else None)


def test_one_angstrom_in_an_mrc_header_is_as_unknown_as_it_is_when_the_micrograph_is_read(tmp_path, rng):
    write_micrograph(tmp_path / "a.mrc", rng.normal(size=(30, 50)).astype(np.float32), pixel_size=1.0)
    assert read_shape(tmp_path / "a.mrc")[1] is None is read_micrograph(tmp_path / "a.mrc").pixel_size


def test_a_file_with_a_wrong_suffix_is_read_completely(tmp_path, rng):
    for name, other in (("a.mrc", "a.tif"), ("b.png", "b.tif"), ("c.mrc", "c.jpg"), ("d.tif", "d.mrc")):
        write_micrograph(tmp_path / name, rng.integers(0, 255, (30, 50)).astype(np.uint8))
        (tmp_path / name).rename(tmp_path / other)
        assert read_shape(tmp_path / other)[0] == (30, 50)


@pytest.mark.parametrize("name", ["a.mrc", "a.tif", "a.png", "a.jpg"])
def test_damaged_and_missing_files_are_named(tmp_path, name):
    with pytest.raises(FileError, match=name.replace(".", r"\.")):
        read_shape(tmp_path / name)
    (tmp_path / name).write_bytes(b"cut")
    with pytest.raises(FileError, match=name.replace(".", r"\.")):
        read_shape(tmp_path / name)


def test_real_jpegs_have_the_shape_that_their_pixels_have(real_data):
    path = min((real_data / "empiar10017" / "micrographs").glob("*.jpg"))
    assert read_shape(path)[0] == read_micrograph(path).shape_hw
