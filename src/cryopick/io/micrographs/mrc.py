"""MRC2014 files, including truncated files and odd headers that `mrcfile` rejects; rows are read without a second copy.

Format: Cheng et al. 2015 (J. Struct. Biol. 192, 146), https://www.ccpem.ac.uk/mrc_format/mrc2014.php, and IMOD's notes on its
own fields. Sections, rows and columns stay in the order of the file.
"""

import bz2
import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BufferedIOBase, BufferedReader
from pathlib import Path

import mrcfile
import numpy as np
from mrcfile.dtypes import HEADER_DTYPE
from numpy.typing import NDArray

from cryopick.errors import FileError
from cryopick.io.micrographs.common import AGAIN, RawImage, check_claim, first_bytes
from cryopick.io.micrographs.signedness import settle_sign

HEADER_BYTES = 1024
LARGEST_SIDE = 200_000
LARGEST_EXTENDED_HEADER = 1 << 30
LARGEST_UNPACKED_HEADER = 1 << 26
"""The same for compressed files, of which a few bytes could claim more."""
MOST_CLAIMED = 100  # times the file's size; larger images cannot be salvaged, and may not fit in memory
TYPES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
UNREADABLE_MODES = {
    3: ("complex numbers (a Fourier transform)", "Give the real-space micrograph"),
    4: ("complex numbers (a Fourier transform)", "Give the real-space micrograph"),
    16: ("colours (RGB bytes)", "Convert it to grey first, for instance with IMOD: clip gray IN OUT"),
    101: ("4-bit integers, as in raw movies", "Motion-correct the movie, or convert it with IMOD: newstack -mode 1 IN OUT"),
}
COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2"}
CHUNK_BYTES = 1 << 22
IMOD_STAMP = 1146047817


@dataclass(frozen=True)
class MrcHeader:
    """The header's contents after corrections.

    Attributes
    ----------
    shape : sections, rows, columns.
    mode : MRC's number of the value type.
    dtype : of the stored values, byte order included.
    offset : bytes before the first value.
    voxel_size : Å along the columns; None when the header has none.
    space_group : 0 for images and stacks of them, 1 for volumes, 401 for stacks of volumes.
    axes : axis (1, 2, 3 for x, y, z) along which columns, rows and sections run.
    notes : oddities that were corrected.
    sign_given : whether the file defines the sign of bytes; True for other modes.
    """

    shape: tuple[int, int, int]
    mode: int
    dtype: np.dtype[np.generic]
    offset: int
    voxel_size: float | None
    space_group: int
    axes: tuple[int, int, int]
    notes: tuple[str, ...] = ()
    sign_given: bool = True

    @property
    def pixel_size(self) -> float | None:
        """Å per pixel of an image; None also for exactly 1 Å, which many programs write for an unknown size."""
        return None if self.voxel_size is None or abs(self.voxel_size - 1) < 1e-6 else self.voxel_size

    @property
    def row_bytes(self) -> int:
        """Bytes per row."""
        return self.shape[2] * self.dtype.itemsize

    @property
    def stored(self) -> str:
        """The value type, for display."""
        order = "big-endian " if self.dtype.byteorder == ">" else ""
        return f"MRC mode {self.mode} ({order}{self.dtype.newbyteorder('=').name})"


def compression(head: bytes) -> str | None:
    """Return the compression by a file's first bytes; None if there is none."""
    return next((name for magic, name in COMPRESSIONS.items() if head.startswith(magic)), None)


@contextmanager
def open_mrc(path: Path) -> Iterator[tuple[BufferedIOBase, MrcHeader]]:
    """Open an MRC file: the decompressed bytes after the first 1,024, and its header. Raises `FileError` as `read_header`."""
    with _open_unpacked(path) as stream:
        head = bytearray(HEADER_BYTES)
        got, _ = _fill(stream, head)
        packed, size = not isinstance(stream, BufferedReader), path.stat().st_size
        header = read_header(bytes(head[:got]), path, file_bytes=None if packed else size)
        if packed:
            check_claim(path, header.shape[1:], file_bytes=size, sections=header.shape[0])
        yield stream, header


