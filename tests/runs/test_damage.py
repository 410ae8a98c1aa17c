"""Damaged run folders: a micrograph is picked again or the file is refused by name, and no file of others is touched."""

import os
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
import stub_pickers
from stub_pickers import SETTINGS

from cryopick.errors import CryopickError, FileError, SettingError
from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.micrographs.sources import MicrographSource, find_micrographs
from cryopick.io.picks.formats import read_picks
from cryopick.parallel import pool
from cryopick.report.page import write_report
from cryopick.review.load import load_micrographs
from cryopick.runs.folder import RunFolder
from cryopick.runs.pick import RunResult, run_picking
from cryopick.runs.records import read_outcome, read_record
from cryopick.runs.results import read_picks_or_run, read_table, run_picks
from cryopick.runs.watch import Pace, watch_folder
from cryopick.types import Picks

OUT = Path("out")
LEFT = ".cryopick-tmp-0123abcd-0123456789ab"
"""Begins the name of a temporary file, of a writer on another machine."""
MEASURED = msgspec.structs.replace(SETTINGS, settings={"measure": True})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three micrographs and a finished run of them, whose diameter was estimated."""
    place = tmp_path_factory.mktemp("finished")
    rng = np.random.default_rng(1)
    for index in range(3):
        write_micrograph(place / "mics" / f"m{index}.mrc", rng.normal(size=(64, 96)).astype(np.float32), pixel_size=2.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        pick()
    return place


@pytest.fixture
def place(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which is the current folder."""
    shutil.copytree(finished, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


def pick(**options) -> RunResult:
    return run_picking(find_micrographs(["mics"]), OUT, options.pop("settings", MEASURED), build=stub_pickers.build, **options)


def points(found: list[Picks]) -> dict[str, list[list[float]]]:
    return {picks.micrograph: picks.xy.tolist() for picks in found}


def flips(content: bytes, *, every: int) -> list[bytes]:
    """The content with one bit changed, for every so many bits."""
    changed = []
    for bit in range(0, 8 * len(content), every):
        copy = bytearray(content)
        copy[bit // 8] ^= 1 << bit % 8
        changed.append(bytes(copy))
    return changed


def test_temporary_files_of_killed_writers_are_never_results(place):
    expected = points(run_picks(OUT))
    record = (OUT / "records" / "m0.json").read_bytes()
    for name in (f"{LEFT}.json", ".m0-1a2b3c4d.json"):  # the second as earlier versions named them
        (OUT / "records" / name).write_bytes(record)
    (OUT / "records" / f"{LEFT[:-1]}c.json").write_bytes(record[:100])
    (OUT / "records" / ".m1-1a2b3c4d.json").write_bytes(record[:100])
    for name in (f"{LEFT}.csv", ".particles-1a2b3c4d.csv"):
        shutil.copy(OUT / "csv" / "particles.csv", OUT / "csv" / name)
    assert points(run_picks(OUT)) == expected
    assert len(load_micrographs(OUT).micrographs) == 3
    assert sum(map(len, read_picks(OUT / "csv"))) == 21
    assert write_report(OUT).read_text().count('"name":"m0.mrc"') == 1
    assert pick().excluded == 0


def test_a_hidden_micrograph_has_a_record_like_any_other(place):
    (place / "mics" / "m0.mrc").rename(place / "mics" / ".x-12345678.mrc")
    sources = [MicrographSource(place / "mics" / ".x-12345678.mrc", ".x-12345678.mrc")]
    run_picking(sources, Path("hidden"), MEASURED, build=stub_pickers.build)
    assert list(points(run_picks(Path("hidden")))) == [".x-12345678.mrc"]


def test_shards_remove_what_killed_runs_left_and_the_joint_files_are_complete(place):
    from cryopick.runs.shards import Shard

    (OUT / "records" / f"{LEFT}.json").write_bytes((OUT / "records" / "m0.json").read_bytes())
    (OUT / "particles.star").unlink()
    assert pick(shard=Shard(1, 2)).assembled
    assert not list(OUT.rglob(".cryopick-tmp-*"))


def test_every_changed_bit_of_a_record_is_found_and_the_micrograph_is_picked_again(place):
    path = OUT / "records" / "m1.json"
    content, expected = path.read_bytes(), msgspec.structs.asdict(read_record(path))
    unnoticed = 0
    for changed in flips(content, every=7):
        path.write_bytes(changed)
        if read_outcome(path) is None:
            with pytest.raises(FileError, match=r"m1\.json: is damaged"):
                read_record(path)
        else:  # a bit of the word "checksum" itself
            assert msgspec.structs.asdict(read_record(path)) == expected
            unnoticed += 1
    assert unnoticed < 30
    star = (OUT / "particles.star").read_bytes()
    path.write_bytes(content.replace(b".33333", b".43333", 1))
    assert pick().finished_before == 2
    assert (OUT / "particles.star").read_bytes() == star


def test_a_record_without_a_checksum_as_earlier_versions_wrote_is_read(place):
    expected = points(run_picks(OUT))
    for path in (OUT / "records").glob("m*.json"):
        path.write_bytes(b"{" + path.read_bytes().partition(b",")[2])
    assert points(run_picks(OUT)) == expected
    assert pick().finished_before == 3


DAMAGED_RECORDS = {
    "empty": b"",
    "zeros": bytes(1000),
    "bad UTF-8": b'{"outcome":{"name":"m1\xff.mrc","path":"x"}}',
    "deep": b'{"outcome":' + b"[" * 100_000,
    "deep and unknown": b'{"outcome":{"name":"m1.mrc","path":"x","status":"done"},"more":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "list": b"[1]",
    "types": b'{"outcome":{"name":1,"path":"x"}}',
    "huge": b'{"outcome":{"name":"m1.mrc","path":"x","status":"done","picks":' + b"9" * 5000 + b"}}",
    "infinite": b'{"outcome":{"name":"m1.mrc","path":"x","status":"done","picks":1},"xy":[[1e999,1]]}',
    "lengths": b'{"outcome":{"name":"m1.mrc","path":"x","status":"done","picks":1},"xy":[[1,1]],"scores":[1,2]}',
    "number": b'{"outcome":{"name":"m1.mrc","path":"x","status":"done","picks":3},"xy":[[1,1]]}',
    "size": b'{"outcome":{"name":"m1.mrc","path":"x","status":"done","picks":0,"pixel_size":-1}}',
    "NUL": b'{"outcome":{"name":"m1.mrc","path":"x\\u0000","status":"done","picks":0}}',
    "outside": b'{"outcome":{"name":"m1.mrc","path":"x","status":"done","picks":0,"files":["../mine.txt"]}}',
}


@pytest.mark.parametrize("kind", DAMAGED_RECORDS)
def test_a_damaged_record_is_refused_by_name_and_its_micrograph_picked_again(place, kind):
    star = (OUT / "particles.star").read_bytes()
    (OUT / "records" / "m1.json").write_bytes(DAMAGED_RECORDS[kind])
    if kind != "deep and unknown":  # what is unknown is skipped
        with pytest.raises(FileError, match=r"m1\.json: is damaged"):
            run_picks(OUT)
        with pytest.raises(FileError, match=r"m1\.json: is damaged"):
            write_report(OUT)
    assert pick().finished_before == 2
    assert (OUT / "particles.star").read_bytes() == star


def test_a_record_that_is_a_folder_is_refused_by_name(place):
    (OUT / "records" / "m1.json").unlink()
    (OUT / "records" / "m1.json").mkdir()
    with pytest.raises(FileError, match=r"m1\.json: cannot be read"):
        pick()
    with pytest.raises(FileError, match=r"micrographs\.csv: says that m1\.mrc was picked, but there is no record"):
        run_picks(OUT)


def test_every_changed_bit_of_the_settings_is_refused_or_harmless(place):
    path = OUT / "run.yaml"
    content, folder = path.read_bytes(), RunFolder(OUT)
    refused, expected = 0, read_estimate()
    for changed in flips(content, every=5):
        path.write_bytes(changed)
        try:
            with folder.in_use():
                folder.prepare(MEASURED)
        except CryopickError as error:
            refused += "out" in str(error)
        else:
            path.write_bytes(changed)
            assert read_estimate() == expected
    assert refused > 0.9 * len(flips(content, every=5))


def read_estimate() -> float:
    from cryopick.runs.estimate import with_recorded_estimate

    estimate = with_recorded_estimate(RunFolder(OUT), MEASURED).estimate
    assert estimate is not None
    return estimate.diameter


HEADER = "# Written by cryopick pick. A later run must have the same settings to resume this one.\n"
BOMB = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]\n" for a, b in zip("abcdefghijk", "bcdefghijkl", strict=True)
)
DAMAGED_SETTINGS = {
    "empty": b"",
    "header alone": HEADER.encode(),
    "zeros": bytes(500),
    "bad UTF-8": HEADER.encode() + b"cryopick: 0.1\npick: {picker: st\xffub}\n",
    "list": HEADER.encode() + b"- 1\n",
    "word": HEADER.encode() + b"pick\n",
    "types": HEADER.encode() + b"cryopick: 0.1\npick: [1]\nversions: 3\n",
    "no picker": HEADER.encode() + b"cryopick: 0.1\npick: {picker: [stub], settings: 3}\n",
    "settings": HEADER.encode() + b"cryopick: 0.1\npick: {picker: stub, settings: word}\n",
    "keys": HEADER.encode() + b"cryopick: 0.1\npick: {picker: stub, 1: 2, [a]: 3}\n",
    "estimate": HEADER.encode() + b"cryopick: 0.1\npick: {picker: stub, settings: {}, estimate: {diameter: .nan}}\n",
    "date": HEADER.encode() + b"cryopick: 0.1\npick: {picker: stub, seed: 2001-99-99}\n",
    "number": HEADER.encode() + b"cryopick: 0.1\npick: {picker: stub, seed: 0x_}\n",
    "deep": HEADER.encode() + b"cryopick: 0.1\npick: {picker: " + b"[" * 3000 + b"]" * 3000 + b"}\n",
    "bomb": f"{HEADER}cryopick: 0.1\npick:\n  picker: stub\n{BOMB}".encode(),
    "itself": HEADER.encode() + b"cryopick: 0.1\npick: &a {picker: stub, settings: *a}\n",
    "another program's": b"of: another program\n",
}


