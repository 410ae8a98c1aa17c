"""STAR text as RELION reads it: blocks with loops, one row per line, its values separated by blanks.

Words are special only at the start of a line outside a loop's rows: values may begin with `data_`, `save_`, `$`, `_` or a quote.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryopick.messages import counted

_SINGLE, _DOUBLE = rb"""'[^'\n]*(?:'(?=\S)[^'\n]*)*'(?!\S)""", rb"""\"[^"\n]*(?:"(?=\S)[^"\n]*)*"(?!\S)"""
_WORD = re.compile(rb"%b|%b|#[^\n]*|\S+" % (_SINGLE, _DOUBLE))
_SPECIAL = re.compile(rb"""['"#](?<!\S.)(?:(?<=')%b|(?<=")%b|(?<=#)[^\n]*)""" % (_SINGLE[1:], _DOUBLE[2:]), re.DOTALL)
"""A whole quoted value or a comment among rows, written for a fast search."""
_ROWS_END = re.compile(rb"\n[ \t\r]*(?:(?:data_\S*|loop_|stop_|global_)[ \t\r]*(?:#[^\n]*)?(?=\n|\Z)|\n[ \t\r]*_)", re.IGNORECASE)
_MAY_BEGIN_LABELS = frozenset([b"", *(bytes([byte]) for byte in b"_lL# \t\r\n")])
_STAND_INS = bytes([*range(1, 9), *range(14, 32)])
"""Bytes that do not occur in text; they replace the blanks of quoted values, and empty values, while rows are split."""
_BLANKS = b" \t\r\x0b\x0c"
_COUNT = 1 + len(_BLANKS)


class StarSyntaxError(Exception):
    """The error in the text, and its place."""


class StarRowError(StarSyntaxError):
    """Raised for a row with too few or too many values."""


@dataclass(eq=False)
class Loop:
    """Labels, line number and values of a loop; or label–value pairs as a row, on line 0."""

    line: int
    labels: list[str] = field(default_factory=list)
    cells: list[bytes] = field(default_factory=list)
    stand_ins: bytes = b""

    def __len__(self) -> int:
        return len(self.cells) // len(self.labels) if self.labels else 0

    def raw(self, label: str) -> list[bytes]:
        """Return the words of one column, with stand-ins for the blanks of quoted values."""
        return self.cells[self.labels.index(label) :: len(self.labels)]

    def column(self, label: str) -> list[str]:
        """Return the values of one column, without quotes; bytes that are not UTF-8 become surrogates."""
        values = self.raw(label)
        if not values:
            return []
        text = b"\n".join(values)
        if self.stand_ins:
            text = text.translate(bytes.maketrans(self.stand_ins[1:], _BLANKS), self.stand_ins[:1])
        return text.decode("utf-8", "surrogateescape").split("\n")


@dataclass(eq=False)
class Block:
    """A data block: its name without `data_`, the number of its first line, and its loops; pairs are one loop."""

    name: str
    line: int
    loops: list[Loop] = field(default_factory=list)


def parse_blocks(content: bytes) -> list[Block]:
    """Parse the data blocks in their order. Raises `StarSyntaxError`, which names the line or row."""
    return _Parser(content if b"\n" in content else content.replace(b"\r", b"\n")).blocks()


