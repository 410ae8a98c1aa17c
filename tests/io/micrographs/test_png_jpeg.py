"""PNG and JPEG images give their grey values, top row first; cut ones are found out."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from cryopick.errors import FileError, SettingError
from cryopick.io.micrographs.files import read_micrograph, write_micrograph

PIXELS = np.array([[0, 1, 2, 3, 5], [8, 13, 21, 34, 55], [89, 90, 91, 92, 127]])


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(rows: list[bytes], width: int, depth: int, colour: int) -> bytes:
    """A PNG by its specification: signature, IHDR, one IDAT with unfiltered rows, IEND."""
    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("depth", "values"), [(8, PIXELS * 2), (16, PIXELS * 500)])
def test_grey_pngs_give_their_values_row_by_row(tmp_path, depth, values):
    rows = [row.astype(f">u{depth // 8}").tobytes() for row in values]
    (tmp_path / "m.png").write_bytes(png(rows, 5, depth, 0))
    micrograph = read_micrograph(tmp_path / "m.png")
    assert micrograph.pixels.tolist() == values.tolist()
    assert (micrograph.kind, micrograph.pixel_size) == ("png", None)


@pytest.mark.parametrize(("colour", "extra"), [(2, []), (6, [255]), (4, [255])])
def test_grey_kept_as_colours_is_grey(tmp_path, colour, extra, caplog):
    copies = 1 if colour == 4 else 3
    rows = [bytes(byte for value in row for byte in [value] * copies + extra) for row in PIXELS.tolist()]
    (tmp_path / "m.png").write_bytes(png(rows, 5, 8, colour))
    assert read_micrograph(tmp_path / "m.png").pixels.tolist() == PIXELS.tolist()
    assert caplog.text == ""


def test_colours_become_their_luminance_with_a_warning(tmp_path, caplog):
    rows = [bytes([100, 0, 0, 0, 100, 0]), bytes([0, 0, 100, 100, 100, 0])]
    (tmp_path / "m.png").write_bytes(png(rows, 2, 8, 2))
    pixels = read_micrograph(tmp_path / "m.png").pixels
    assert pixels == pytest.approx(np.array([[29.9, 58.7], [11.4, 88.6]]))
    assert "luminance" in caplog.text


def test_jpegs_give_their_values_row_by_row(tmp_path):
    values = np.kron(PIXELS, np.ones((8, 8))).astype(np.uint8)  # JPEG keeps blocks of one value
    cv2.imwrite(str(tmp_path / "m.jpg"), values, [cv2.IMWRITE_JPEG_QUALITY, 100])
    micrograph = read_micrograph(tmp_path / "m.jpg")
    assert micrograph.kind == "jpeg"
    assert np.abs(micrograph.pixels - values).max() <= 1


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("part", [0.95, 0.5, 0.1])
def test_truncated_images_are_errors(tmp_path, rng, suffix, part):
    path = tmp_path / f"m{suffix}"
    write_micrograph(path, rng.integers(0, 255, (70, 41)).astype(np.uint8))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(FileError, match="is truncated"):
        read_micrograph(path)


def test_a_damaged_png_is_an_error(tmp_path):
    (tmp_path / "m.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100) + chunk(b"IEND", b""))
    with pytest.raises(FileError, match="damaged PNG"):
        read_micrograph(tmp_path / "m.png")


def test_written_pngs_hold_the_values_as_given(tmp_path):
    write_micrograph(tmp_path / "m.png", PIXELS.astype(np.uint8))
    assert cv2.imread(str(tmp_path / "m.png"), cv2.IMREAD_UNCHANGED).tolist() == PIXELS.tolist()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg"])
@pytest.mark.parametrize("dtype", ["float32", "uint16", "int16"])
def test_values_that_are_not_8_bit_must_be_scaled_before(tmp_path, suffix, dtype):
    with pytest.raises(SettingError, match="scale"):
        write_micrograph(tmp_path / f"m{suffix}", PIXELS.astype(dtype))
    assert list(tmp_path.iterdir()) == []
