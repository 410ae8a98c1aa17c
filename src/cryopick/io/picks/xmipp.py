"""Xmipp's ``.pos``: centres in pixels, in a STAR table `data_particles` with `_xcoor` and `_ycoor`."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from cryopick.coordinates import Frame
from cryopick.errors import FileError
from cryopick.io.picks.base import Writing, placed, split_by_name
from cryopick.io.picks.per_micrograph import FilePerMicrograph
from cryopick.io.picks.reading import Reading, refuse_tomograms
from cryopick.io.tables.star import only_table, read_star, star_text
from cryopick.types import Picks

FRAME = Frame(quantum=1.0)  # Xmipp holds these columns as integers


class XmippPos(FilePerMicrograph):
    """`_cost` is the score; particles that are disabled (`_enabled -1`) are skipped.

    A file that names the micrograph of each particle (`_micrograph`) may hold several.
    """

    frame: ClassVar[Frame] = FRAME
    suffix: ClassVar[str] = ".pos"

    def read_one(self, path: Path, written: str, reading: Reading) -> Picks | list[Picks]:
        """See `FilePerMicrograph.read_one`."""
        table = only_table(path, read_star(path), "xcoor")
        if table is None:
            raise FileError(path, "has no table with _xcoor and _ycoor", "Give a .pos file that Xmipp wrote")
        if "zcoor" in table:
            refuse_tomograms(path, "_zcoor", table.numbers("zcoor"))
        enabled = np.flatnonzero(table.numbers("enabled") > 0) if "enabled" in table else np.arange(len(table))
        points = np.stack([table.numbers("xcoor"), table.numbers("ycoor")], axis=1)
        scores = table.numbers("cost") if "cost" in table else None
        groups = {written: np.arange(len(table))}
        if "micrograph" in table:
            groups = split_by_name(path, table.text("micrograph"))
        elif "micrographId" in table and len(set(table.text("micrographId"))) > 1:
            found = "has particles of several micrographs (_micrographId) without their names (_micrograph)"
            raise FileError(path, found, "Export one .pos file for each micrograph")
        chosen = {name: rows[np.isin(rows, enabled)] for name, rows in groups.items()}
        return [
            reading.picks(path, name, points[rows], FRAME, scores=None if scores is None else scores[rows])
            for name, rows in chosen.items()
        ]

    def text(self, picks: Picks, writing: Writing) -> str:
        """See `FilePerMicrograph.text`."""
        points = placed(picks, FRAME).astype(np.int64)
        table: dict[str, NDArray[Any]] = {"enabled": np.ones(len(picks), np.int64), "xcoor": points[:, 0], "ycoor": points[:, 1]}
        if picks.scores is not None:
            table["cost"] = picks.scores
        return "# XMIPP_STAR_1 *\n" + star_text({"particles": table})
