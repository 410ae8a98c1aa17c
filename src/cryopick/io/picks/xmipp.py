"""Xmipp's ``.pos``: centres in pixels, in a STAR table `data_particles` with `_xcoor` and `_ycoor`."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from cryopick.coordinates import Frame
from cryopick.errors import FileError
from cryopick.io.picks.base import FilePerMicrograph, Reading, Writing, placed
from cryopick.io.tables.star import read_star, star_text
from cryopick.types import Picks

FRAME = Frame(quantum=1.0)  # Xmipp holds these columns as integers


class XmippPos(FilePerMicrograph):
    """`_cost` is the score; particles that are disabled (`_enabled -1`) are skipped."""

    frame: ClassVar[Frame] = FRAME
    suffix: ClassVar[str] = ".pos"

    def read_one(self, path: Path, written: str, reading: Reading) -> Picks:
        """See `FilePerMicrograph.read_one`."""
        table = next((table for table in read_star(path).values() if "xcoor" in table), None)
        if table is None:
            raise FileError(path, "has no table with _xcoor and _ycoor", "Give a .pos file that Xmipp wrote")
        points = np.stack([table.numbers("xcoor"), table.numbers("ycoor")], axis=1)
        picks = reading.picks(path, written, points, FRAME, scores=table.numbers("cost") if "cost" in table else None)
        return picks[table.numbers("enabled") > 0] if "enabled" in table else picks

    def text(self, picks: Picks, writing: Writing) -> str:
        """See `FilePerMicrograph.text`."""
        points = placed(picks, FRAME).astype(np.int64)
        table: dict[str, NDArray[Any]] = {"enabled": np.ones(len(picks), np.int64), "xcoor": points[:, 0], "ycoor": points[:, 1]}
        if picks.scores is not None:
            table["cost"] = picks.scores
        return "# XMIPP_STAR_1 *\n" + star_text({"particles": table})
