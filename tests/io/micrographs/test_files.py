"""What is true of micrographs in any format: pixel sizes, names, faults that are named, memory, whole files."""

import tracemalloc

import numpy as np
import pytest

from cryopick.errors import CryopickError, FileError, SettingError
from cryopick.io.micrographs.files import read_micrograph, split_name, write_micrograph

PIXELS = np.array([[0, 1, 2, 3, 5], [8, 13, 21, 34, 55], [89, 90, 91, 92, 127]], np.float32)
FORMATS = [".mrc", ".tif", ".png", ".jpg"]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "m.mrc"


def test_a_given_pixel_size_wins_with_a_warning_where_it_differs(path, caplog):
    write_micrograph(path, PIXELS, pixel_size=1.77)
    assert read_micrograph(path, pixel_size=1.78).pixel_size == 1.78
    assert caplog.text == ""
    assert read_micrograph(path, pixel_size=1.8).pixel_size == 1.8
    assert "1.77" in caplog.text
    assert "1.8" in caplog.text


def test_a_given_pixel_size_fills_in_for_an_unknown_one(path, caplog):
    write_micrograph(path, PIXELS)
    assert read_micrograph(path).pixel_size is None
    assert read_micrograph(path, pixel_size=0.83).pixel_size == 0.83
    assert caplog.text == ""


@pytest.mark.parametrize("wrong", [0, -1, np.nan])
def test_a_given_pixel_size_is_checked(path, wrong):
    write_micrograph(path, PIXELS)
    with pytest.raises(CryopickError, match="pixel size"):
        read_micrograph(path, pixel_size=wrong)


def test_the_name_is_the_files_unless_given(path):
    write_micrograph(path, PIXELS)
    assert read_micrograph(str(path)).name == "m.mrc"
    assert read_micrograph(path, name="Motion/job2/m.mrc").name == "Motion/job2/m.mrc"
    assert read_micrograph(path).path == path


@pytest.mark.parametrize("inside", FORMATS)
@pytest.mark.parametrize("named", FORMATS)
def test_the_content_decides_and_a_name_that_differs_is_warned_about(tmp_path, inside, named, caplog):
    write_micrograph(tmp_path / f"m{inside}", PIXELS.astype(np.uint8))
    path = (tmp_path / f"m{inside}").rename(tmp_path / f"other{named}")
    kind = {".mrc": "mrc", ".tif": "tiff", ".png": "png", ".jpg": "jpeg"}[inside]
    micrograph = read_micrograph(path)
    assert micrograph.kind == kind
    assert micrograph.shape_hw == (3, 5)
    assert (kind.upper() in caplog.text) == (inside != named)


@pytest.mark.parametrize("content", [b"just text\n", b"\x89HDF\r\n\x1a\n" + bytes(2000), b"PK\x03\x04" + bytes(2000)])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "m.dat").write_bytes(content)
    with pytest.raises(FileError, match=r"neither MRC|HDF5|zip"):
        read_micrograph(tmp_path / "m.dat")


def test_an_mrc_with_an_unknown_suffix_is_read_with_a_warning(path, caplog):
    write_micrograph(path, PIXELS)
    assert read_micrograph(path.rename(path.with_suffix(".sum"))).pixels.tolist() == PIXELS.tolist()
    assert "MRC" in caplog.text


def test_a_missing_file_is_named(path):
    with pytest.raises(FileError, match=r"m\.mrc: no such file"):
        read_micrograph(path)


def test_a_folder_is_not_a_micrograph(tmp_path):
    with pytest.raises(FileError, match="is a folder"):
        read_micrograph(tmp_path)


def test_an_empty_file_is_named(path):
    path.touch()
    with pytest.raises(FileError, match="is empty"):
        read_micrograph(path)


def test_a_file_that_may_not_be_read_is_named(path, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied")

    write_micrograph(path, PIXELS)
    monkeypatch.setattr(type(path), "open", refuse)  # root may read everything
    with pytest.raises(FileError, match=r"may not be read.*chmod"):
        read_micrograph(path)


def test_nan_and_infinite_pixels_are_counted_and_located(path):
    pixels = PIXELS.copy()
    pixels[1, 3], pixels[2, 0], pixels[2, 4] = np.nan, np.inf, -np.inf
    with pytest.warns(RuntimeWarning, match="NaN"):
        write_micrograph(path, pixels)
    with pytest.raises(FileError, match="1 NaN and 2 infinite pixels, the first in row 1, column 3"):
        read_micrograph(path)


@pytest.mark.parametrize("suffix", [".mrc", ".tif", ".png"])
def test_constant_images_are_refused(tmp_path, suffix):
    write_micrograph(tmp_path / f"m{suffix}", np.full((3, 5), 7, np.uint8))
    with pytest.raises(FileError, match="every pixel is 7"):
        read_micrograph(tmp_path / f"m{suffix}")


@pytest.mark.parametrize(("suffix", "dtype"), [(".mrc", "float32"), (".mrc", "float16"), (".tif", "uint16"), (".tif", "float32")])
def test_reading_takes_no_more_than_three_copies(tmp_path, rng, suffix, dtype):
    path = tmp_path / f"m{suffix}"
    write_micrograph(path, rng.integers(0, 255, (2048, 2048)).astype(dtype))
    read_micrograph(path)  # imports, caches
    tracemalloc.start()
    micrograph = read_micrograph(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert micrograph.pixels.nbytes <= peak <= 3 * micrograph.pixels.nbytes


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_same_pixels_give_the_same_bytes(tmp_path, suffix):
    for folder in ("a", "b"):
        write_micrograph(tmp_path / folder / f"m{suffix}", PIXELS.astype(np.uint8), pixel_size=1.5)
    assert (tmp_path / f"a/m{suffix}").read_bytes() == (tmp_path / f"b/m{suffix}").read_bytes()


@pytest.mark.parametrize(
    ("name", "pixels", "said"),
    [
        ("m.hdf", PIXELS, "no format"),
        ("m.mrc", PIXELS[None], "shape"),
        ("m.mrc", PIXELS[:0], "shape"),
        ("m.mrc.gz", PIXELS, "no format"),
    ],
)
def test_invalid_input_is_not_written(tmp_path, name, pixels, said):
    with pytest.raises(SettingError, match=said):
        write_micrograph(tmp_path / name, pixels)
    assert list(tmp_path.iterdir()) == []


def test_a_name_splits_before_its_suffix_packed_or_not():
    assert split_name("a.b/May08_03.05.02.mrc") == ("a.b/May08_03.05.02", ".mrc")
    assert split_name("a.b/May08_03.05.02.mrc.gz") == ("a.b/May08_03.05.02", ".mrc")
    assert split_name("m") == ("m", "")


def test_real_files_of_other_programs_are_read(real_data):
    mrc = read_micrograph(real_data / "ice_contaminant/Ucsf_stack_1142_DW.mrc.gz")
    assert mrc.shape_hw == (927, 959)
    png = read_micrograph(real_data / "empiar10146/micrographs/May08_03.05.02.png")
    assert png.shape_hw == (1200, 1240)
    assert 0 <= png.pixels.min() < png.pixels.max() <= 255
    jpeg = read_micrograph(sorted((real_data / "empiar10017/micrographs").glob("*.jpg"))[0], pixel_size=1.77)
    assert (jpeg.shape_hw, jpeg.kind, jpeg.pixel_size) == ((4096, 4096), "jpeg", 1.77)
