"""crYOLO's ``.cbox``: STAR tables with each box's corner, size and confidence, in pixels."""

import logging
import re
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryopick.coordinates import Frame
from cryopick.errors import FileError
from cryopick.io.picks.base import Writing, placed
from cryopick.io.picks.per_micrograph import FilePerMicrograph
from cryopick.io.picks.reading import Reading, refuse_tomograms
from cryopick.io.tables.delimited import parse_numbers, read_text
from cryopick.io.tables.star import Column, StarTable, read_star, star_text
from cryopick.types import Picks

logger = logging.getLogger(__name__)

FRAME = Frame(anchor="corner", box_centre="middle")

_NA = "<NA>"
_UNKNOWN = {_NA, "nan", "None"}
"""crYOLO's placeholders, in columns for tomograms and in scores and sizes of boxes drawn by hand."""


class Cbox(FilePerMicrograph):
    """Boxes that fit the particle; the estimated sizes are read as diameters."""

    frame: ClassVar[Frame] = FRAME
    suffix: ClassVar[str] = ".cbox"

    def read_one(self, path: Path, written: str, reading: Reading) -> Picks:
        """See `FilePerMicrograph.read_one`."""
        if _is_old(path):
            remedy = "Save it again with crYOLO 1.8 or later, or read its boxes without scores with --from box"
            raise FileError(path, "is a .cbox of crYOLO before version 1.8, numbers without labels", remedy)
        tables = read_star(path)
        table = tables.get("cryolo")
        if table is None:
            raise FileError(path, "has no block data_cryolo", "Give a .cbox file that crYOLO wrote, or name another format")
        corners, sizes = (
            np.stack([table.numbers(label) for label in labels], axis=1)
            for labels in (("CoordinateX", "CoordinateY"), ("Width", "Height"))
        )
        for column in ("CoordinateZ", "Depth"):
            refuse_tomograms(path, f"_{column}", _known(path, table, column, 0.0))
        slices = tables.get("cryolo_include")
        refuse_tomograms(path, "_slice_index", 0.0 if slices is None else len(slices))
        confidences = table.text("Confidence") if "Confidence" in table else []
        unknown = sum(value in _UNKNOWN for value in confidences)
        if 0 < unknown < len(confidences):
            logger.warning("%s: %d of %d boxes have no confidence; 1 is used", path, unknown, len(confidences))
        return reading.picks(
            path,
            written,
            corners,
            FRAME,
            scores=_known(path, table, "Confidence", 1.0) if unknown < len(confidences) else None,
            diameters_px=_known(path, table, "EstWidth", sizes[:, 0]),
            box=sizes,
        )

    def text(self, picks: Picks, writing: Writing) -> str:
        """See `FilePerMicrograph.text`."""
        count = len(picks)
        sides, unknown = writing.sides(picks), [_NA] * count
        corners = placed(picks, FRAME, box=sides[:, None])
        boxes: dict[str, Column] = {
            "CoordinateX": corners[:, 0],
            "CoordinateY": corners[:, 1],
            "CoordinateZ": unknown,
            "Width": sides,
            "Height": sides,
            "Depth": unknown,
            "EstWidth": sides,
            "EstHeight": sides,
            "Confidence": unknown if picks.scores is None else picks.scores,
            "NumBoxes": unknown,
            "Angle": unknown,
        }
        return "data_global\n\n_cbox_format_version 1.0\n" + star_text({"cryolo": boxes, "cryolo_include": {"slice_index": []}})


def _known(path: Path, table: StarTable, column: str, unknown: ArrayLike) -> NDArray[np.float64]:
    """Return a column's numbers; `unknown` replaces those that the file lacks, or all if there is no such column."""
    numbers = np.broadcast_to(np.asarray(unknown, np.float64), len(table)).copy()
    if column in table:
        values = table.text(column)
        given = np.array([value not in _UNKNOWN for value in values], bool)
        found = parse_numbers(path, f"_{column}", [value if value not in _UNKNOWN else "0" for value in values])
        numbers[given] = found[given]
    return numbers


def _is_old(path: Path) -> bool:
    """Return whether a file has rows of numbers only."""
    first = next((line.split() for line in read_text(path)[:1000].splitlines() if line.strip()), [])
    return len(first) > 1 and all(re.fullmatch(r"-?[0-9.]+(e[-+]?[0-9]+)?", word, re.IGNORECASE) for word in first)
