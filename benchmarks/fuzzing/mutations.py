"""Mutations of files: of their bytes, their numbers, their lines, and of what packed files hold inside."""

import bz2
import gzip
import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

NUMBERS = (
    *("nan", "NaN", "inf", "-inf", "1e300", "-1e300", "1e-300", "1e39", "1e999", "0", "-0.0", "-1", "1e7", "99999999"),
    *("2147483648", "-2147483649", "4294967296", "18446744073709551616", "-9223372036854775809", "9" * 400),
    *("１２３", "٣", "1_000", "0x10", "1,5", "1.", ".", "1e", "--1", "+5", "", "<NA>", "null", "None", "true", '"7"', "7 8"),
)
WORDS = (
    *(
        "",
        "\0",
        "\t",
        "\n",
        "\r\n",
        "\ufeff",
        "é",
        "\u202e",
        "'",
        '"',
        "#",
        ";",
        ",",
        "\\",
        "/",
        "../",
        "$",
        "*",
        "{",
        "[",
        "&a",
        "*a",
    ),
    *("data_", "loop_", "_rln", "null", "[]", "{}", "!!python/name:os.system", "../victim/keep.txt"),
    *("a" * 300, "[" * 3000, '{"a":' * 3000),
)
NUMBER = re.compile(rb"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?")
STRUCTS = ("<b", "<h", "<i", "<q", "<f", "<d", ">h", ">i", ">q", ">f", ">d")
BINARY_FLOATS = (float("nan"), float("inf"), float("-inf"), 1e300, -1e30, 1e-40, 0.0, -1.0)
BINARY_INTEGERS = (0, 1, -1, 2, 127, 255, 32767, 40_000, 65_535, 200_000, 2**24, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63))
HEAD = 512
"""Bytes at the beginning of a file that hold most of its lengths, and are changed more often than the others."""

Mutation = Callable[[bytes, Random], bytes]


def mutate_file(path: Path, rng: Random) -> None:
    """Change a file in place, by one to four mutations; what a packed file holds is changed as often as its own bytes."""
    content = path.read_bytes()
    inner = INNER.get(path.suffix.lower())
    if inner is not None and rng.random() < 0.5:
        path.write_bytes(inner(content, rng))
    else:
        path.write_bytes(mutate(content, rng))


