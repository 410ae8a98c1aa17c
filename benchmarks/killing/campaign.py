"""Kills of a command at random moments, and what must hold after each and after the run that ends it."""

import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatch
from itertools import zip_longest
from pathlib import Path
from random import Random
from typing import Any

from killing.cases import OUT, Case, fault_of, same_content

LONGEST = 300.0
"""Seconds that a command may take, and twice those that it may take to end on SIGTERM."""
GONE = 30.0
"""Seconds in which workers end after the process that started them is killed."""


@dataclass
class Tally:
    """What came of the kills of one command.

    Attributes
    ----------
    kills : by signal and what it hit: "KILL group", "TERM main", "KILL worker", ….
    runs : times that the command was left to end.
    faults : what did not hold, with the number of the kill.
    """

    kills: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Reference:
    """An undisturbed run: its files, how long it took [s], and when its first file appeared."""

    files: dict[str, bytes]
    seconds: float
    first: float


def undisturbed(case: Case, folder: Path) -> Reference:
    """Run the command once without a kill."""
    case.make(folder)
    start = time.monotonic()
    process = _start(case, folder)
    first = None
    while process.poll() is None:
        if first is None and (folder / OUT).exists() and any((folder / OUT).iterdir()):
            first = time.monotonic() - start
        time.sleep(0.005)
        if time.monotonic() - start > LONGEST:
            _kill_group(process)
    seconds = time.monotonic() - start
    if process.returncode:
        raise RuntimeError(f"{case.name} ended with {process.returncode} although nothing killed it:\n{_log(folder)}")
    return Reference(tree(folder / OUT), seconds, min(first or seconds, seconds))


def campaign(case: Case, scratch: Path, *, kills: int, rng: Random, on_fault: Callable[[str], None]) -> Tally:
    """Kill the command `kills` times; after one to three kills in a folder, let it end there and compare."""
    tally = Tally()

    def note(fault: str) -> None:
        tally.faults.append(fault)
        on_fault(f"{case.name}, kill {tally.kills.total()}: {fault}")

    reference = undisturbed(case, scratch / "reference")
    while tally.kills.total() < kills:
        work = scratch / "work"
        shutil.rmtree(work, ignore_errors=True)
        case.make(work)
        inputs = {name: content for name, content in tree(work).items() if not name.startswith(f"{OUT}/")}
        for _ in range(min(rng.choice((1, 1, 2, 3)), kills - tally.kills.total())):
            if not _kill_once(case, work, reference, rng, tally, note):
                break
            for fault in faults_between(case, tree(work / OUT), reference.files):
                note(fault)
        before = _records(work)
        ended = _run_to_end(case, work)
        tally.runs += 1
        if ended:
            note(f"the run afterwards ended with {ended}: {_log(work)[-1500:]}")
            continue
        for fault in differences(tree(work / OUT), reference.files):
            note(fault)
        again = [name for name, stamp in before.items() if _records(work).get(name) != stamp]
        if again:
            note(f"{len(again)} finished micrographs were picked again, the first {again[0]}")
        if {name: content for name, content in tree(work).items() if name in inputs} != inputs:
            note("an input was changed")
    return tally


def _kill_once(case: Case, work: Path, reference: Reference, rng: Random, tally: Tally, note: Callable[[str], None]) -> bool:
    """Start the command and kill it at a random moment; returns whether it was still running."""
    victim = rng.choice(("group", "group", "main", *(("worker",) if case.workers else ())))
    number = signal.SIGTERM if victim != "worker" and rng.random() < 0.25 else signal.SIGKILL
    late = rng.random() < 0.7
    moment = rng.uniform(reference.first, reference.seconds) if late else rng.uniform(0, reference.seconds)
    process = _start(case, work)
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        pass
    else:
        if process.returncode:
            note(f"ended with {process.returncode} before it was killed: {_log(work)[-1500:]}")
        return False
    tally.kills[f"{number.name.removeprefix('SIG')} {victim}"] += 1
    if victim == "worker":
        children = _children(process.pid)
        if children:
            os.kill(rng.choice(children), signal.SIGKILL)
        _end_alone(process, case, work, note, expected=(0,))
        return True
    if victim == "group":
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _end_alone(process, case, work, note, expected=(-number, 128 + number, 130, 0, 1))
    return True


