"""A file that lacks its last byte is not whole, whatever its kind."""

import gzip

import numpy as np
import pytest
import tifffile

from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.micrographs.headers import is_whole


@pytest.fixture
def pixels(rng):
    return rng.integers(0, 255, (50, 70), dtype=np.uint8)


@pytest.mark.parametrize("name", ["a.mrc", "a.tif", "a.png", "a.jpg"])
def test_files_are_whole_to_the_last_byte(tmp_path, pixels, name):
    path = tmp_path / name
    write_micrograph(path, pixels)
    assert is_whole(path)
    content = path.read_bytes()
    for length in (0, 100, len(content) // 2, len(content) - 20 if name == "a.png" else len(content) - 1):
        path.write_bytes(content[:length])
        assert not is_whole(path), length


@pytest.mark.parametrize("options", [{"tile": (16, 16)}, {"compression": "deflate"}, {"bigtiff": True}])
def test_tiffs_of_all_layouts_are_whole_where_their_last_piece_ends(tmp_path, pixels, options):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, **options)
    assert is_whole(path)
    with tifffile.TiffFile(path) as tiff:
        end = max(map(sum, zip(tiff.pages[0].dataoffsets, tiff.pages[0].databytecounts, strict=True)))
    path.write_bytes(path.read_bytes()[: end - 1])
    assert not is_whole(path)


def test_a_packed_file_is_judged_by_its_header(tmp_path, pixels):
    write_micrograph(tmp_path / "a.mrc", pixels)
    packed = gzip.compress((tmp_path / "a.mrc").read_bytes())
    (tmp_path / "a.mrc.gz").write_bytes(packed)
    assert is_whole(tmp_path / "a.mrc.gz")
    (tmp_path / "a.mrc.gz").write_bytes(packed[:20])
    assert not is_whole(tmp_path / "a.mrc.gz")


def test_a_header_that_claims_more_than_there_can_be_is_not_whole(tmp_path):
    write_micrograph(tmp_path / "a.mrc", np.zeros((1000, 1000), np.float32) + np.arange(1000, dtype=np.float32))
    (tmp_path / "a.mrc").write_bytes((tmp_path / "a.mrc").read_bytes()[:2000])
    assert not is_whole(tmp_path / "a.mrc")
    assert not is_whole(tmp_path / "absent.mrc")
