"""CryoPPP's CSV of one micrograph: centres and diameters in pixels, rows counted from the last row of the MRC."""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from cryopick.coordinates import Frame
from cryopick.errors import FileError
from cryopick.io.picks.base import Peek, Writing, placed
from cryopick.io.picks.per_micrograph import FilePerMicrograph
from cryopick.io.picks.reading import Reading
from cryopick.io.tables.delimited import NAME_COLUMNS, first_of, parse_numbers, read_delimited
from cryopick.types import Picks

FRAME = Frame(rows="up", quantum=1.0)

_X, _Y, _DIAMETER = "X-Coordinate", "Y-Coordinate", "Diameter"
_ALREADY_FLIPPED = (".jpg", ".jpeg", ".png")


class CryopppCsv(FilePerMicrograph):
    """`X-Coordinate,Y-Coordinate,Diameter`; on CryoPPP's denoised JPEGs, which are flipped, rows are counted from the first."""

    frame: ClassVar[Frame] = FRAME
    suffix: ClassVar[str] = ".csv"

    def recognises(self, peek: Peek) -> bool:
        """See `PickFormat.recognises`."""
        if peek.entries:
            first = next(iter(self.files(peek.path)), None)
            return first is not None and self.recognises(Peek.at(first))
        return _X in peek.head.split("\n", 1)[0]

    def read_one(self, path: Path, written: str, reading: Reading) -> Picks:
        """See `FilePerMicrograph.read_one`."""
        columns = read_delimited(path)
        missing = [name for name in (_X, _Y) if name.lower() not in columns]
        if missing:
            raise FileError(path, f"has no column {', '.join(missing)}", "Give a CSV of CryoPPP, or name another format")
        named = first_of(columns, NAME_COLUMNS)
        if named is not None and len(set(columns[named])) > 1:
            remedy = "Write one file per micrograph, or call the coordinates x and y and count rows from the first"
            raise FileError(path, f"has picks of several micrographs (column {named})", remedy)
        points = np.stack([parse_numbers(path, name, columns[name.lower()]) for name in (_X, _Y)], axis=1)
        diameters = parse_numbers(path, _DIAMETER, columns.get(_DIAMETER.lower(), []))
        source = reading.known.find(written)
        return reading.picks(
            path,
            written,
            points,
            _frame_of(written if source is None else source.name),
            diameters_px=diameters if _DIAMETER.lower() in columns else None,
        )

    def text(self, picks: Picks, writing: Writing) -> str:
        """See `FilePerMicrograph.text`."""
        points = placed(picks, _frame_of(picks.micrograph)).astype(np.int64).tolist()
        if picks.diameter_px is None:
            return f"{_X},{_Y}\n" + "".join(f"{x},{y}\n" for x, y in points)
        diameters = [picks.diameter_px] * len(picks) if picks.diameters_px is None else picks.diameters_px.tolist()
        rows = (f"{x},{y},{round(diameter)}\n" for (x, y), diameter in zip(points, diameters, strict=True))
        return f"{_X},{_Y},{_DIAMETER}\n" + "".join(rows)


def _frame_of(name: str) -> Frame:
    return replace(FRAME, rows="down") if name.lower().endswith(_ALREADY_FLIPPED) else FRAME
