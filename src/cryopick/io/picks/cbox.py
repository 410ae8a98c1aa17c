"""crYOLO's ``.cbox``: STAR tables with each box's corner, size and confidence, in pixels."""

from pathlib import Path
from typing import ClassVar

import numpy as np

from cryopick.coordinates import Frame
from cryopick.errors import FileError
from cryopick.io.picks.base import FilePerMicrograph, Reading, Writing, placed
from cryopick.io.tables.star import Column, read_star, star_text
from cryopick.types import Picks

FRAME = Frame(anchor="corner", box_centre="middle")

_UNKNOWN = "<NA>"  # crYOLO's placeholder in the columns for tomograms


class Cbox(FilePerMicrograph):
    """Boxes that fit the particle; the estimated sizes are read as diameters."""

    frame: ClassVar[Frame] = FRAME
    suffix: ClassVar[str] = ".cbox"

    def read_one(self, path: Path, written: str, reading: Reading) -> Picks:
        """See `FilePerMicrograph.read_one`."""
        table = read_star(path).get("cryolo")
        if table is None:
            raise FileError(path, "has no block data_cryolo", "Give a .cbox file that crYOLO wrote, or name another format")
        corners, sizes = (
            np.stack([table.numbers(label) for label in labels], axis=1)
            for labels in (("CoordinateX", "CoordinateY"), ("Width", "Height"))
        )
        scored = "Confidence" in table and _UNKNOWN not in table.text("Confidence")
        estimated = "EstWidth" in table and _UNKNOWN not in table.text("EstWidth")
        widths = table.numbers("EstWidth") if estimated else sizes[:, 0]
        return reading.picks(
            path,
            written,
            corners,
            FRAME,
            scores=table.numbers("Confidence") if scored else None,
            diameters_px=widths,
            box=sizes,
        )

    def text(self, picks: Picks, writing: Writing) -> str:
        """See `FilePerMicrograph.text`."""
        count = len(picks)
        sides, unknown = writing.sides(picks), [_UNKNOWN] * count
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
