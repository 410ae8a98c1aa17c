"""MRC files of every mode and age, put together byte by byte from the format's description, give the pixels that are in them."""

import bz2
import gzip
import shutil
import struct
import subprocess

import mrcfile
import numpy as np
import pytest

from cryopick.errors import FileError
from cryopick.io.micrographs.files import read_micrograph, read_raw_image, write_micrograph

PIXELS = np.array([[0, 1, 2, 3, 5], [8, 13, 21, 34, 55], [89, 90, 91, 92, 127]])  # no flip or transpose looks like it
STAMPS = {"<": b"\x44\x44\0\0", ">": b"\x11\x11\0\0"}
TYPES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}


def mrc(mode=2, *, order="<", values=PIXELS, nz=1, cell=(0.0, 0.0), extended=b"", fields=None):
    """An MRC file by the MRC2014 table: word `n` of the header at byte `4 (n - 1)`; `fields` are (byte, format, value)."""
    ny, nx = values.shape[-2:]
    header = bytearray(1024)
    struct.pack_into(f"{order}4i", header, 0, nx, ny, nz, mode)
    struct.pack_into(f"{order}3i2f", header, 28, nx, ny, nz, *cell)
    struct.pack_into(f"{order}3i", header, 64, 1, 2, 3)
    struct.pack_into(f"{order}i", header, 92, len(extended))
    header[208:216] = b"MAP " + STAMPS[order]
    for byte, form, value in fields or []:
        struct.pack_into(order + form, header, byte, value)
    return bytes(header) + extended + values.astype(order + TYPES.get(mode, "i1")).tobytes()


@pytest.fixture
def saved(tmp_path):
    def save(content, name="m.mrc"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return save


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("mode", TYPES)
def test_every_mode_in_both_byte_orders_gives_the_pixels_row_by_row(saved, mode, order):
    micrograph = read_micrograph(saved(mrc(mode, order=order)))
    assert micrograph.pixels.tolist() == PIXELS.tolist()
    assert micrograph.pixels.dtype == np.float32
    assert micrograph.kind == "mrc"


@pytest.mark.parametrize("mode", [0, 1, 2, 12])
def test_negative_values_stay_negative(saved, mode):
    assert read_micrograph(saved(mrc(mode, values=-PIXELS))).pixels.tolist() == (-PIXELS).tolist()


def test_unsigned_16_bit_values_go_to_65535(saved):
    assert read_micrograph(saved(mrc(6, values=PIXELS + 65400))).pixels.max() == 65527


@pytest.mark.parametrize(("pack", "name"), [(gzip.compress, "m.mrc.gz"), (bz2.compress, "m.mrc.bz2"), (gzip.compress, "m.mrc")])
def test_packed_files_are_unpacked_whatever_their_name(saved, pack, name):
    assert read_micrograph(saved(pack(mrc()), name)).pixels.tolist() == PIXELS.tolist()


def test_an_extended_header_is_stepped_over_without_a_word(saved, caplog):
    assert read_micrograph(saved(mrc(extended=bytes(range(256)) * 3))).pixels.tolist() == PIXELS.tolist()
    assert caplog.text == ""


def test_a_stack_of_one_section_is_a_micrograph(saved):
    assert read_micrograph(saved(mrc(), "m.mrcs")).pixels.tolist() == PIXELS.tolist()


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "float16", "float32"])
def test_files_that_mrcfile_writes_are_read_alike(tmp_path, dtype):
    with mrcfile.new(tmp_path / "m.mrc", PIXELS.astype(dtype)) as other:
        other.voxel_size = 1.77
    micrograph = read_micrograph(tmp_path / "m.mrc")
    assert micrograph.pixels.tolist() == PIXELS.tolist()
    assert micrograph.pixel_size == 1.77


@pytest.mark.parametrize(
    ("cell", "size"),
    [((5 * 1.77, 3 * 1.77), 1.77), ((0, 0), None), ((5, 3), None), ((5 * 1.005, 3 * 1.005), 1.005), ((-8, -8), None)],
)
def test_the_pixel_size_is_cell_over_grid_and_0_or_exactly_1_means_unknown(saved, cell, size):
    assert read_micrograph(saved(mrc(cell=cell))).pixel_size == size


def test_the_grid_may_differ_from_the_picture(saved):
    assert read_micrograph(saved(mrc(cell=(20, 20), fields=[(28, "i", 10), (32, "i", 10)]))).pixel_size == 2