def _end_alone(
    process: subprocess.Popen[bytes], case: Case, work: Path, note: Callable[[str], None], *, expected: tuple[int, ...]
) -> None:
    """Wait until the command and its workers have ended."""
    try:
        code = process.wait(LONGEST / 2)
    except subprocess.TimeoutExpired:
        note(f"did not end within {LONGEST / 2:g} s")
        _kill_group(process)
        process.wait()
        return
    if code not in expected:
        note(f"ended with {code}: {_log(work)[-1500:]}")
    if "Traceback" in _log(work):
        note(f"a traceback: {_log(work)[-1500:]}")
    end = time.monotonic() + GONE
    while _group_lives(process.pid):
        if time.monotonic() > end:
            note(f"workers lived on for {GONE:g} s")
            _kill_group(process)
            return
        time.sleep(0.05)


def faults_between(case: Case, files: dict[str, bytes], reference: dict[str, bytes]) -> list[str]:
    """What is wrong after a kill: half-written files, others than the undisturbed run's, and files that it does not have."""
    found = []
    for name, content in files.items():
        if any(part.startswith(".") for part in name.split("/")):
            continue  # a temporary file, or a lock
        if name not in reference:
            found.append(f"{name} is no file of an undisturbed run")
        elif fault := fault_of(name, content):
            found.append(f"{name} {fault} after a kill")
        elif not any(fnmatch(name, pattern) for pattern in case.joint) and (
            same_content(name, content) != same_content(name, reference[name])
        ):
            found.append(f"{name} differs from that of an undisturbed run after a kill")
    return found


def differences(files: dict[str, bytes], reference: dict[str, bytes]) -> list[str]:
    """What is wrong at the end: files that are missing, left over or different."""
    found = []
    for names, what in ((reference.keys() - files.keys(), "missing"), (files.keys() - reference.keys(), "left over")):
        found += [f"{len(names)} files {what}, the first {min(names)}"] if names else []
    for name in sorted(files.keys() & reference.keys()):
        if same_content(name, files[name]) != same_content(name, reference[name]):
            found.append(f"{name} differs at the end{_first_difference(files[name], reference[name])}")
    return found


def _first_difference(content: bytes, expected: bytes) -> str:
    """The first line of a text that is another than expected."""
    if b"\0" in content:
        return ""
    lines = content.decode(errors="replace").splitlines(), expected.decode(errors="replace").splitlines()
    for number, (found, wanted) in enumerate(zip_longest(*lines), 1):
        if found != wanted:
            return f": line {number} is {found!r:.200} and was {wanted!r:.200}"
    return ""


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder, hidden ones too, by their path in it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "log.txt":
            try:
                found[path.relative_to(folder).as_posix()] = path.read_bytes()
            except FileNotFoundError:  # a temporary file that has just been renamed
                continue
    return found


def _records(work: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of the records of picked micrographs, which a resumed run leaves as they are."""
    found = {}
    for path in (work / OUT / "records").glob("[!.]*.json"):
        status = path.stat()
        found[path.name] = (status.st_ino, status.st_mtime_ns)
    return found


def _start(case: Case, folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "log.txt").open("wb") as log:
        return subprocess.Popen(case.command, cwd=folder, stdout=log, stderr=log, start_new_session=True)


def _run_to_end(case: Case, folder: Path) -> int:
    process = _start(case, folder)
    try:
        return process.wait(LONGEST)
    except subprocess.TimeoutExpired:
        _kill_group(process)
        return process.wait()


def _kill_group(process: subprocess.Popen[Any]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _children(pid: int) -> list[int]:
    """Processes that a process started, of which those that Python keeps for its own use are left out."""
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            command = Path(f"/proc/{child}/cmdline").read_bytes()
        except OSError:
            continue
        if b"resource_tracker" not in command:
            found.append(int(child))
    return found


def _group_lives(group: int) -> bool:
    """Whether a process of the group is running, not counting those that have ended and wait to be noticed."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, _, owner = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(owner) == group and state not in "ZX":
            return True
    return False


def _log(folder: Path) -> str:
    return (folder / "log.txt").read_text(errors="replace")