@pytest.mark.parametrize("kind", DAMAGED_SETTINGS)
def test_damaged_settings_are_refused_by_name_unless_the_run_starts_afresh(place, kind):
    star = (OUT / "particles.star").read_bytes()
    (OUT / "run.yaml").write_bytes(DAMAGED_SETTINGS[kind])
    with pytest.raises(CryopickError, match=r"out/run\.yaml: |^out ") as error:
        pick()
    assert "--overwrite" in str(error.value)
    assert "Traceback" not in str(error.value)
    assert (OUT / "particles.star").read_bytes() == star
    pick(overwrite=True)
    assert (OUT / "particles.star").read_bytes() == star


def test_settings_that_were_edited_are_refused_until_their_last_line_is_removed(place):
    text = (OUT / "run.yaml").read_text()
    (OUT / "run.yaml").write_text(text.replace("previews: true", "previews: false"))
    with pytest.raises(FileError, match=r"edited, after it was written.*remove that line"):
        pick()
    (OUT / "run.yaml").write_text(text.replace("previews: true", "previews: false").partition("# Checksum")[0])
    assert pick().finished_before == 3


DAMAGED_TABLES = {
    "empty": b"",
    "zeros": bytes(300),
    "header": b"nbme,path,picks,seconds,diameter,pixel_size,status,error,notes\n",
    "status": b"name,path,pixel_size,status\nm0.mrc,mics/m0.mrc,2.0,dooe\n",
    "cells": b"name,path,pixel_size,status\nm0.mrc,mics/m0.mrc\n",
    "pixel size": b"name,path,pixel_size,status\nm0.mrc,mics/m0.mrc,2.0.0,done\n",
    "senseless": b"name,path,pixel_size,status\nm0.mrc,mics/m0.mrc,-2,done\n",
    "quotes": b'name,path,pixel_size,status\n"m0.mrc"x,mics/m0.mrc,2,done\n',
    "long": b"name,path,pixel_size,status\n" + b"m" * 200_000 + b",mics/m0.mrc,2,done\n",
}