class _Parser:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0
        self._counted = (0, 1)

    def blocks(self) -> list[Block]:
        found: list[Block] = []
        while (words := self._words()) is not None:
            start, parts = words
            first = parts[0].lower()
            if first.startswith(b"data_") and len(parts) == 1:
                found.append(Block(_text(parts[0][5:]), self._line(start)))
            elif first == b"stop_":
                continue
            elif not found or not (first == b"loop_" or first.startswith(b"_")):
                raise StarSyntaxError(f"line {self._line(start)}: {_shown(parts)} is neither a block, a loop nor a label")
            elif first == b"loop_":
                found[-1].loops.append(self._loop(start, parts[1:], found[-1].name))
            else:
                self._pair(start, parts, found[-1])
        return found

    def _words(self) -> tuple[int, list[bytes]] | None:
        """Return the words of the next line that has any, and where the line starts; None at the end."""
        while self._at < len(self._content):
            start, line = self._at, self._take_line()
            if parts := _split(line):
                return start, parts
        return None

    def _take_line(self) -> bytes:
        end = self._content.find(b"\n", self._at)
        end = len(self._content) if end < 0 else end
        line = self._content[self._at : end]
        self._at = end + 1
        return line

    def _line(self, place: int) -> int:
        """Return the number of the line at a place, from 1."""
        before, number = self._counted
        if place < before:
            before, number = 0, 1
        self._counted = (place, number + self._content.count(b"\n", before, place))
        return self._counted[1]

    def _pair(self, start: int, parts: list[bytes], block: Block) -> None:
        label, values = _text(parts[0][1:]), parts[1:]
        if block.loops and block.loops[-1].line:
            raise StarSyntaxError(f"line {self._line(start)}: _{label} comes after the rows of a loop; rows cannot begin with _")
        if len(values) != 1:
            found = f"line {self._line(start)}: _{label} has {counted(len(values), 'value')} instead of one"
            raise StarSyntaxError(f"{found}; text with blanks needs quotes" if values else found)
        if not block.loops:
            block.loops.append(Loop(0, stand_ins=_STAND_INS[:_COUNT]))
        block.loops[0].labels.append(label)
        block.loops[0].cells.append(_Words(_STAND_INS[:_COUNT])[values[0]])

    def _loop(self, start: int, parts: list[bytes], block: str) -> Loop:
        loop = Loop(self._line(start), [_text(part[1:]) for part in parts])
        numbered = True
        while True:
            place = self._at
            words = self._words()
            if words is None:
                return loop
            here, parts = words
            with_number = b"#" in self._content[here : self._at]
            alone = len(parts) == 1 and not (loop.labels and numbered and not with_number)
            several = len(parts) > 1 and len(parts) != len(loop.labels)
            if not (all(part.startswith(b"_") for part in parts) and (alone or several)):
                break
            numbered = numbered and with_number
            loop.labels += [_text(part[1:]) for part in parts]
        self._at = place
        if not loop.labels:
            raise StarSyntaxError(f"line {self._line(start)}: the loop has no labels")
        self._rows(loop, block)
        return loop

    def _rows(self, loop: Loop, block: str) -> None:
        start, end = self._at, self._end_of_rows(len(loop.labels))
        body = self._content[start:end]
        self._at = end
        if b"'" in body or b'"' in body or b"#" in body:
            loop.stand_ins = bytes(byte for byte in _STAND_INS if byte not in body)[:_COUNT]
            if len(loop.stand_ins) < _COUNT:
                raise StarSyntaxError(f"line {loop.line}: the loop has bytes that are not text")
            words = _Words(loop.stand_ins)
            body = _SPECIAL.sub(lambda match: words[match[0]], body)
        counts = list(map(len, map(bytes.split, body.split(b"\n"))))
        if not set(counts) <= {0, len(loop.labels)}:
            index = next(index for index, count in enumerate(counts) if count not in (0, len(loop.labels)))
            row, line = sum(map(bool, counts[:index])) + 1, self._line(start) + index
            values = counted(counts[index], "value")
            found = f"row {row} of data_{block} (line {line}) has {values}, its loop has {counted(len(loop.labels), 'column')}"
            raise StarRowError(found)
        loop.cells = body.split()

    def _end_of_rows(self, columns: int) -> int:
        """Return the end of the loop that has its first row here."""
        start = self._at
        for match in _ROWS_END.finditer(self._content, start - 1):
            if columns > 1 or not match[0].lstrip().lower().startswith(b"data_") or self._is_header(match, start):
                return match.start() + 1
        return len(self._content)

    def _is_header(self, match: re.Match[bytes], start: int) -> bool:
        """Return whether `data_…` among rows of one value is a block: labels follow, or it comes after rows and a blank line."""
        if self._content[match.end() + 1 : match.end() + 2] in _MAY_BEGIN_LABELS and self._labels_follow(match.end() + 1):
            return True
        before = self._content[self._content.rfind(b"\n", 0, match.start()) + 1 : match.start()]
        return match.start() > start and not before.strip() and bool(self._content[start : match.start()].strip())

    def _labels_follow(self, place: int) -> bool:
        """Return whether the next line with content begins a loop or has a label."""
        self._at, at = place, self._at
        words = self._words()
        self._at = at
        return words is not None and words[1][0].lower().startswith((b"_", b"loop_"))


def _split(line: bytes) -> list[bytes]:
    """Split a line into words, including quotes but not comments."""
    if not (b"'" in line or b'"' in line or b"#" in line):
        return line.split()
    return [word for word in _WORD.findall(line) if not word.startswith(b"#")]


class _Words(dict[bytes, bytes]):
    """Map from words in quotes to single words without them, and from comments to nothing."""

    def __init__(self, stand_ins: bytes) -> None:
        self._empty, self._table = stand_ins[:1], bytes.maketrans(_BLANKS, stand_ins[1:])

    def __missing__(self, value: bytes) -> bytes:
        word = value
        if value.startswith(b"#"):
            word = b""
        elif len(value) > 1 and value[:1] in (b"'", b'"') and value.endswith(value[:1]):
            word = value[1:-1].translate(self._table) or self._empty
        self[value] = word
        return word


def _text(word: bytes) -> str:
    return word.decode("utf-8", "surrogateescape")


def _shown(parts: Sequence[bytes]) -> str:
    return repr(b" ".join(parts)[:40].decode("utf-8", "replace"))
