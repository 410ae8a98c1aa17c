"""TIFFs as microscopes, ImageJ and other programs write them give the pixels that are in them."""

import numpy as np
import pytest
import tifffile

from cryopick.errors import FileError
from cryopick.io.micrographs.files import read_micrograph, write_micrograph

PIXELS = np.array([[0, 1, 2, 3, 5], [8, 13, 21, 34, 55], [89, 90, 91, 92, 127]])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "m.tif"


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64"])
def test_every_width_and_byte_order_gives_the_pixels_row_by_row(path, dtype, byteorder):
    tifffile.imwrite(path, PIXELS.astype(dtype), byteorder=byteorder)
    micrograph = read_micrograph(path)
    assert micrograph.pixels.tolist() == PIXELS.tolist()
    assert micrograph.pixels.dtype == np.float32
    assert micrograph.kind == "tiff"


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("compression", ["lzw", "zlib", "zstd", "packbits"])
def test_compressed_files_are_unpacked(path, compression, dtype):
    values = np.add.outer(np.arange(70), np.arange(90) * 2).astype(dtype)
    tifffile.imwrite(path, values, compression=compression, rowsperstrip=16)
    assert read_micrograph(path).pixels.tolist() == values.tolist()


@pytest.mark.parametrize(
    "options", [{"tile": (32, 16)}, {"tile": (32, 16), "compression": "zlib", "predictor": True}, {"bigtiff": True}]
)
def test_tiled_files_and_bigtiff_are_read(path, rng, options):
    values = rng.integers(0, 60000, (70, 41)).astype("uint16")
    tifffile.imwrite(path, values, **options)
    assert read_micrograph(path).pixels.tolist() == values.tolist()


@pytest.mark.parametrize("unit", ["CENTIMETER", "INCH"])
def test_the_pixel_size_comes_from_the_resolution(path, unit):
    per_unit = {"CENTIMETER": 1e8, "INCH": 2.54e8}[unit] / 1.77
    tifffile.imwrite(path, PIXELS.astype("u1"), resolution=(per_unit, per_unit), resolutionunit=unit)
    assert read_micrograph(path).pixel_size == pytest.approx(1.77)


@pytest.mark.parametrize(
    ("unit", "per_unit"), [("nm", 1 / 0.177), ("Angstrom", 1 / 1.77), ("\\u00c5", 1 / 1.77), ("micron", 1e4 / 1.77)]
)
def test_the_pixel_size_comes_from_imagejs_unit(path, unit, per_unit):
    tifffile.imwrite(path, PIXELS.astype("u1"), imagej=True, resolution=(per_unit, per_unit), metadata={"unit": unit})
    assert read_micrograph(path).pixel_size == pytest.approx(1.77, rel=1e-5)


@pytest.mark.parametrize(
    ("resolution", "unit"), [((72, 72), "INCH"), ((300, 300), "INCH"), ((1, 1), "NONE"), ((28, 28), "CENTIMETER")]
)
def test_a_printing_resolution_is_not_a_pixel_size(path, resolution, unit):
    tifffile.imwrite(path, PIXELS.astype("u1"), resolution=resolution, resolutionunit=unit)
    assert read_micrograph(path).pixel_size is None


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_equal_colour_channels_are_grey(path, planar):
    grey = PIXELS.astype("u1")
    channels = np.stack([grey] * 3, axis=-1 if planar == "contig" else 0)
    tifffile.imwrite(path, channels, photometric="rgb", planarconfig=planar)
    assert read_micrograph(path).pixels.tolist() == PIXELS.tolist()


@pytest.mark.parametrize("imagej", [False, True])
def test_movies_and_stacks_are_not_micrographs(path, imagej):
    tifffile.imwrite(path, np.stack([PIXELS] * 7).astype("u1"), imagej=imagej, photometric="minisblack")
    with pytest.raises(FileError, match="stack of 7") as error:
        read_micrograph(path)
    assert "Motion-correct" in error.value.remedy


def test_movies_written_frame_by_frame_are_not_micrographs(path):
    with tifffile.TiffWriter(path) as writer:
        for frame in range(4):
            writer.write((PIXELS + frame).astype("u1"), metadata=None, contiguous=False)
    with pytest.raises(FileError, match="stack of 4"):
        read_micrograph(path)


def test_a_thumbnail_after_the_image_is_ignored_with_a_warning(path, caplog):
    with tifffile.TiffWriter(path) as writer:
        writer.write(PIXELS.astype("u2"), metadata=None)
        writer.write(PIXELS[:2, :2].astype("u1"), metadata=None)
    assert read_micrograph(path).pixels.tolist() == PIXELS.tolist()
    assert "1 further" in caplog.text


@pytest.mark.parametrize("compression", [65000, 65001, 65002])
def test_an_eer_movie_is_named_as_one(path, compression):
    tifffile.imwrite(path, PIXELS.astype("u1"), bigtiff=True)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages[0].tags["Compression"].overwrite(compression)
    with pytest.raises(FileError, match="EER movie"):
        read_micrograph(path.rename(path.with_suffix(".eer")))


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"compression": "lzw"}, {"compression": "zstd"}])
@pytest.mark.parametrize("part", [0.9, 0.5, 0.01])
def test_a_cut_file_is_an_error(path, rng, options, part):
    tifffile.imwrite(path, rng.integers(0, 60000, (70, 41)).astype("uint16"), **options)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(FileError, match="truncated or damaged TIFF"):
        read_micrograph(path)


def test_complex_numbers_are_refused(path):
    tifffile.imwrite(path, PIXELS.astype("c8"))
    with pytest.raises(FileError, match="complex"):
        read_micrograph(path)


@pytest.mark.parametrize(
    ("dtype", "stored"),
    [("uint8", "uint8"), ("uint16", "uint16"), ("int16", "int16"), ("float16", "float32"), ("float64", "float32")],
)
def test_written_files_hold_the_values_their_type_and_the_resolution(path, dtype, stored):
    write_micrograph(path, PIXELS.astype(dtype), pixel_size=1.77)
    with tifffile.TiffFile(path) as tiff:
        values = tiff.asarray()
        per_cm = tiff.pages[0].get_resolution("CENTIMETER")
    assert values.dtype == stored
    assert values.tolist() == PIXELS.tolist()
    assert per_cm == pytest.approx((1e8 / 1.77, 1e8 / 1.77))


def test_an_image_that_does_not_fit_in_memory_is_named(tmp_path, monkeypatch):
    def full(channels):
        raise MemoryError("Unable to allocate 15 GiB")

    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5), np.uint8))
    monkeypatch.setattr("cryopick.io.micrographs.tiff.to_grey", full)
    with pytest.raises(FileError, match=r"a\.tif: needs more memory than there is \(Unable to allocate 15 GiB\)"):
        read_micrograph(tmp_path / "a.tif")
