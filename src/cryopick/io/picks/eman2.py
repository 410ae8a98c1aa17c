"""EMAN2's ``info/NAME_info.json``: centres in pixels with a type each."""

import json
from pathlib import Path
from typing import ClassVar

from cryopick.coordinates import Frame
from cryopick.errors import FileError
from cryopick.io.picks.base import Peek, Writing, placed
from cryopick.io.picks.per_micrograph import FilePerMicrograph
from cryopick.io.picks.reading import Reading, refuse_tomograms
from cryopick.io.tables.delimited import parse_numbers, read_text
from cryopick.types import Picks

FRAME = Frame()


class Eman2Json(FilePerMicrograph):
    """The list `boxes`; other entries of EMAN2 are ignored when reading and not written."""

    frame: ClassVar[Frame] = FRAME
    suffix: ClassVar[str] = "_info.json"
    folder: ClassVar[str] = "info"

    def recognises(self, peek: Peek) -> bool:
        """See `PickFormat.recognises`."""
        return super().recognises(peek) or (bool(peek.entries) and bool(self.files(peek.path)))

    def read_one(self, path: Path, written: str, reading: Reading) -> Picks:
        """See `FilePerMicrograph.read_one`."""
        try:
            info = json.loads(read_text(path))
            boxes = info.get("boxes", [])
            x, y = ([json.dumps(box[axis]).strip('"') for box in boxes] for axis in (0, 1))
            in_tomograms = bool(info.get("boxes_3d"))
        except (ValueError, AttributeError, TypeError, LookupError, RecursionError):
            raise FileError(path, 'is not JSON with "boxes": [[x, y, name], …]', "Export the boxes from EMAN2 again") from None
        if in_tomograms:
            refuse_tomograms(path, "boxes_3d")
        points = zip(parse_numbers(path, "x", x), parse_numbers(path, "y", y), strict=True)
        return reading.picks(path, written, list(points), FRAME)

    def text(self, picks: Picks, writing: Writing) -> str:
        """See `FilePerMicrograph.text`."""
        boxes = ",\n".join(f'  [{x:.3f}, {y:.3f}, "manual"]' for x, y in placed(picks, FRAME).tolist())
        return '{\n "boxes": [' + (f"\n{boxes}\n " if boxes else "") + "]\n}\n"
