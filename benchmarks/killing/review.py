"""Kills of `cryopick review` while pages edit: no edit that was confirmed is lost, and none is doubled."""

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from urllib.parse import parse_qs, urlsplit

from cryopick.io.picks.formats import read_picks, write_picks
from cryopick.types import Picks
from killing.campaign import GONE, LONGEST, Tally
from killing.cases import PROGRAM, make_micrographs

MICROGRAPHS = 3
ORIGINAL = [[20.0, 20.0], [40.0, 44.0]]
STEP = 0.25
"""Every added pick has a place of its own: this many pixels from the last."""


class Editor(threading.Thread):
    """A page that adds picks as fast as the server confirms them."""

    def __init__(self, address: str, first: int) -> None:
        super().__init__(daemon=True)
        self._address = urlsplit(address)
        self.sent = self.confirmed = first

    def run(self) -> None:
        """Send edits until the server is gone."""
        try:
            connection = http.client.HTTPConnection(self._address.hostname or "", self._address.port, timeout=30)
            connection.request("GET", f"/?token={parse_qs(self._address.query)['token'][0]}")
            answer = connection.getresponse()
            cookie = (answer.getheader("Set-Cookie") or "").partition(";")[0]
            answer.read()
            headers = {"Cookie": cookie, "Content-Type": "application/json"}
            while True:
                number = self.sent
                edit = {"type": "add", "x": 1 + STEP * (number % 200), "y": 1 + STEP * (number // 200)}
                self.sent += 1
                body = json.dumps({"key": f"edit-{number:08}", "edit": edit})
                connection.request("POST", f"/api/micrographs/{number % MICROGRAPHS}/edits", body, headers)
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    return
                self.confirmed = number + 1
        except (OSError, http.client.HTTPException):
            return


def campaign(scratch: Path, *, kills: int, rng: Random, on_fault: Callable[[str], None]) -> Tally:
    """Kill the review `kills` times while edits arrive; after one to three kills in a folder, look at what it has kept."""
    tally = Tally()

    def note(fault: str) -> None:
        tally.faults.append(fault)
        on_fault(f"review, kill {tally.kills.total()}: {fault}")

    while tally.kills.total() < kills:
        work = scratch / "work"
        shutil.rmtree(work, ignore_errors=True)
        make_micrographs(work, MICROGRAPHS)
        names = [f"m{number:03}.mrc" for number in range(MICROGRAPHS)]
        write_picks([Picks(name, ORIGINAL, [0.9, 0.4], 24.0, (64, 64), 2.0) for name in names], work / "picks.star")
        confirmed: set[int] = set()
        sent = 0
        for _ in range(min(rng.choice((1, 1, 2, 3)), kills - tally.kills.total())):
            process, address = _serve(work)
            if not address:
                note(f"did not start: {(work / 'log.txt').read_text()[-1500:]}")
                _kill(process)
                break
            editor = Editor(address, sent)
            editor.start()
            time.sleep(rng.uniform(0.05, 1.0))
            number = signal.SIGTERM if rng.random() < 0.3 else signal.SIGKILL
            tally.kills[f"{number.name.removeprefix('SIG')} main"] += 1
            process.send_signal(number)
            try:
                process.wait(LONGEST / 2)
            except subprocess.TimeoutExpired:
                note(f"did not end within {LONGEST / 2:g} s")
                _kill(process)
            editor.join(GONE)
            confirmed |= set(range(sent, editor.confirmed))
            sent = editor.sent
            if number == signal.SIGTERM and not (work / "raw" / "review" / "picks.star").is_file() and editor.confirmed:
                note("picks.star was not written on SIGTERM")
        for fault in _faults(work, confirmed, sent):
            note(fault)
        tally.runs += 1
    return tally


def _serve(work: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start the review, and wait for the address that it prints."""
    command = [*PROGRAM, "review", "raw", "--picks", "picks.star", "--port", "0"]
    with (work / "log.txt").open("wb") as log:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(command, cwd=work, stdout=log, stderr=log, start_new_session=True, env=environment)
    end = time.monotonic() + LONGEST / 2
    while time.monotonic() < end and process.poll() is None:
        found = re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", (work / "log.txt").read_text(errors="replace"))
        if found:
            return process, found[0]
        time.sleep(0.02)
    return process, ""


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _faults(work: Path, confirmed: set[int], sent: int) -> list[str]:
    """What the review has lost, doubled or left, by its journal and by the picks that it writes."""
    command = [*PROGRAM, "review", "raw", "--picks", "picks.star", "--to", "star"]
    ended = subprocess.run(command, cwd=work, capture_output=True, text=True)
    if ended.returncode:
        return [f"cannot be opened again: {ended.stderr[-1500:]}"]
    journal = (work / "raw" / "review" / "journal.jsonl").read_text().splitlines()
    keys = [entry["key"] for entry in map(json.loads, journal) if entry["type"] == "step"]
    numbers = [int(key.removeprefix("edit-")) for key in keys]
    found = []
    if lost := confirmed - set(numbers):
        found.append(f"{len(lost)} confirmed edits were lost")
    if len(numbers) != len(set(numbers)):
        found.append("an edit is in the journal twice")
    if not set(numbers) <= set(range(sent)):
        found.append("the journal has edits that were not made")
    kept = read_picks(work / "raw" / "review" / "picks.star")
    points = [tuple(point) for picks in kept for point in picks.xy.tolist()]
    if len(points) != MICROGRAPHS * len(ORIGINAL) + len(numbers):
        found.append(f"{len(points)} picks for {MICROGRAPHS * len(ORIGINAL)} and {len(numbers)} added ones")
    left = [path.name for path in (work / "raw" / "review").iterdir() if path.name.startswith(".") and path.name != ".lock"]
    return [*found, *([f"temporary files are left: {', '.join(left)}"] if left else [])]
