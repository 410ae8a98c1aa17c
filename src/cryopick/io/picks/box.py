"""EMAN1 ``.box``: integer corner and size, tab separated, rows counted from the first row of the file."""

from pathlib import Path
from typing import ClassVar

import numpy as np

from cryopick.coordinates import Frame
from cryopick.errors import FileError
from cryopick.io.picks.base import Writing, placed
from cryopick.io.picks.per_micrograph import FilePerMicrograph
from cryopick.io.picks.reading import Reading
from cryopick.io.tables.delimited import parse_numbers, read_text
from cryopick.messages import counted
from cryopick.types import Picks

FRAME = Frame(anchor="corner", quantum=1.0)


class EmanBox(FilePerMicrograph):
    """One box per line, its side the diameter or the given box size.

    When reading, the side of boxes of equal size is not used as the diameter, since it is usually larger; boxes of different
    sizes are the particles' diameters.
    """

    frame: ClassVar[Frame] = FRAME
    suffix: ClassVar[str] = ".box"

    def read_one(self, path: Path, written: str, reading: Reading) -> Picks:
        """See `FilePerMicrograph.read_one`."""
        rows = [line.split() for line in read_text(path).splitlines() if line.strip()]
        short = next((number for number, row in enumerate(rows, 1) if len(row) < 4), None)
        if short is not None:
            raise FileError(
                path,
                f"row {short} has {counted(len(rows[short - 1]), 'value')}, not x y width height",
                "Correct or remove that row",
            )
        columns = zip(*(row[:4] for row in rows), strict=True) if rows else [()] * 4
        values = [parse_numbers(path, name, column) for name, column in zip(("x", "y", "width", "height"), columns, strict=True)]
        corners, sizes = np.stack(values[:2], axis=1), np.stack(values[2:], axis=1)
        sides = sizes.mean(axis=1)
        fitted = len(sides) > 0 and np.ptp(sides) > 0
        return reading.picks(path, written, corners, FRAME, diameters_px=sides if fitted else None, box=sizes)

    def text(self, picks: Picks, writing: Writing) -> str:
        """See `FilePerMicrograph.text`."""
        sides = np.round(writing.sides(picks))
        rows = np.column_stack([placed(picks, FRAME, box=sides[:, None]), sides]).tolist()
        return "".join(f"{x:.0f}\t{y:.0f}\t{side:.0f}\t{side:.0f}\n" for x, y, side in rows)