def unpacked_start(path: Path) -> bytes:
    """Return the first 1,024 bytes of a file after decompression, fewer when it is shorter."""
    with _open_unpacked(path) as stream:
        head = bytearray(HEADER_BYTES)
        return bytes(head[: _fill(stream, head)[0]])


def looks_like_mrc(head: bytes) -> bool:
    """Return whether a file's first 1,024 bytes can be an MRC header: marked as one, or with a plausible mode and shape."""
    if len(head) < HEADER_BYTES:
        return False
    return head[208:211] == b"MAP" or any(_plausible(_fields(head, order)) for order in "<>")


def read_header(head: bytes, path: Path, *, file_bytes: int | None = None) -> MrcHeader:
    """Parse the first 1,024 bytes; `file_bytes` is the size of the whole file, if known.

    A wrong machine stamp, map mark, number of sections or length of the extended header is corrected and noted. Raises
    `FileError` for a file that is not MRC and for modes without real pixels.
    """
    if len(head) < HEADER_BYTES:
        raise FileError(path, f"is truncated within the MRC header ({len(head)} of 1024 bytes)", AGAIN)
    fields, notes = _in_right_byte_order(head, path)
    mode = int(fields["mode"])
    if mode in UNREADABLE_MODES:
        raise FileError(path, f"MRC mode {mode}: {UNREADABLE_MODES[mode][0]}", UNREADABLE_MODES[mode][1])
    sections = int(fields["nz"])
    if sections < 1:
        notes.append(f"the header counts {sections} sections; read as one")
    axes = (int(fields["mapc"]), int(fields["mapr"]), int(fields["maps"]))
    dtype, sign_given, sign_note = _value_type(fields, mode)
    shape = (max(sections, 1), int(fields["ny"]), int(fields["nx"]))
    claimed = math.prod(shape) * dtype.itemsize
    if file_bytes is not None and claimed > MOST_CLAIMED * file_bytes:
        found = f"is truncated or damaged: its header claims {claimed:,} bytes of pixels and the file has {file_bytes:,}"
        raise FileError(path, found, AGAIN)
    offset, offset_note = _data_offset(int(fields["nsymbt"]), claimed, file_bytes)
    voxel_size, size_note = _voxel_size(fields)
    return MrcHeader(
        shape=shape,
        mode=mode,
        dtype=dtype,
        offset=offset,
        voxel_size=voxel_size,
        space_group=int(fields["ispg"]),
        axes=axes if sorted(axes) == [1, 2, 3] else (1, 2, 3),
        notes=(*notes, *(note for note in (sign_note, offset_note, size_note) if note)),
        sign_given=sign_given,
    )


