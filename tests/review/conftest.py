"""Small micrographs with picks, a review of them, and its server in a thread."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import uvicorn

from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.picks.formats import write_picks
from cryopick.review.load import load_micrographs, review_folder
from cryopick.review.server import Server, listen, server_config
from cryopick.review.session import Review
from cryopick.types import Picks

TOKEN = "a-token-of-the-tests"
SHAPE = (400, 600)
XY = [(100.0, 80.0), (200.0, 80.0), (300.0, 80.0), (100.0, 300.0), (500.0, 300.0)]
SCORES = [0.1, 0.3, 0.5, 0.7, 0.9]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three micrographs of 400 rows and 600 columns, 2 Å per pixel, with the same five picks of 80 Å on each."""
    return make_folder(tmp_path / "mics", ["a.mrc", "b.mrc", "c.mrc"])


def make_folder(place: Path, names: list[str]) -> Path:
    noise = np.random.default_rng(3).normal(size=SHAPE).astype(np.float32)
    for name in names:
        write_micrograph(place / name, noise, pixel_size=2.0)
    write_picks([Picks(name, XY, SCORES, 80.0, SHAPE, 2.0) for name in names], place / "picks.star")
    return place


@pytest.fixture
def open_review(folder: Path) -> Iterator[Callable[[], Review]]:
    """Open the review of the folder; an earlier one must be closed first."""
    opened: list[Review] = []

    def open_one() -> Review:
        micrographs = load_micrographs(folder, picks=folder / "picks.star").micrographs
        opened.append(Review(micrographs, review_folder(folder)))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


@pytest.fixture
def review(open_review: Callable[[], Review]) -> Review:
    return open_review()


@pytest.fixture
def serve() -> Iterator[Callable[[Server], str]]:
    """Serve on a free port in a thread and return the address with the token."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(server: Server) -> str:
        listener = listen(0)
        engine = uvicorn.Server(server_config(server.app(TOKEN)))
        thread = threading.Thread(target=engine.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        running.append((engine, thread))
        while not engine.started:
            time.sleep(0.01)
        return f"http://127.0.0.1:{listener.getsockname()[1]}/?token={TOKEN}"

    yield start
    for engine, thread in running:
        engine.should_exit = engine.force_exit = True
        thread.join(timeout=10)