@pytest.mark.parametrize("kind", DAMAGED_TABLES)
def test_a_damaged_table_is_refused_by_name_and_written_again(place, kind):
    expected = points(run_picks(OUT))
    (OUT / "micrographs.csv").write_bytes(DAMAGED_TABLES[kind])
    for use in (lambda: read_table(OUT / "micrographs.csv"), lambda: run_picks(OUT), lambda: load_micrographs(OUT)):
        with pytest.raises(FileError, match=r"micrographs\.csv: is damaged.*Run the same"):
            use()
    with pytest.raises(FileError, match=r"micrographs\.csv: is damaged"):
        write_report(OUT)
    assert pick().finished_before == 3
    assert points(run_picks(OUT)) == expected


def test_a_name_that_was_changed_in_the_table_does_not_lose_its_picks_silently(place):
    table = OUT / "micrographs.csv"
    table.write_text(table.read_text().replace("m1.mrc", "m3.mrc"))
    with pytest.raises(FileError, match=r"says that m3\.mrc was picked, but there is no record of it"):
        read_picks_or_run(OUT)


def test_of_two_records_of_one_micrograph_one_counts(place):
    """Its stem changes when another micrograph of the same stem is picked beside it."""
    shutil.copy(OUT / "records" / "m0.json", OUT / "records" / "m0-1a2b3c4d.json")
    assert len(run_picks(OUT)) == 3


