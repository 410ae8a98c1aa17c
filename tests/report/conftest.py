"""A run on disk with picks, scores and failures chosen by the tests."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from cryopick.display.thumbnails import Thumbnail, make_thumbnail, write_thumbnail
from cryopick.runs.folder import RunFolder
from cryopick.runs.outputs import assemble
from cryopick.runs.records import Outcome, Record, done, file_stems
from cryopick.runs.settings import run_settings
from cryopick.types import Micrograph, Picks

SHAPE = (96, 128)
DIAMETER = 20.0
MakeRun = Callable[..., Path]


@pytest.fixture(scope="session")
def seen() -> Thumbnail:
    """The thumbnail of a micrograph with three dark discs in noise."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    xy = np.array([[30.0, 30.0], [70.0, 40.0], [90.0, 60.0]])
    discs = sum((np.hypot(x - a, y - b) < DIAMETER / 2).astype(np.float32) for a, b in xy)
    pixels = rng.normal(0, 1, SHAPE) - 3 * discs
    return make_thumbnail(Micrograph(pixels, None, "m"), Picks("m", xy, [0.9, 0.8, 0.1], DIAMETER, SHAPE))


@pytest.fixture(scope="session")
def make_run(seen: Thumbnail) -> MakeRun:
    """Write a run of micrographs, `{name: scores}`, None for a failed one; the picks of all lie in the same row."""

    def make(
        path: Path,
        scores: dict[str, list[float] | None],
        *,
        seconds: dict[str, float] | None = None,
        diameter: float | None = None,
        unscored: bool = False,
    ) -> Path:
        folder = RunFolder(path)
        settings = run_settings(diameter=diameter)
        folder.path.mkdir(parents=True)
        folder.prepare(settings)
        stems = file_stems(list(scores))
        outcomes: list[tuple[str, Outcome]] = []
        original = path.parent / "thumbnail.npz"
        write_thumbnail(seen, original)
        folder.thumbnail("").parent.mkdir()
        folder.records.mkdir()
        for stem, (name, values) in zip(stems, scores.items(), strict=True):
            time = (seconds or {}).get(name, 1.0)
            if values is None:
                record = Record(Outcome(name=name, path=name, status="failed", error="is cut <b>short</b>", seconds=time))
            else:
                xy = [(10.0 + 3 * index, 20.0) for index in range(len(values))]
                picks = Picks(name, xy, None if unscored else values, DIAMETER, SHAPE)
                record = done(picks, path=name, seconds=time, files=[], notes=[])
                folder.thumbnail(stem).hardlink_to(original)
            folder.record(stem).write_bytes(msgspec.json.encode(record))  # thousands of them, so not synced to disk
            outcomes.append((stem, record.outcome))
        assemble(folder, outcomes, settings)
        return path

    return make