def mutate(content: bytes, rng: Random) -> bytes:
    """Bytes after one to four mutations, those of text and lines where the bytes are text."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        is_text = b"\0" not in content[:2000]
        kinds = TEXT if is_text and rng.random() < 0.7 else BYTES
        content = rng.choice(kinds)(content, rng)
    return content


def _place(content: bytes, rng: Random) -> int:
    near = rng.random() < 0.4
    return rng.randrange(min(len(content), HEAD) if near else len(content)) if content else 0


def _span(content: bytes, rng: Random) -> tuple[int, int]:
    start = _place(content, rng)
    return start, min(len(content), start + rng.choice((1, 2, 4, 16, 64, 1024, 100_000)))


def flip_bit(content: bytes, rng: Random) -> bytes:
    """One bit changed."""
    at = _place(content, rng)
    return content[:at] + bytes(byte ^ 1 << rng.randrange(8) for byte in content[at : at + 1]) + content[at + 1 :]


def set_byte(content: bytes, rng: Random) -> bytes:
    """One byte replaced."""
    at = _place(content, rng)
    return content[:at] + bytes([rng.choice((0, 1, 0x20, 0x7F, 0x80, 0xFF, rng.randrange(256)))]) + content[at + 1 :]


def cut(content: bytes, rng: Random) -> bytes:
    """Only the beginning, as after a copy that broke off."""
    return content[: _place(content, rng)]


def zero_fill(content: bytes, rng: Random) -> bytes:
    """A part, or all to the end, replaced by zeros, as after a crash of the machine."""
    start, end = _span(content, rng)
    end = len(content) if rng.random() < 0.3 else end
    return content[:start] + bytes(end - start) + content[end:]


def splice(content: bytes, rng: Random) -> bytes:
    """A part copied over or into another place."""
    start, end = _span(content, rng)
    at = _place(content, rng)
    return content[:at] + content[start:end] + content[at + (0 if rng.random() < 0.5 else end - start) :]


def remove(content: bytes, rng: Random) -> bytes:
    """A part left out."""
    start, end = _span(content, rng)
    return content[:start] + content[end:]


def set_number(content: bytes, rng: Random) -> bytes:
    """A binary number, such as a length, set to an extreme."""
    layout = rng.choice(STRUCTS)
    size = struct.calcsize(layout)
    at = _place(content, rng)
    at -= at % size if rng.random() < 0.7 else 0
    if layout[1] in "fd":
        value = rng.choice(BINARY_FLOATS)
        if layout[1] == "f" and abs(value) > 1e38 and value - value == 0:
            value = -1e30
        packed = struct.pack(layout, value)
    else:
        packed = (rng.choice(BINARY_INTEGERS) % (1 << 8 * size)).to_bytes(size, "little" if layout[0] == "<" else "big")
    return content[:at] + packed + content[at + size :]


def replace_number(content: bytes, rng: Random) -> bytes:
    """A number in a text replaced by an extreme or by what is none."""
    found = list(NUMBER.finditer(content))
    if not found:
        return insert_word(content, rng)
    one = rng.choice(found)
    return content[: one.start()] + rng.choice(NUMBERS).encode() + content[one.end() :]


def replace_column(content: bytes, rng: Random) -> bytes:
    """The number at one place of every line replaced."""
    place, new = rng.randrange(6), rng.choice(NUMBERS).encode()
    lines = content.splitlines(keepends=True)
    for number, line in enumerate(lines):
        found = list(NUMBER.finditer(line))
        if len(found) > place:
            lines[number] = line[: found[place].start()] + new + line[found[place].end() :]
    return b"".join(lines)


def insert_word(content: bytes, rng: Random) -> bytes:
    """A word that means something to some reader, at any place."""
    at = _place(content, rng)
    return content[:at] + rng.choice(WORDS).encode() + content[at:]


def replace_word(content: bytes, rng: Random) -> bytes:
    """A word of the text replaced by another of its words, a number or one that means something."""
    found = list(re.finditer(rb"[\w.-]+", content))
    if not found:
        return insert_word(content, rng)
    one, other = rng.choice(found), rng.choice(found)
    new = rng.choice((other[0], rng.choice(WORDS).encode(), rng.choice(NUMBERS).encode()))
    return content[: one.start()] + new + content[one.end() :]


def change_lines(content: bytes, rng: Random) -> bytes:
    """A line removed, doubled, joined with the next, exchanged with another or cut."""
    lines = content.splitlines(keepends=True)
    if not lines:
        return content
    at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    kind = rng.randrange(6)
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines.insert(other, lines[at])
    elif kind == 2:
        lines[at] = lines[at].rstrip(b"\r\n") + rng.choice((b"", b" "))
    elif kind == 3:
        lines[at], lines[other] = lines[other], lines[at]
    elif kind == 4:
        lines[at] = lines[at][: rng.randrange(len(lines[at]))] + b"\n"
    else:
        lines[at:at] = [lines[at]] * rng.choice((2, 100))
    return b"".join(lines)


BYTES: tuple[Mutation, ...] = (flip_bit, set_byte, cut, zero_fill, splice, remove, set_number, set_number)
TEXT: tuple[Mutation, ...] = (
    replace_number,
    replace_number,
    replace_column,
    insert_word,
    replace_word,
    change_lines,
    change_lines,
)


def claim_sides(content: bytes, rng: Random) -> bytes:
    """An image that claims other sides than it has: MRC, PNG, JPEG and TIFF."""
    width, height = (rng.choice((0, 1, 7, 1000, 32_000, 65_535, 100_000, 199_999)) for _ in range(2))
    if content.startswith(b"\x89PNG"):
        return content[:16] + struct.pack(">II", width, height) + content[24:]
    if content.startswith(b"\xff\xd8"):
        at = max(content.find(b"\xff\xc0"), content.find(b"\xff\xc2"))
        return content[: at + 5] + struct.pack(">HH", height % 65536, width % 65536) + content[at + 9 :] if at > 0 else content
    if content[:2] in (b"II", b"MM"):
        order = "<" if content[:2] == b"II" else ">"
        for tag, value in ((256, width), (257, height)):
            at = content.find(struct.pack(f"{order}HH", tag, 4)), content.find(struct.pack(f"{order}HH", tag, 3))
            if (place := max(at)) > 0:
                content = content[: place + 2] + struct.pack(f"{order}HII", 4, 1, value) + content[place + 12 :]
        return content
    return struct.pack("<ii", width, height) + content[8:]


def _image(content: bytes, rng: Random) -> bytes:
    return rng.choice((claim_sides, set_number, zero_fill, flip_bit))(content, rng)


def _png(content: bytes, rng: Random) -> bytes:
    """A PNG changed and given the right checksums again, so that its reader does not stop there."""
    content = _image(content, rng)
    fixed, at = content[:8], 8
    while at + 12 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        body = content[at + 4 : at + 8 + length]
        fixed += content[at : at + 4] + body + zlib.crc32(body).to_bytes(4, "big")
        at += 12 + length
    return fixed + content[at:]


def _gzip(content: bytes, rng: Random) -> bytes:
    inner = rng.choice((claim_sides, mutate))(gzip.decompress(content), rng)
    return gzip.compress(inner, mtime=0) + (_zeros("gzip") if rng.random() < 0.02 else b"")


def _bzip2(content: bytes, rng: Random) -> bytes:
    inner = rng.choice((claim_sides, mutate))(bz2.decompress(content), rng)
    return bz2.compress(inner) + (_zeros("bzip2") if rng.random() < 0.02 else b"")


@cache
def _zeros(packed_by: str) -> bytes:
    """Some kilobytes that unpack to 2.7 GB of zeros, or with gzip to a tenth of that."""
    return gzip.compress(bytes(1 << 24), mtime=0) * 16 if packed_by == "gzip" else bz2.compress(bytes(1 << 24)) * 160


def _npz(content: bytes, rng: Random) -> bytes:
    """An archive with one entry changed, under the right checksum."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        chosen = rng.choice(old.namelist())
        for name in old.namelist():
            new.writestr(name, mutate(old.read(name), rng) if name == chosen else old.read(name))
    return packed.getvalue()


def _safetensors(content: bytes, rng: Random) -> bytes:
    """A file of weights with another card, or another table of tensors, in a header of the right length."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    if rng.random() < 0.8:
        header["__metadata__"]["cryopick"] = mutate(header["__metadata__"]["cryopick"].encode(), rng).decode("utf-8", "replace")
        text = json.dumps(header).encode()
    else:
        text = mutate(content[8 : 8 + length], rng)
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


INNER: dict[str, Mutation] = {
    **dict.fromkeys((".mrc", ".tif", ".tiff", ".jpg"), _image),
    ".png": _png,
    ".gz": _gzip,
    ".bz2": _bzip2,
    ".npz": _npz,
    ".safetensors": _safetensors,
}