@pytest.mark.parametrize("kind", ["empty", "cut", "flip", "text", "array"])
def test_a_damaged_thumbnail_costs_its_image_in_the_report_and_is_named(place, kind, caplog):
    path = OUT / "thumbnails" / "m1.npz"
    content = path.read_bytes()
    if kind == "array":
        np.savez_compressed(path, picture=[1], crops=[2.0], cropped=[3], means=[4], counts=[5])
    else:
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes({"empty": b"", "cut": content[:-100], "flip": flipped, "text": b"text"}[kind])
    assert write_report(OUT).read_text().count("data:image/jpeg") == 4  # two micrographs, the averages and the montage
    assert "thumbnails/m1.npz: is not a thumbnail" in caplog.text
    path.unlink()
    pick()
    assert write_report(OUT).read_text().count("data:image/jpeg") == 5


@pytest.mark.parametrize("content", [b"\xff\xfe\n../mine.txt\n", b"", bytes(100), b"/etc/hostname\nnotes.txt\n"])
def test_a_damaged_list_of_files_does_not_end_the_run_nor_cost_other_files(place, content):
    (OUT / "records" / "assembled.txt").write_bytes(content)
    (OUT / "notes.txt").write_text("mine")
    pick()
    (OUT / "records" / "assembled.txt").write_bytes(content)
    pick(overwrite=True)
    assert (OUT / "notes.txt").read_text() == "mine"
    assert len(read_picks(OUT / "particles.star")) == 3


def test_hidden_files_of_the_user_are_never_removed(place):
    mine = [".my-settings.json", ".backup-20240101", "records/.notes-12345678.json", "relion/.m0_autopick-abcdefgh.star"]
    for name in mine:
        (OUT / name).write_text("mine")
    (OUT / ".my-folder1").mkdir()
    (OUT / f"{LEFT}.json").mkdir()
    (OUT / "previews" / f"{LEFT}.png").symlink_to(place / "mics" / "m0.mrc")
    for overwrite in (False, True):
        pick(overwrite=overwrite)
        assert [(OUT / name).read_text() for name in mine] == ["mine"] * 4
        assert (OUT / ".my-folder1").is_dir()
        assert (OUT / f"{LEFT}.json").is_dir()
        assert (OUT / "previews" / f"{LEFT}.png").is_symlink()