@pytest.mark.parametrize(
    ("flags", "signed"), [([(152, "i", 1146047817)], False), ([(152, "i", 1146047817), (156, "i", 1)], True), ([], True)]
)
def test_imods_stamp_decides_whether_bytes_are_signed(saved, flags, signed):
    values = PIXELS + 73  # 73 to 200
    wrapped = np.where(values > 127, values - 256, values)
    assert (
        read_micrograph(saved(mrc(0, values=wrapped, fields=flags))).pixels.tolist() == (wrapped if signed else values).tolist()
    )


@pytest.mark.parametrize("highest", [128, 200])
def test_bytes_of_old_files_are_unsigned_when_the_headers_maximum_shows_it(saved, highest, caplog):
    values = PIXELS + highest - 127
    wrapped = np.where(values > 127, values - 256, values)
    pixels = read_micrograph(saved(mrc(0, values=wrapped, fields=[(76, "f", values.min()), (80, "f", highest)]))).pixels
    assert pixels.tolist() == values.tolist()
    assert "unsigned" in caplog.text


WRONG_HEADERS = {
    "no stamp": ([(212, "i", 0)], "machine stamp"),
    "the other order's stamp": ([(212, "4s", b"\x11\x11\0\0")], "machine stamp"),
    "no map mark": ([(208, "4s", b"\0\0\0\0")], "MAP"),
    "no sections": ([(8, "i", 0)], "0 sections"),
    "an extended header that is not there": ([(92, "i", 512)], "512 bytes"),
    "a negative extended header": ([(92, "i", -80)], "-80 bytes"),
    "an extended header without end": ([(92, "i", 2**31 - 1)], "2147483647 bytes"),
    "pixels that are not square": ([(40, "f", 5.5), (44, "f", 6.6)], "differ"),
    "pixels that are a fiftieth off square": ([(40, "f", 5 * 1.5), (44, "f", 3 * 1.53)], "1.5 Å along the rows, 1.53 Å down"),
}


@pytest.mark.parametrize("wrong", WRONG_HEADERS)
def test_slightly_wrong_headers_are_put_right_with_a_warning(saved, wrong, caplog):
    fields, said = WRONG_HEADERS[wrong]
    assert read_micrograph(saved(mrc(fields=fields))).pixels.tolist() == PIXELS.tolist()
    assert said in caplog.text


def test_bytes_after_the_image_are_ignored_with_a_warning(saved, caplog):
    assert read_micrograph(saved(mrc() + b"four")).pixels.tolist() == PIXELS.tolist()
    assert "4 bytes after" in caplog.text


def test_an_extended_header_that_does_not_exist_is_ignored_also_when_bytes_follow_the_image(saved, caplog):
    content = mrc(fields=[(92, "i", 5000)]) + b"four"
    assert read_micrograph(saved(content)).pixels.tolist() == PIXELS.tolist()
    assert "5000 bytes, which does not exist" in caplog.text


@pytest.mark.parametrize(("mode", "named"), [(3, "complex"), (4, "complex"), (16, "RGB"), (101, "4-bit")])
def test_modes_without_real_pixels_are_named(saved, mode, named):
    with pytest.raises(FileError, match=f"mode {mode}: .*{named}"):
        read_micrograph(saved(mrc(mode)))


@pytest.mark.parametrize(
    ("shape", "space_group", "named"),
    [((4, 3, 5), 0, "movie or stack of 4"), ((3, 3, 3), 1, "volume of 3"), ((2, 3, 5), 1, "of 2")],
)
def test_movies_stacks_and_volumes_are_not_micrographs(saved, shape, space_group, named):
    content = mrc(values=np.zeros(shape), nz=shape[0], fields=[(88, "i", space_group)])
    with pytest.raises(FileError, match=named):
        read_micrograph(saved(content))


@pytest.mark.parametrize("field", [(0, "i", -5), (4, "i", 0), (12, "i", 77)])
def test_an_invalid_header_is_refused(saved, field):
    with pytest.raises(FileError, match="invalid MRC header"):
        read_micrograph(saved(mrc(fields=[field])))


def test_a_header_that_claims_far_more_than_the_file_has_takes_no_memory(saved):
    with pytest.raises(FileError, match=r"claims 160,000,000,000 bytes"):
        read_micrograph(saved(mrc(fields=[(0, "i", 200_000), (4, "i", 200_000)])), salvage=True)


def test_a_file_cut_within_its_extended_header_is_not_salvaged_from_it(saved):
    content = mrc(extended=bytes(4096), values=np.arange(2000).reshape(40, 50))
    with pytest.raises(FileError, match="0 of 40 rows"):
        read_micrograph(saved(content[:2000]), salvage=True)


def test_text_named_mrc_is_refused(saved):
    with pytest.raises(FileError, match="not an MRC file"):
        read_micrograph(saved(b"This is not a micrograph. " * 100))


