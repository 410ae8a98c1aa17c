"""Topaz's tab-separated table: centres in pixels of the downsampled micrograph, names without extension, scores."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from cryopick.coordinates import Frame, PixelMap
from cryopick.errors import CryopickError, FileError
from cryopick.io.names import stem
from cryopick.io.picks.base import Peek, UniqueNames, Writing, in_a_row, placed, split_by_name, text_file
from cryopick.io.picks.reading import Reading, refuse_tomograms
from cryopick.io.tables.delimited import parse_numbers, read_delimited
from cryopick.types import Picks

FRAME = Frame(quantum=1.0)  # Topaz truncates decimals


class Topaz:
    """`image_name x_coord y_coord score`; Topaz downsamples by Fourier cropping, and its scores are log-likelihood ratios."""

    frame: ClassVar[Frame] = FRAME
    suffix: ClassVar[str] = ".txt"
    single: ClassVar[bool] = True

    def recognises(self, peek: Peek) -> bool:
        """See `PickFormat.recognises`."""
        return peek.head.lstrip("\ufeff \t\r\n").startswith(("image_name\t", "image_name "))

    def read(self, path: Path, reading: Reading) -> list[Picks]:
        """See `PickFormat.read`."""
        columns = read_delimited(path, "\t, ")
        missing = [name for name in ("image_name", "x_coord", "y_coord") if name not in columns]
        if missing:
            raise FileError(path, f"has no column {', '.join(missing)}", "Give a table that Topaz wrote, or name another format")
        if "z_coord" in columns:
            refuse_tomograms(path, "z_coord", parse_numbers(path, "z_coord", columns["z_coord"]))
        points = np.stack([parse_numbers(path, name, columns[name]) for name in ("x_coord", "y_coord")], axis=1)
        scores = parse_numbers(path, "score", columns["score"]) if "score" in columns else None
        return [
            reading.picks(path, name, points[rows], FRAME, scores=None if scores is None else scores[rows])
            for name, rows in split_by_name(path, columns["image_name"]).items()
        ]

    def write(self, picks: Iterable[Picks], path: Path, writing: Writing) -> None:
        """See `PickFormat.write`."""
        shrink = PixelMap.fourier_crop((writing.downsample, writing.downsample))
        scored: bool | None = None
        names = UniqueNames(path, stem)
        with text_file(path) as file:
            for each in picks:
                if scored is None:
                    scored = each.scores is not None
                    file.write(_header(scored))
                if scored != (each.scores is not None):
                    raise CryopickError(f"{each.micrograph}: some micrographs have scores and others none; use different files")
                points = placed(replace(each, xy=shrink.from_home(each.xy)), FRAME).astype(np.int64).tolist()
                scores = [""] * len(each) if each.scores is None else [f"\t{score:.6f}" for score in each.scores.tolist()]
                name = in_a_row(names.add(each.micrograph))
                file.write("".join(f"{name}\t{x}\t{y}{score}\n" for (x, y), score in zip(points, scores, strict=True)))
            if scored is None:
                file.write(_header(True))


def _header(scored: bool) -> str:
    return "image_name\tx_coord\ty_coord" + ("\tscore\n" if scored else "\n")