def test_overwriting_removes_nothing_outside_the_folder(place):
    victims = [place / "victim.txt", place / "elsewhere" / "m0.png", place / "elsewhere" / "m1_autopick.star"]
    (place / "elsewhere").mkdir()
    for victim in victims:
        victim.write_text("mine")
    shutil.rmtree(OUT / "previews")
    (OUT / "previews").symlink_to(place / "elsewhere")
    outcome = {"name": "m0.mrc", "path": "mics/m0.mrc", "status": "done", "picks": 0}
    for number, file in enumerate(
        ["../victim.txt", str(victims[0]), "../elsewhere/m1_autopick.star", "previews/m1_autopick.star"]
    ):
        record = OUT / "records" / f"x{number}.json"
        record.write_bytes(msgspec.json.encode({"outcome": outcome | {"files": [file]}}))
    listed = f"../victim.txt\n{victims[0]}\nrelion/../../victim.txt\nprevious\n"
    (OUT / "records" / "assembled.txt").write_text(listed)
    (OUT / "previews" / "m0.png").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cryopick.runs.task.draw", lambda *_: None)
        pick(overwrite=True, settings=msgspec.structs.replace(MEASURED, previews=False))
    assert [victim.read_text() for victim in victims] == ["mine"] * 3


ODD_NAMES = ["new\nline.mrc", "a 'both' \"quotes\".mrc", "tab\tin.mrc", "paragraph\u2029.mrc", os.fsdecode(b"latin-\xe4.mrc")]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_an_odd_name_costs_one_micrograph(place, name):
    shutil.copy(place / "mics" / "m0.mrc", place / "mics" / name)
    result = pick()
    (failed,) = result.failed
    assert "rename the micrograph or exclude it" in failed.error
    assert result.problems == []
    assert [picks.micrograph for picks in read_picks(OUT / "particles.star")] == ["m0.mrc", "m1.mrc", "m2.mrc"]
    rows = read_table(OUT / "micrographs.csv")
    assert sorted(row.status for row in rows) == ["done"] * 3 + ["failed"]
    assert all(row.name.isprintable() for row in rows)
    assert len((OUT / "micrographs.csv").read_text().splitlines()) == 5
    assert len(run_picks(OUT)) == 3
    write_report(OUT)
    (place / "mics" / name).rename(place / "mics" / "renamed.mrc")
    assert pick().failed == []


def test_a_name_that_no_file_can_have_costs_one_micrograph(place):
    sources = [
        *find_micrographs(["mics"]),
        MicrographSource(Path("mics/nul\0.mrc"), "nul\0.mrc"),
        MicrographSource(Path("mics"), ""),
    ]
    result = run_picking(sources, OUT, MEASURED, build=stub_pickers.build)
    assert [outcome.status for outcome in result.outcomes] == ["done", "done", "done", "failed", "failed"]


def test_a_watch_survives_odd_names_and_notes_them(place, monkeypatch):
    monkeypatch.setattr(pool, "PAUSE", 0.01)
    for name in ODD_NAMES:
        shutil.copy(place / "mics" / "m0.mrc", place / "mics" / name)
    for _ in range(2):
        pace = Pace(settle=0.05, poll=0.02, refresh=0.05, until_idle=0.5)
        status = watch_folder(["mics"], Path("live"), MEASURED, pace=pace, build=stub_pickers.build)
        assert (status.done, status.failed) == (3, len(ODD_NAMES))
        assert len(read_picks(Path("live/particles.star"))) == 3


def test_a_micrograph_that_an_earlier_version_picked_under_an_odd_name_costs_itself_alone(place):
    shutil.copy(place / "mics" / "m0.mrc", place / "mics" / "tab\tin.mrc")
    record = (OUT / "records" / "m0.json").read_bytes()
    old = b"{" + record.partition(b",")[2].replace(b"m0.mrc", b"tab\\tin.mrc")
    (OUT / "records" / "tab\tin.json").write_bytes(old)
    (failed,) = pick().failed
    assert failed.name == "tab\tin.mrc"
    assert len(read_picks(OUT / "particles.star")) == 3


def test_a_link_in_place_of_a_lock_is_refused(place):
    (OUT / ".run.lock").unlink()
    (OUT / ".run.lock").symlink_to(place / "made.txt")
    with pytest.raises(FileError, match=r"\.run\.lock: is a link"):
        pick()
    assert not (place / "made.txt").exists()


def test_other_settings_are_still_refused(place):
    with pytest.raises(SettingError, match="other settings"):
        pick(settings=msgspec.structs.replace(MEASURED, seed=4))
