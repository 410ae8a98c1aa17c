"""The commands that `benchmarks/kill_campaign.py` kills, with small inputs of their own."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.picks.formats import write_picks
from cryopick.types import Picks

SIDE = 64
OUT = "out"
PROGRAM = (sys.executable, "-m", "cryopick")


@dataclass(frozen=True)
class Case:
    """A command whose output does not depend on how often it was killed and started again.

    Attributes
    ----------
    name : for the table.
    words : of the command line, run in the folder that `make` fills; it writes below `OUT`.
    make : writes the inputs.
    workers : whether it has worker processes, one of which may be killed alone.
    joint : patterns of files that are written again and again, and differ until the end.
    program : what the words are given to.
    """

    name: str
    words: tuple[str, ...]
    make: Callable[[Path], None]
    workers: bool = False
    joint: tuple[str, ...] = ()
    program: tuple[str, ...] = PROGRAM

    @property
    def command(self) -> list[str]:
        """The command line."""
        return [*self.program, *self.words]


def make_micrographs(folder: Path, count: int = 24, side: int = SIDE) -> None:
    """Write micrographs of noise with two discs, each at another place."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices((side, side))
    for number in range(count):
        pixels = rng.standard_normal((side, side))
        for x, y in ((16 + number % 8, 16), (44, 40 - number % 5)):
            pixels -= 3 * (np.hypot(columns - x, rows - y) < 6)
        write_micrograph(folder / "raw" / f"m{number:03}.mrc", pixels.astype(np.float32), pixel_size=2.0)


def make_picks(folder: Path) -> None:
    """Write a table of many picks."""
    rng = np.random.default_rng(1)
    every = [
        Picks(f"m{number:03}.mrc", rng.uniform(0, 4000, (300, 2)), rng.uniform(0, 1, 300), 160.0, (4096, 4096), 1.5)
        for number in range(200)
    ]
    write_picks(every, folder / "picks.csv")


def make_noise(folder: Path) -> None:
    """Write a few larger micrographs."""
    make_micrographs(folder, 12, 160)


def _make_nothing(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)


PICKER = ("--picker", "log", "--diameter", "24", "--to", "csv", "--to", "box", "--no-report")
PICKED = (
    "particles.star",
    "micrographs.csv",
    "csv/*",
    "box/*",
    "autopick.star",
    "relion/autopick.star",
    "relion/*.star",
    "records/assembled.txt",
)
WATCH = ("--settle", "0.2", "--poll", "0.1", "--refresh", "0.3", "--until-idle", "1.5", "--workers", "1")
TRAIN = (
    *("width=2", "levels=2", "structures=2", "held_out_structures=2", "held_out_crops=2", "accelerator=cpu", "crop.size=48"),
    *("loop.steps=12", "loop.batch=4", "loop.validate_every=2", "loop.warmup=1", "loop.tensorboard=false"),
)

CASES = {
    case.name: case
    for case in (
        Case("pick", ("pick", "raw", "--out", OUT, *PICKER, "--workers", "1"), make_micrographs, joint=PICKED),
        Case(
            "pick-2",
            ("pick", "raw", "--out", OUT, *PICKER, "--workers", "2"),
            make_micrographs,
            workers=True,
            joint=PICKED,
        ),
        Case("watch", ("watch", "raw", "--out", OUT, *PICKER, *WATCH), make_micrographs, joint=PICKED),
        Case(
            "train",
            ("train", "unet", "--simulate", "--out", OUT, *(word for one in TRAIN for word in ("--set", one))),
            _make_nothing,
            joint=("metrics.csv", "curves.png", "*.ckpt", "*.pt"),
        ),
        Case(
            "simulate",
            ("simulate", "--out", OUT, "-n", "8", "--size", "256", "--pixel-size", "4", "--workers", "2"),
            _make_nothing,
            workers=True,
        ),
        Case("convert", ("convert", "picks.csv", f"{OUT}/picks.star", "--to", "star"), make_picks),
        Case("convert-folder", ("convert", "picks.csv", OUT, "--to", "box", "--box", "64"), make_picks),
        Case("denoise", ("denoise", "raw", "--out", OUT, "--workers", "2"), make_noise, workers=True),
    )
}


def same_content(name: str, content: bytes) -> Any:
    """What must be equal in files of equal runs: all bytes, but the seconds that something took."""
    if name.endswith("micrographs.csv"):
        header, *rows = content.decode().splitlines()
        at = header.split(",").index("seconds") if "seconds" in header else None
        return header, [[cell for number, cell in enumerate(row.split(",")) if number != at] for row in rows]
    if name.startswith("records/") and name.endswith(".json"):
        return _without(json.loads(content), {"seconds", "checksum", "sha256"})
    if name.endswith((".ckpt", ".pt")):
        import io

        import torch

        return _hashable(torch.load(io.BytesIO(content), weights_only=True))
    return content


def _without(value: Any, left_out: set[str]) -> Any:
    if isinstance(value, dict):
        return {key: _without(inner, left_out) for key, inner in value.items() if key not in left_out}
    return [_without(inner, left_out) for inner in value] if isinstance(value, list) else value


def _hashable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _hashable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_hashable(inner) for inner in value]
    return value.numpy().tobytes() if hasattr(value, "numpy") else value


def fault_of(name: str, content: bytes) -> str:
    """Why a file is not whole; "" if it is, or nothing is known about its kind."""
    import io

    try:
        if name.endswith(".star"):
            if not content.endswith(b"\n"):
                return "ends within a line"
        elif name.endswith(".csv"):
            rows = content.decode().splitlines()
            if content and (not content.endswith(b"\n") or len({row.count(",") for row in rows if '"' not in row}) > 1):
                return "ends within a row"
        elif name.endswith(".json"):
            json.loads(content)
        elif name.endswith(".npz"):
            with np.load(io.BytesIO(content)) as stored:
                [stored[key] for key in stored]
        elif name.endswith((".ckpt", ".pt")):
            same_content(name, content)
        elif name.endswith(".png") and not content.rstrip(b"\0").endswith(b"IEND\xaeB`\x82"):
            return "is cut"
        elif not content and not name.endswith((".lock", "lock", ".txt", ".box")):
            return "is empty"
    except Exception as error:
        return f"cannot be read ({type(error).__name__}: {error})"
    return ""