def read_data(stream: BufferedIOBase, header: MrcHeader) -> tuple[NDArray[np.float32], int, bool]:
    """Read values as float32 (sections, rows, columns), the number of rows that could be read, and whether the file is intact.

    `stream` is positioned after the header. Missing rows are zero. A file is not intact if rows are missing or the checksum
    of a compressed file is wrong.
    """
    for skipped in range(0, header.offset - HEADER_BYTES, CHUNK_BYTES):
        _fill(stream, bytearray(min(CHUNK_BYTES, header.offset - HEADER_BYTES - skipped)))
    rows = header.shape[0] * header.shape[1]
    pixels = np.zeros((rows, header.shape[2]), np.float32)
    step = max(1, CHUNK_BYTES // header.row_bytes)
    buffer = bytearray(step * header.row_bytes)
    done = 0
    while done < rows:
        wanted = min(step, rows - done)
        got, _ = _fill(stream, memoryview(buffer)[: wanted * header.row_bytes])
        whole = got // header.row_bytes
        values = np.frombuffer(buffer, header.dtype, count=whole * header.shape[2])
        pixels[done : done + whole] = values.reshape(whole, header.shape[2])
        done += whole
        if whole < wanted:
            break
    sound = done == rows and _fill(stream, bytearray(1))[1]
    return pixels.reshape(header.shape), done, sound


def read_mrc(path: Path, *, salvage: bool = False) -> RawImage:
    """Read the image of an MRC or MRCS file with one section, compressed or not.

    With `salvage`, missing rows of a truncated file are filled with the mean of the others. Raises `FileError` for truncated
    files, stacks and volumes.
    """
    with open_mrc(path) as (stream, header):
        _reject_stacks(header, path)
        pixels, rows, sound = read_data(stream, header)
    header = with_sign(header, pixels[0, :rows])
    notes = header.notes
    if not sound:
        found = cut_or_damaged(rows, header.shape[1])
        if not (salvage and rows):
            raise FileError(path, found, f"{AGAIN}; or read the complete rows with --salvage" if rows else AGAIN)
        pixels[0, rows:] = pixels[0, :rows].mean(dtype=np.float64)
        notes += (f"{found}; the others are filled with the mean",)
    return RawImage(pixels[0], "mrc", header.stored, header.pixel_size, notes)


def with_sign(header: MrcHeader, values: NDArray[np.float32]) -> MrcHeader:
    """Settle the sign of bytes by the values (any shape), changed in place, if the header does not; return the header."""
    if header.sign_given:
        return header
    unsigned, note = settle_sign(values)
    notes = (*header.notes, note) if note else header.notes
    return replace(header, dtype=np.dtype("u1" if unsigned else "i1"), notes=notes, sign_given=True)


def cut_or_damaged(rows: int, expected: int) -> str:
    """Describe a file that is not intact, of which `rows` could be read."""
    if rows == expected:
        return "is damaged: its checksum does not match"
    return f"is truncated or damaged: {rows} of {expected} rows can be read"


def write_mrc(path: Path, pixels: NDArray[np.generic], *, pixel_size: float | None = None) -> None:
    """Write one image (h, w); equal input gives equal bytes.

    int8, int16, uint16, float16 and float32 keep their type, uint8 widens to uint16 (MRC's bytes are signed), other types
    become float32. An unknown pixel size is written as 0.
    """
    kept = {"int8", "int16", "uint16", "float16", "float32"}
    dtype = pixels.dtype if pixels.dtype.name in kept else np.dtype("u2" if pixels.dtype == np.uint8 else "f4")
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(pixels.astype(dtype, copy=False))
        mrc.voxel_size = pixel_size or 0.0
        mrc.header.label[:] = b""  # mrcfile's label contains the time
        mrc.header.label[0] = b"cryopick"
        mrc.header.nlabl = 1


@contextmanager
def _open_unpacked(path: Path) -> Iterator[BufferedIOBase]:
    kind = compression(first_bytes(path))
    with path.open("rb") as packed:
        if kind == "gzip":
            with gzip.GzipFile(fileobj=packed) as stream:
                yield stream
        elif kind == "bzip2":
            with bz2.BZ2File(packed) as stream:
                yield stream
        else:
            yield packed


def _reject_stacks(header: MrcHeader, path: Path) -> None:
    sections, rows, columns = header.shape
    if sections == 1:
        return
    kind = "volume" if sections == rows == columns else "movie or stack" if header.space_group == 0 else "movie, stack or volume"
    found = f"is a {kind} of {sections} sections, not one micrograph"
    raise FileError(path, found, "Motion-correct it if it is a movie; else split it into single images")


def _in_right_byte_order(head: bytes, path: Path) -> tuple[np.void, list[str]]:
    by_stamp = {b"\x44": "<", b"\x11": ">"}.get(head[212:213])
    for candidate in "><" if by_stamp == ">" else "<>":
        fields = _fields(head, candidate)
        if _plausible(fields):
            notes = [] if candidate == by_stamp else ["the header's machine stamp does not give the byte order; it was guessed"]
            if head[208:211] != b"MAP":
                notes.append("the header lacks the mark 'MAP ' of MRC files")
            return fields, notes
    if head[208:211] == b"MAP":
        fields = _fields(head, by_stamp or "<")
        found = f"has an invalid MRC header: mode {fields['mode']}, {fields['nx']} x {fields['ny']} pixels"
        raise FileError(path, found, AGAIN)
    raise FileError(path, "is not an MRC file (its header is invalid)", "Give MRC, TIFF, PNG or JPEG")


def _fields(head: bytes, order: str) -> np.void:
    fields: np.void = np.frombuffer(head, HEADER_DTYPE.newbyteorder(order), count=1)[0]
    return fields


def _plausible(fields: np.void) -> bool:
    known = int(fields["mode"]) in TYPES or int(fields["mode"]) in UNREADABLE_MODES
    return known and all(0 < int(fields[side]) <= LARGEST_SIDE for side in ("nx", "ny")) and int(fields["nz"]) >= 0


def _value_type(fields: np.void, mode: int) -> tuple[np.dtype[np.generic], bool, str | None]:
    """Return the type, whether the file defines its sign, and a note. Bytes are signed in MRC2014 and unsigned in old files."""
    order = HEADER_DTYPE["mode"].newbyteorder(fields.dtype["mode"].byteorder).byteorder
    if mode != 0:
        return np.dtype(TYPES[mode]).newbyteorder(order), True, None
    stamp, flags = np.frombuffer(bytes(fields["extra2"])[40:48], np.dtype("i4").newbyteorder(order))
    if stamp == IMOD_STAMP:
        return np.dtype("i1" if flags & 1 else "u1"), True, None
    if fields["dmin"] >= 0 and fields["dmax"] > 127:
        return np.dtype("u1"), True, "bytes were read as unsigned, because the header's maximum is over 127"
    return np.dtype("i1"), False, None


def _data_offset(extended: int, data: int, file_bytes: int | None) -> tuple[int, str | None]:
    whole = HEADER_BYTES + data
    fits_without = file_bytes is not None and (file_bytes == whole or extended >= file_bytes >= whole)
    largest = LARGEST_UNPACKED_HEADER if file_bytes is None else LARGEST_EXTENDED_HEADER
    if extended and (fits_without or not 0 < extended <= largest):
        return HEADER_BYTES, f"the header claims an extended header of {extended} bytes, which does not exist"
    if file_bytes is not None and file_bytes > whole + extended:
        return HEADER_BYTES + extended, f"{file_bytes - whole - extended} bytes after the image were ignored"
    return HEADER_BYTES + extended, None


def _voxel_size(fields: np.void) -> tuple[float | None, str | None]:
    with np.errstate(all="ignore"):
        # float32 has six digits: 1.77 must not become 1.7700001
        x, y = (float(f"{fields['cella'][axis] / np.float64(fields[f'm{axis}']):.6g}") for axis in "xy")
    if not (np.isfinite(x) and x > 0):
        return None, None if x == 0 or not int(fields["mx"]) else f"the header's pixel size of {x:g} Å is invalid and ignored"
    if abs(x - y) > 0.01 * x:
        return x, f"the header's pixel sizes differ: {x:g} Å along the rows, {y:g} Å down them; the first is used"
    return x, None


def _fill(stream: BufferedIOBase, buffer: bytearray | memoryview) -> tuple[int, bool]:
    """Fill the buffer as far as possible; return the number of bytes, and False if compressed data are truncated or damaged."""
    view, done = memoryview(buffer), 0
    while done < len(view):
        try:
            # in pieces, so that everything before the break in a truncated gzip file is kept
            got = stream.readinto1(view[done:])
        except (EOFError, zlib.error):
            return done, False
        except OSError as error:
            if error.errno is not None:
                raise
            return done, False  # bad checksum, or bzip2's invalid data
        if not got:
            break
        done += got
    return done, True
