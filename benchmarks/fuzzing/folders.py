"""Folders that `benchmarks/fuzz.py` reads: runs and reviews, and what they promise when some of their files are damaged."""

import json
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from cryopick.errors import CryopickError
from cryopick.io.micrographs.sources import find_micrographs
from cryopick.io.picks.formats import write_picks
from cryopick.types import Picks
from fuzzing.targets import SIDE, Accepted, Target, check_sound, expect, make_micrographs

FOREIGN = ("out/.my-settings.json", "out/.backup-20240101", "victim/keep.txt", "victim/deep/keep.json")
"""Files of the user inside and beside a run, which no command may touch."""


def _settings() -> Any:
    from cryopick.runs.settings import run_settings

    return run_settings("log", diameter=32.0, device="cpu", formats=["csv", "box"])


def _make_run(folder: Path) -> None:
    import os

    from cryopick.report.page import write_report
    from cryopick.runs.pick import run_picking

    here = Path.cwd()
    for name in ("run", "reported"):
        place = folder / name
        make_micrographs(place / "micrographs")
        os.chdir(place)
        try:
            run_picking(find_micrographs("micrographs"), Path("out"), _settings())
            if name == "reported":
                write_report(Path("out"))
            Path("particles.expected").write_bytes(Path("out/particles.star").read_bytes())
        finally:
            os.chdir(here)
        for foreign in FOREIGN:
            (place / foreign).parent.mkdir(parents=True, exist_ok=True)
            (place / foreign).write_text("mine\n")


def _read_run(rng: Random) -> None:
    from cryopick.report.page import write_report
    from cryopick.review.load import load_micrographs
    from cryopick.runs.pick import run_picking
    from cryopick.runs.results import read_picks_or_run

    out = Path("out")
    before = {name: Path(name).read_bytes() for name in FOREIGN if Path(name).is_file()}
    if rng.random() < 0.5:
        with suppress(CryopickError):
            check_sound(read_picks_or_run(out))
    if rng.random() < 0.3:
        with suppress(CryopickError):
            check_sound(one.picks for one in load_micrographs(out).micrographs)
    if rng.random() < 0.3:
        with suppress(CryopickError):
            write_report(out)
    try:
        result = run_picking(find_micrographs("micrographs"), out, _settings(), overwrite=rng.random() < 0.3)
        expect(not result.failed, f"micrographs failed: {[one.error for one in result.failed]}")
        same = Path("out/particles.star").read_bytes() == Path("particles.expected").read_bytes()
        expect(same, "other picks than those of an undamaged run")
        check_sound(read_picks_or_run(out))
        with suppress(CryopickError):  # a damaged thumbnail is refused by name
            write_report(out)
    finally:
        touched = [name for name, content in before.items() if not Path(name).is_file() or Path(name).read_bytes() != content]
        if touched:
            raise Accepted(f"files of the user were touched: {', '.join(touched)}")


EDITS: tuple[dict[str, Any], ...] = (
    {"type": "add", "x": 40.0, "y": 50.0},
    {"type": "move", "pick": 0, "x": 25.0, "y": 31.0},
    {"type": "remove", "picks": [1]},
    {"type": "paint", "radius": 6.0, "points": [[70.0, 66.0], [72.0, 67.0]]},
    {"type": "threshold", "value": 0.3},
    {"type": "reviewed", "value": True},
    {"type": "bad", "value": True},
)


def _request(edit: dict[str, Any] | None, number: int, **more: Any) -> bytes:
    return json.dumps({"key": f"key-{number:08}", **({} if edit is None else {"edit": edit}), **more}).encode()


def _make_review(folder: Path) -> None:
    import os

    place, here = folder / "review", Path.cwd()
    make_micrographs(place / "micrographs")
    xy = [[24.0, 30.0], [60.0, 26.0], [30.0, 70.0], [70.0, 66.0]]
    every = [Picks(f"m{number}.mrc", xy, [0.9, 0.2, 0.6, 0.4], 32.0, (SIDE, SIDE), 2.0) for number in (1, 2, 3)]
    write_picks(every, place / "picks.star", format="star")
    (place / "requests").mkdir()
    for number, edit in enumerate(EDITS):
        (place / "requests" / f"{number}.json").write_bytes(_request(edit, number))
    (place / "requests" / "undo.json").write_bytes(_request(None, 99, undo=True, revision=1))
    os.chdir(place)
    try:
        with _open() as review:
            for number, edit in enumerate(EDITS):
                _submit(review, number % 3, _request(edit, 1000 + number))
            _submit(review, 0, _request(None, 2000, undo=True, revision=review.revision(0)))
    finally:
        os.chdir(here)


def _open() -> Any:
    from cryopick.review.load import load_micrographs, review_folder
    from cryopick.review.session import Review

    folder = Path("micrographs")
    return Review(load_micrographs(folder, picks=Path("picks.star")).micrographs, review_folder(folder))


def _submit(review: Any, index: int, body: bytes) -> None:
    from cryopick.review.edits import decode_request

    review.submit(index, decode_request(body))


def _read_review(rng: Random) -> None:
    import msgspec

    from cryopick.review.api import changes, detail, overview
    from cryopick.review.export import write_labels, write_result

    with _open() as review:
        for path in sorted(Path("requests").iterdir()):
            with suppress(CryopickError, msgspec.DecodeError):  # the server answers both with 400
                _submit(review, rng.randrange(3), path.read_bytes())
        kept = [review.result(index) for index in range(3)]
        check_sound(kept)
        for answer in (overview(review, "title"), changes(review, 0), *(detail(review, index) for index in range(3))):
            json.dumps(answer, allow_nan=False)
        with suppress(CryopickError):
            write_result(review, rng.choice(("star", "csv", "relion", "box")))
        with suppress(CryopickError):
            write_labels(review)
    try:
        with _open() as review:
            again = [review.result(index) for index in range(3)]
    except CryopickError as error:
        raise Accepted(f"the review cannot be opened again: {error}") from error
    same = all(one.xy.tolist() == other.xy.tolist() for one, other in zip(kept, again, strict=True))
    expect(same, "other picks when the review is opened again")


FOLDERS = (
    Target("run", _make_run, _read_run, share=2, fixed=("micrographs", "victim", "particles.expected", *FOREIGN[:2])),
    Target("review", _make_review, _read_review, share=2, fixed=("m1.mrc", "m2.mrc", "m3.mrc")),
)