@pytest.mark.parametrize("rows", [1, 2])
def test_a_cut_file_is_an_error_that_counts_its_rows_unless_it_is_salvaged(saved, rows, caplog):
    path = saved(mrc()[: 1024 + rows * 20 + 7])  # 20 bytes a row, and a piece of the next
    with pytest.raises(FileError, match=f"{rows} of 3 rows") as error:
        read_micrograph(path)
    assert error.value.remedy.endswith("read the complete rows with --salvage")
    pixels = read_micrograph(path, salvage=True).pixels
    assert pixels[:rows].tolist() == PIXELS[:rows].tolist()
    assert np.unique(pixels[rows:]) == pytest.approx([PIXELS[:rows].mean()])
    assert f"{rows} of 3 rows" in caplog.text


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_a_cut_packed_file_is_salvaged_as_far_as_it_unpacks(saved, rng, pack):
    values = rng.normal(size=(700, 500))
    packed = pack(mrc(values=values))
    path = saved(packed[: len(packed) * 4 // 5], "m.mrc.gz")
    with pytest.raises(FileError, match="of 700 rows"):
        read_micrograph(path)
    pixels = read_micrograph(path, salvage=True).pixels
    same = (pixels == values.astype(np.float32)).all(axis=1)
    assert same[:100].all()
    assert not same[-100:].any()
    assert np.array_equal(same, np.sort(same)[::-1])


def test_a_packed_file_with_a_wrong_checksum_is_an_error(saved):
    packed = bytearray(gzip.compress(mrc()))
    packed[-8] ^= 1
    with pytest.raises(FileError, match="checksum"):
        read_micrograph(saved(bytes(packed)))


@pytest.mark.parametrize("length", [100, 1024, 1030])
def test_a_file_without_a_whole_row_cannot_be_salvaged(saved, length):
    with pytest.raises(FileError, match=r"truncated"):
        read_micrograph(saved(mrc()[:length]), salvage=True)


@pytest.mark.parametrize(
    ("dtype", "mode"), [("int8", 0), ("int16", 1), ("float32", 2), ("float64", 2), ("uint8", 6), ("uint16", 6), ("float16", 12)]
)
def test_written_files_are_valid_for_mrcfile_with_statistics_and_pixel_size(tmp_path, dtype, mode):
    path = tmp_path / "m.mrc"
    write_micrograph(path, PIXELS.astype(dtype), pixel_size=1.77)
    assert mrcfile.validate(path)
    with mrcfile.open(path) as other:
        assert other.data.tolist() == PIXELS.tolist()
        assert other.header.mode == mode
        assert [float(other.voxel_size.x), float(other.voxel_size.y)] == pytest.approx([1.77, 1.77])
        found = [float(other.header[name]) for name in ("dmin", "dmax", "dmean", "rms")]
    assert found == pytest.approx([0, 127, PIXELS.mean(), PIXELS.std()], rel=1e-3)


def test_written_files_hold_no_time(tmp_path):
    write_micrograph(tmp_path / "m.mrc", PIXELS.astype(np.float32))
    content = (tmp_path / "m.mrc").read_bytes()
    assert content[224:].startswith(b"cryopick\0")
    assert content[232:1024] == bytes(792)


@pytest.mark.skipif(shutil.which("relion_image_handler") is None, reason="RELION is not installed")
@pytest.mark.parametrize("dtype", ["int16", "uint16", "float32"])
def test_relion_reads_what_is_written_and_its_files_are_read(tmp_path, dtype):
    values = np.add.outer(np.arange(48) * 100, np.arange(64))
    write_micrograph(tmp_path / "m.mrc", values.astype(dtype), pixel_size=1.77)
    command = ["relion_image_handler", "--i", "m.mrc", "--o", "doubled.mrc", "--multiply_constant", "2"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    doubled = read_micrograph(tmp_path / "doubled.mrc")
    assert doubled.pixels.tolist() == (2 * values).tolist()
    assert doubled.pixel_size == 1.77


@pytest.mark.filterwarnings("error")
def test_missing_rows_are_filled_with_the_mean_of_the_finite_values_of_the_others(saved):
    values = np.array([[1.0, np.nan, np.inf], [-np.inf, 4.0, 7.0], [0, 0, 0]])
    pixels = read_raw_image(saved(mrc(values=values)[:-4]), salvage=True).pixels
    assert pixels[2].tolist() == [4.0, 4.0, 4.0]  # (1 + 4 + 7) / 3
    values[:2] = np.nan
    assert read_raw_image(saved(mrc(values=values)[:-4]), salvage=True).pixels[2].tolist() == [0.0, 0.0, 0.0]
